"""A run's network for other programs: as ONNX, or as a program of ``torch.export``. Neither needs tinkit to run.

What leaves takes clips and gives logits: ``clips`` (N, T, C, size, size) float32, normalised, for any number N of
clips. What normalised means, and all else that a program must know, is in the file: the key ``tinkit`` of ONNX's
metadata, the extra file ``tinkit.json`` of PyTorch's archive (:func:`read_metadata`).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from tinkit import __version__
from tinkit.data.views import ViewConfig
from tinkit.engine.checkpoint import read_header
from tinkit.engine.protocol import check_segments
from tinkit.engine.run import Run
from tinkit.engine.test import load_model
from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files import atomic_path, sha256_file
from tinkit.models import Classifier
from tinkit.models.merging import merge_batch_norm
from tinkit.models.modality import model_channels, pixels_of
from tinkit.recipe import Recipe

Format = Literal["onnx", "torch"]
SUFFIX: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
KEY = "tinkit"
VERSION = 1
TOLERANCE = 1e-3  # of the largest logit: float32 in another order, not another network
_EXTRA = f"{KEY}.json"


@dataclass(frozen=True)
class Exported:
    """A network that was written."""

    path: Path
    metadata: dict[str, Any]
    difference: float | None
    """The largest difference between its logits and the run's, as a share of the largest logit; None where nothing that
    runs ONNX is installed."""


def export_run(run: Run, weights: str, form: str, views: ViewConfig | None = None, out: Path | None = None) -> Exported:
    """Write the run's network, in evaluation mode and with BatchNorm merged into convolutions, and compare its logits.

    ``form`` is ``onnx`` or ``torch``; ``views`` replaces the recipe's (its crop and number of frames count). ``out`` is
    ``export/WEIGHTS.onnx`` or ``.pt2`` in the run's folder unless said. Raises
    :class:`~tinkit.errors.UserError` where ONNX is not installed, where the file's logits are others, and where the
    file is there and is not an earlier export of the same run and weights.
    """
    kind = _check_form(form)
    recipe = run.load_recipe()
    config = views or recipe.test
    check_segments(recipe, config)
    model, _, checkpoint = load_model(run, weights, config.num_segments)
    model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # missing in torch's own
    merge_batch_norm(model)
    metadata = _metadata(run, weights, recipe, config, model, checkpoint)
    path = out or run.folder / "export" / f"{weights}{SUFFIX[kind]}"
    _check_place(path, metadata)
    shape = metadata["input"]["shape"][1:]
    program = torch.export.export(
        model, (torch.randn(2, *shape),), dynamic_shapes=({0: torch.export.Dim("clips", min=1)},)
    )
    with atomic_path(path) as temporary:
        if kind == "onnx":
            _save_onnx(program, temporary, metadata)
        else:
            torch.export.save(program, temporary, extra_files={_EXTRA: _as_json(metadata)})
        difference = _difference(model, temporary, kind, shape)
    return Exported(path, metadata, difference)


def read_metadata(path: Path) -> dict[str, Any]:
    """What an exported file says of its network: classes, frames, size, pixels; see :func:`export_run`.

    Raises :class:`~tinkit.errors.UserError` for a file of another kind.
    """
    try:
        text = _metadata_text(path)
    except ImportError:  # onnx is not installed: no fault of the file
        raise
    except Exception as error:  # of damaged bytes both libraries make nearly any error; nothing else runs in there
        raise UserError(f"not a network that tinkit exported: {error}", file=path) from error
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise UserError(f"not a network that tinkit exported: {error}", file=path) from error
    return found


def _metadata_text(path: Path) -> str:
    """What the file holds under tinkit's key; empty if it has none."""
    if path.suffix == SUFFIX["onnx"]:
        import onnx

        properties = onnx.load(path, load_external_data=False).metadata_props
        return next((prop.value for prop in properties if prop.key == KEY), "")
    extra = {_EXTRA: ""}
    torch.export.load(path, extra_files=extra)
    return extra[_EXTRA]


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
            "is there, and is no export of this run and these weights",
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
        "scale": views.scale,
        "size": views.crop,
        "modality": modality,
        "flow_length": None if modality == "rgb" else length,
        "mean": list(pixels.mean),
        "std": list(pixels.std),
        "input": {
            "name": "clips",
            "shape": [None, frames, model_channels(modality, length), views.crop, views.crop],
            "what": f"float32, ({values} / 255 - mean) / std by channel",
        },
        "output": {"name": "logits", "what": "float32, before sigmoid (multi-label) or softmax (single-label)"},
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
    if run is None:
        return None
    largest = 0.0
    for clips in (1, 3):
        video = torch.randn(clips, *shape, generator=torch.Generator().manual_seed(clips))
        wanted, found = model(video), run(video)
        largest = max(largest, float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6)))
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
