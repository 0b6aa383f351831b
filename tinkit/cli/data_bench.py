"""``tinkit data bench``: how fast training clips are made here, and what holds a training back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import DataOption, JsonOption, QuietOption, SetOption
from tinkit.cli.parser import examples
from tinkit.errors import UsageError, UserError
from tinkit.terminal import Notices, note, print_json, print_line, print_table

if TYPE_CHECKING:
    from tinkit.engine.measure.loading import StageCosts, TimedClips
    from tinkit.recipe import Recipe

EPILOG = examples(
    "tinkit data bench mmit_r50 --data data/mmit",
    "tinkit data bench mmit_r50 --data data/mmit --model-speed 220",
    "tinkit data bench mmit_r50 --data data/mmit --clips 200 --workers 4 --workers 8 --json",
)

_SEED = 0
_BATCH = 8
_ADVICE = {
    "read": "the disk: copy the data to a faster one, or train again while it is in memory",
    "decode": "decoding: clips with a shorter side, or keyframes closer together, decode faster",
    "resize and augment": "resizing and augmenting: smaller frames on disk, or fewer operations",
    "collate": "putting batches together: the memory is slow, or the machine busy",
}


@dataclass(frozen=True)
class _Loaded:
    """A recipe, its training clips, and the rows of those that are measured."""

    recipe: Recipe
    clips: TimedClips
    rows: list[int]


def bench(
    recipe: Annotated[str, typer.Argument(help="A recipe: a built-in name or a file.")],
    *,
    data: DataOption = None,
    overrides: SetOption = None,
    clips: Annotated[int, typer.Option(min=1, help="Measure so many training clips, drawn at random.")] = 64,
    workers: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Measure so many data workers; may be repeated. Else 1 and one a core."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.0, max=600.0, help="Measure each number of workers so long.")] = 5.0,
    model_speed: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="CLIPS/S", help="The model's speed, if you know it; else it is measured."),
    ] = None,
    no_model: Annotated[bool, typer.Option("--no-model", help="Do not measure the model.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure how fast the training clips of a recipe are made, and whether the model has to wait for them.

    What a clip costs by stage, in one process: read from the disk, decode, resize and augment, collate to a batch, copy
    to the device. Then the clips a second of several data workers, and of the model's forward and backward passes on
    this device; and which of both holds training back, and the number of workers to choose.
    """
    from tinkit.engine.measure.loading import stage_costs
    from tinkit.engine.runtime.device import choose_device

    if no_model and model_speed is not None:
        raise UsageError("--no-model and --model-speed say two things", fix="leave one of them out")
    loaded = _load(recipe, data, overrides, clips)
    notices, device = Notices(), choose_device()
    shown = notices.is_terminal and not (quiet or as_json)
    with notices.bar("clips measured", len(loaded.rows), shown=shown) as bar:
        costs = stage_costs(loaded.clips, loaded.rows, _BATCH, lambda frames: frames.to(device).float(), bar.advance)
    if not costs.clips:
        raise UserError(f"none of {costs.broken} training clips can be used", fix="see `tinkit data prepare`")
    model = (model_speed, None) if no_model or model_speed is not None else _measured(loaded)
    found = _values(loaded, costs, model, workers, seconds)
    if as_json:
        print_json(found)
    elif not quiet:
        _tell(found)


def _load(name: str, data: Path | None, overrides: list[str] | None, count: int) -> _Loaded:
    from tinkit.data.clips.opening import require_files
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.flow.folders import FlowFiles
    from tinkit.data.look.draw import drawn_rows
    from tinkit.data.manifest.manifest import open_manifest
    from tinkit.engine.measure.loading import TimedClips
    from tinkit.recipe.load import load_recipe

    recipe = load_recipe(name, overrides or (), data).recipe
    manifest, flow = open_manifest(recipe.data, "train"), FlowFiles.of(recipe.data)
    require_files(manifest, recipe.clip, flow)
    clips = TimedClips(manifest, recipe.clip, recipe.train.seed, flow, DecodeSettings.of(recipe.data))
    return _Loaded(recipe, clips, drawn_rows(manifest, count, _SEED))


