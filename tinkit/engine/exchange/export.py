"""A run's network for other programs: as ONNX, or as a program of ``torch.export``. Neither needs tinkit to run.

What leaves takes clips and gives logits: ``clips`` (N, T, C, H, W) float32, normalised, for any number N of
clips. What normalised means, and all else that a program must know, is in the file: the key ``tinkit`` of ONNX's
metadata, the extra file ``tinkit.json`` of PyTorch's archive (:func:`read_metadata`).
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from tinkit import __version__
from tinkit.data.config.views import ClipConfig, ViewConfig, image_shape
from tinkit.data.sound.mel import FLOOR, TOP, transform_length
from tinkit.engine.evaluation.protocol import check_segments
from tinkit.engine.runs.checkpoint import read_header
from tinkit.engine.runs.load import load_model
from tinkit.engine.runs.non_finite import NonFiniteError
from tinkit.engine.runs.run import Run
from tinkit.engine.runs.way_back import told_of_run
from tinkit.engine.runs.writers import writing_result
from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files.atomic import atomic_path
from tinkit.files.hashes import sha256_file
from tinkit.models import Classifier
from tinkit.models.batch_norm import merge_batch_norm
from tinkit.models.modality import model_channels, pixels_of
from tinkit.models.non_finite import check_finite
from tinkit.recipe import Recipe

Format = Literal["onnx", "torch"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
KEY = "tinkit"
VERSION = 1
TOLERANCE = 1e-3  # of the largest logit: float32 in another order, not another network
_EXTRA = f"{KEY}.json"
_MOST_METADATA = 1 << 24  # bytes
Say = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """A network that was written."""

    path: Path
    metadata: dict[str, Any]
    difference: float | None
    """The largest difference between its logits and the run's, as a share of the largest logit; None where nothing that
    runs ONNX is installed."""


def _silent(_what: str) -> None:
    pass


def export_run(
    run: Run,
    weights: str,
    form: str,
    views: ViewConfig | None = None,
    out: Path | None = None,
    say: Say = _silent,
) -> Exported:
    """Write the run's network, in evaluation mode and with BatchNorm merged into convolutions, and compare its logits.

    ``form`` is ``onnx`` or ``torch``; ``views`` replaces the recipe's (its crop and number of frames count). ``out`` is
    ``export/WEIGHTS.onnx`` or ``.pt2`` in the run's folder by default; ``say`` is told what takes time. Raises
    :class:`~tinkit.errors.UserError` where ONNX is not installed, for non-finite weights, where the file's logits
    differ, and where the file exists and is not an earlier export of the same run and weights.
    """
    kind = _check_form(form)
    recipe = run.load_recipe()
    config = views or recipe.test
    check_segments(recipe, config)
    model, _, checkpoint = load_model(run, weights, config.num_segments)
    try:
        check_finite(model.state_dict())
    except UserError as error:
        raise error.at(checkpoint) from error
    model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # missing in torch's own
    merge_batch_norm(model)
    metadata = _metadata(run, weights, recipe, config, model, checkpoint)
    path = out or run.folder / "export" / f"{weights}{SUFFIX[kind]}"
    with writing_result(path):
        _check_place(path, metadata)
        try:
            difference = _write(model, path, kind, metadata, say)
        except NonFiniteError as error:
            raise told_of_run(error, run, weights) from None
    return Exported(path, metadata, difference)


def _write(model: Classifier, path: Path, kind: Format, metadata: dict[str, Any], say: Say) -> float | None:
    shape = metadata["input"]["shape"][1:]
    say("tracing the network: usually 5 to 60 seconds")
    program = torch.export.export(
        model, (torch.randn(2, *shape),), dynamic_shapes=({0: torch.export.Dim("clips", min=1)},)
    )
    with atomic_path(path) as temporary:
        if kind == "onnx":
            say("turning it into ONNX: usually 5 to 60 seconds")
            _save_onnx(program, temporary, metadata)
        else:
            say("writing it")
            # in memory: on a full disk, PyTorch's own writer aborts the process
            buffer = io.BytesIO()
            torch.export.save(program, buffer, extra_files={_EXTRA: _as_json(metadata)})
            temporary.write_bytes(buffer.getbuffer())
        say("running it, to compare its logits with the run's: usually 1 to 20 seconds")
        return _difference(model, temporary, kind, shape)


def read_metadata(path: Path) -> dict[str, Any]:
    """What an exported file records of its network: classes, frames, size, pixels; see :func:`export_run`.

    Raises :class:`~tinkit.errors.UserError` for a file of another kind.
    """
    try:
        text = _onnx_text(path) if path.suffix == SUFFIX["onnx"] else _archived_text(path)
        found = json.loads(text)
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"not a network that tinkit exported: {error}", file=path) from error
    if not isinstance(found, dict):
        raise UserError("not a network that tinkit exported", file=path)
    return found


def _onnx_text(path: Path) -> str:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        properties = {prop.key: prop.value for prop in onnx.load(path, load_external_data=False).metadata_props}
    except DecodeError as error:
        raise ValueError(f"it is not ONNX: {error}") from error
    text: str = properties[KEY]
    return text


def _archived_text(path: Path) -> str:
    """The extra file of PyTorch's archive, read as the zip file that it is: loading a program may run what is in it."""
    with zipfile.ZipFile(path) as archive:
        member = next((entry for entry in archive.infolist() if entry.filename.endswith(f"/{_EXTRA}")), None)
        if member is None or member.file_size > _MOST_METADATA:
            raise KeyError(_EXTRA)
        with archive.open(member) as file:
            return file.read(_MOST_METADATA).decode()


