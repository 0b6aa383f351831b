"""``tinkit data reencode``: the videos of a data set, small and with many keyframes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tinkit.cli.data_options import data_config, stoppable, wanted_splits
from tinkit.cli.options import (
    DaskOption,
    DaskWaitOption,
    DataOption,
    DatasetArgument,
    EnlargeOption,
    JsonOption,
    PixelsOption,
    ProcessesOption,
    QuietOption,
    SetOption,
    ShardOption,
    SideOption,
    SplitsOption,
)
from tinkit.cli.parser import examples
from tinkit.errors import UserError
from tinkit.spread import PATIENCE
from tinkit.terminal import Notices, note, print_json, print_line, print_table

if TYPE_CHECKING:
    from tinkit.data.reencode.make import ReencodeOutcome

EPILOG = examples(
    "tinkit data reencode mmit --data data/mmit --out data/mmit-small",
    "tinkit data reencode kinetics400 --data /data/k400 --out /fast/k400 --pixels 320 --audio drop",
    "tinkit data reencode kinetics400 --data /data/k400 --out /fast/k400 --shard 3/16",
)
_SHOWN = 20  # broken videos in a table; --json has all


def reencode(
    what: DatasetArgument,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder that becomes a data set of its own.")],
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitsOption = None,
    side: SideOption = "short",
    pixels: PixelsOption = 256,
    enlarge: EnlargeOption = False,
    gop: Annotated[int, typer.Option("--gop", min=1, max=1000, help="Frames from one keyframe to the next.")] = 16,
    crf: Annotated[int, typer.Option("--crf", min=0, max=51, help="x264's quality: less is better, and larger.")] = 20,
    audio: Annotated[Literal["keep", "drop"], typer.Option(help="Keep the sound, or leave it out.")] = "keep",
    workers: ProcessesOption = None,
    dask: DaskOption = None,
    dask_wait: DaskWaitOption = PATIENCE,
    shard: ShardOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Encode every video as a small mp4 whose frames are quickly reached, in a folder that is a data set of its own.

    Every file keeps its path and every frame its number, so that the annotation, which is copied, still holds; each is
    opened again and its frames are counted. The same command resumes an interrupted run, and encodes only what has
    changed. Videos that cannot be read are listed, and have no file.
    """
    from tinkit.data.config.dataset import resolve_root
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.layouts.layout import SPLITS
    from tinkit.data.manifest.manifest import open_manifest
    from tinkit.data.packing.sources import SourceFiles
    from tinkit.data.reencode.encoder import VideoSettings
    from tinkit.data.reencode.make import copy_annotations, reencode
    from tinkit.spread.engine import Engine, parse_share

    engine, share = Engine(workers, dask, dask_wait), parse_share(shard)
    config = data_config(what, data, overrides).model_copy(update={"packed": None})
    root, folder = resolve_root(config), out.absolute()
    names = wanted_splits(config, root, split)
    manifests = [open_manifest(config, name) for name in names]
    for manifest in manifests:
        manifest.require_media()
    settings = VideoSettings(side=side, pixels=pixels, enlarge=enlarge, gop=gop, crf=crf, audio=audio)
    files = SourceFiles(str(root), manifests[0].media, manifests[0].frame_template, DecodeSettings.of(config))
    total = len({path for manifest in manifests for path in manifest.paths})
    notices = Notices()
    shown = notices.is_terminal and not (quiet or as_json)
    with stoppable(), notices.bar("videos", len(share.of(range(total))), shown=shown) as bar:
        outcome = reencode(manifests, files, folder, settings, engine, share, bar.advance)
    if outcome is None:
        note(f"part {share.part} of {share.parts} is done; when all are, run the command without --shard")
        return
    copied = copy_annotations(config, root, folder, [name for name in SPLITS if name in names])
    _tell(outcome, folder, copied, as_json=as_json, quiet=quiet)


def _tell(outcome: ReencodeOutcome, folder: Path, copied: list[str], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        values: dict[str, Any] = {
            "folder": str(folder),
            "videos": outcome.videos,
            "encoded now": outcome.fresh,
            "encoder": outcome.encoder,
            "annotations": copied,
            "broken": outcome.broken,
        }
        print_json(values)
    elif not quiet:
        print_line(f"{outcome.videos} videos by {outcome.encoder} in {folder}, {outcome.fresh} of them looked at now")
        print_line(f"copied {', '.join(copied)}")
    if outcome.encoder != "libx264":
        note(f"this build of PyAV has no libx264: {outcome.encoder} was used, and its files are larger")
    if outcome.broken and not as_json:
        rows = [{"video": path, "why": why} for path, why in list(outcome.broken.items())[:_SHOWN]]
        more = f", {_SHOWN} of them" if len(outcome.broken) > _SHOWN else ""
        print_table(f"{len(outcome.broken)} videos cannot be read{more}", rows)
    if outcome.broken and not outcome.videos:
        raise UserError(f"not one video can be read, such as {next(iter(outcome.broken.items()))}")