def _measured(loaded: _Loaded) -> tuple[float | None, int | None]:
    """The model's clips a second, and the clips of the pass that was measured."""
    from tinkit.engine.measure.balance import model_speed
    from tinkit.engine.runtime.device import choose_device

    recipe = loaded.recipe
    most = recipe.optim.micro_batch or recipe.optim.batch
    return model_speed(recipe, len(loaded.clips.manifest.classes), choose_device(), most)


def _values(
    loaded: _Loaded,
    costs: StageCosts,
    model: tuple[float | None, int | None],
    workers: list[int] | None,
    seconds: float,
) -> dict[str, Any]:
    """What ``--json`` prints."""
    from tinkit.engine.measure.balance import Speeds, balance
    from tinkit.engine.measure.loading import STAGES, loader_speed
    from tinkit.engine.runtime.device import choose_device
    from tinkit.workers.cores import usable_cores

    cores, device = usable_cores(), choose_device().type
    made = {n: loader_speed(loaded.clips, loaded.rows, _BATCH, n, seconds) for n in sorted(set(workers or (1, cores)))}
    speeds = Speeds(costs.worker_cpu_ms, costs.waiting_ms, max(made.values()), model[0])
    found = balance(speeds, cores, shared=device == "cpu")
    whole = sum(map(costs.cpu_ms, STAGES))
    return {
        "recipe": loaded.recipe.name,
        "clips": costs.clips,
        "unusable": costs.broken,
        "stages": [
            {
                "stage": stage,
                "cpu_ms": costs.cpu_ms(stage),
                "wall_ms": costs.wall_ms(stage),
                "percent": 100 * costs.cpu_ms(stage) / max(1e-9, whole),
            }
            for stage in STAGES
        ],
        "worker_cpu_ms": costs.worker_cpu_ms,
        "waiting_ms": costs.waiting_ms,
        "loader": [{"workers": count, "clips_per_s": speed} for count, speed in made.items()],
        "model": {"clips_per_s": model[0], "clips_a_pass": model[1], "device": device},
        "cores": cores,
        "cores_needed": found.needed,
        "held_back_by": found.held_back_by,
        "workers": found.workers,
    }


def _tell(found: dict[str, Any]) -> None:
    model = found["model"]
    title = f"What a training clip of {found['recipe']} costs, over {found['clips']} clips"
    print_table(
        title,
        [
            {"stage": row["stage"], "CPU ms": row["cpu_ms"], "ms": row["wall_ms"], "percent": row["percent"]}
            for row in found["stages"]
        ],
    )
    print_table(
        "Clips a second",
        [{"what": f"{row['workers']} data workers", "clips/s": row["clips_per_s"]} for row in found["loader"]]
        + [{"what": f"the model, {model['device']}", "clips/s": model["clips_per_s"]}]
        * (model["clips_per_s"] is not None),
    )
    print_line(_verdict(found))
    if found["unusable"]:
        note(f"{found['unusable']} clips more could not be used, and are not counted")


def _verdict(found: dict[str, Any]) -> str:
    cores, workers = found["cores"], f"train.workers = {found['workers']}"
    if found["held_back_by"] == "unknown":
        return f"the model's speed is not known: {workers}, one a core"
    need = f"at the model's speed, making its clips takes {found['cores_needed']:.1f} of {cores} cores"
    if found["held_back_by"] == "model":
        return f"the model holds training back, not the data: {need}; {workers}"
    dearest = max(found["stages"][:-1], key=lambda row: row["cpu_ms"])["stage"]
    return f"the data holds training back: {need}; {workers}. Most of it is {_ADVICE[dearest]}"