def _check_place(path: Path, metadata: dict[str, Any]) -> None:
    """Raise :class:`~tinkit.errors.UsageError` if something else would be lost."""
    if not path.exists():
        return
    try:
        there = read_metadata(path)
    except UserError:
        there = {}
    if any(there.get(name) != metadata[name] for name in ("run", "weights")):
        raise UsageError(
            "exists, and is not an export of this run and these weights",
            file=path,
            fix="move it away to keep it, or name another: --out FILE",
        )


def _check_form(form: str) -> Format:
    known = next((known for known in get_args(Format) if known == form), None)
    if known is None:
        raise UsageError(f"no format is called {form!r}{did_you_mean(form, SUFFIX)}", expected=", ".join(SUFFIX))
    missing = [package for package in ("onnx", "onnxscript") if known == "onnx" and find_spec(package) is None]
    if missing:
        raise UserError(
            f"ONNX is written by packages that are not installed: {', '.join(missing)}",
            fix="pip install 'tinkit[onnx]'; or --format torch, which needs nothing more",
        )
    return cast(Format, known)


def _metadata(
    run: Run, weights: str, recipe: Recipe, views: ViewConfig, model: Classifier, checkpoint: Path
) -> dict[str, Any]:
    header = read_header(checkpoint)["info"]
    modality, length = recipe.clip.modality, recipe.clip.flow_length
    pixels = pixels_of(model)
    values = "(pixel less that of the frame before)" if pixels.difference else "pixel"
    frames = views.num_segments or recipe.clip.num_segments
    return {
        "version": VERSION,
        "tinkit": __version__,
        "run": run.name,
        "weights": weights,
        "checkpoint": sha256_file(checkpoint),
        "backbone": recipe.model.backbone,
        "temporal": recipe.model.temporal,
        "task": header["task"],
        "classes": list(header["classes"]),
        "num_segments": frames,
        **_of_images(recipe.clip, views),
        "modality": modality,
        "flow_length": length if modality in ("flow", "rgb_diff") else None,
        "mean": list(pixels.mean),
        "std": list(pixels.std),
        "input": {
            "name": "clips",
            "shape": [None, frames, model_channels(modality, length), *image_shape(recipe.clip, views)],
            "what": f"float32, ({values} / 255 - mean) / std by channel",
        },
        "output": {"name": "logits", "what": "float32, before sigmoid (multi-label) or softmax (single-label)"},
    }


def _of_images(clip: ClipConfig, views: ViewConfig) -> dict[str, Any]:
    """How the images are made: of frames, or of sound."""
    if clip.modality != "audio":
        return {"scale": views.scale, "size": views.crop}
    sound = clip.spectrogram
    return {
        "spectrogram": {
            "rate": sound.rate,
            "window_samples": sound.window_samples,
            "hop_samples": sound.hop_samples,
            "transform": transform_length(sound),
            "mels": sound.mels,
            "columns": sound.columns,
            "what": "power through a Hann window over a full-scale sine's, in HTK's mel bands (triangles of height 1 "
            f"from 0 Hz to rate / 2), in dB: {FLOOR:g} is pixel 0, {TOP:g} is 255; the lowest band is the last row",
        }
    }


def _as_json(metadata: dict[str, Any]) -> str:
    return json.dumps(metadata, ensure_ascii=False)


def _save_onnx(program: torch.export.ExportedProgram, path: Path, metadata: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own parts use what PyTorch will take away
        found = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["clips"], output_names=["logits"])
    assert found is not None
    found.model.metadata_props[KEY] = _as_json(metadata)
    found.save(path, external_data=False)


@torch.inference_mode()
def _difference(model: Classifier, path: Path, kind: Format, shape: list[int]) -> float | None:
    """How far the logits of the file are from the model's, for one and for three clips, over the largest of these."""
    run = _runner(path, kind)
    differences = []
    for clips in (1, 3):
        video = torch.randn(clips, *shape, generator=torch.Generator().manual_seed(clips))
        wanted = model(video)
        if not wanted.isfinite().all():
            raise NonFiniteError("the logits of noise are non-finite")
        if run is None:
            return None
        found = run(video)
        differences.append((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
    largest = float(torch.stack(differences).max())  # unlike Python's, it keeps NaN
    if not largest <= TOLERANCE:
        raise UserError(
            f"the exported network's logits differ from the run's by {largest:.1e} of the largest; nothing was written",
            expected=f"at most {TOLERANCE:.0e}",
        )
    return largest


def _runner(path: Path, kind: Format) -> Callable[[Tensor], Tensor] | None:
    """What runs an exported file; None where that is not installed."""
    if kind == "torch":
        return torch.export.load(path).module()
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda video: torch.from_numpy(session.run(None, {"clips": video.numpy()})[0])
