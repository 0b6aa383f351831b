"""``tinkit data flow``: the optical flow of a data set's clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tinkit.cli.data_options import data_config, stoppable, wanted_splits
from tinkit.cli.options import (
    DaskOption,
    DaskWaitOption,
    DataOption,
    DatasetArgument,
    JsonOption,
    ProcessesOption,
    QuietOption,
    SetOption,
    ShardOption,
    SplitsOption,
)
from tinkit.cli.parser import examples
from tinkit.errors import UserError
from tinkit.spread import PATIENCE
from tinkit.terminal import Notices, note, print_json, print_line, print_table

EPILOG = examples(
    "tinkit data flow mmit --data data/mmit",
    "tinkit data flow mmit --data data/mmit --split val --method tvl1 --short-side 256",
    "tinkit data flow mmit --data data/mmit --shard 3/16",
    "tinkit data flow mine.toml --set data.flow_layout=packed --workers 16",
)


def flow(
    what: DatasetArgument,
    *,
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitsOption = None,
    method: Annotated[
        Literal["dis", "tvl1"], typer.Option(help="Dense inverse search, or TV-L1 (as published, far slower).")
    ] = "dis",
    bound: Annotated[
        float, typer.Option(min=1e-3, max=1e4, help="Motion in pixels that is stored as 0 and 255.")
    ] = 20.0,
    short_side: Annotated[
        int | None, typer.Option(min=16, max=4096, help="Scale frames to this short side first; else as they are.")
    ] = None,
    workers: ProcessesOption = None,
    dask: DaskOption = None,
    dask_wait: DaskWaitOption = PATIENCE,
    shard: ShardOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compute the optical flow of every clip, into data.flow_folder, named as data.flow_layout says.

    The same command resumes an interrupted one. Clips that cannot be decoded are listed, and have none. OpenCV
    computes it: install tinkit with the extra `flow`.
    """
    from tinkit.data.config.dataset import resolve_root
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.flow.computed import FlowSettings
    from tinkit.data.flow.folders import FlowFiles
    from tinkit.data.flow.make import count_clips, make_flow
    from tinkit.data.manifest.manifest import open_manifest
    from tinkit.spread.engine import Engine, parse_share

    config = data_config(what, data, overrides)
    root = resolve_root(config)
    manifests = [open_manifest(config, name) for name in wanted_splits(config, root, split)]
    for manifest in manifests:
        manifest.require_media()
    files = FlowFiles.of(config)
    settings = FlowSettings(method=method, bound=bound, short_side=short_side)
    notices = Notices()
    shown = notices.is_terminal and not (quiet or as_json)
    engine, share = Engine(workers, dask, dask_wait), parse_share(shard)
    total = len(share.of(range(count_clips(manifests))))
    with stoppable(), notices.bar("optical flow", total, shown=shown) as bar:
        result = make_flow(
            manifests,
            files,
            settings,
            engine=engine,
            share=share,
            on_clips=bar.advance,
            decoding=DecodeSettings.of(config),
        )
    if not share.whole:
        note(f"part {share.part} of {share.parts} is done; when all are, run the command without --shard")
    _print(root / files.folder, result.made, result.found, result.failed, as_json=as_json, quiet=quiet)
    if result.failed and not result.made and not result.found:
        raise UserError(f"no clip's flow could be computed, such as {next(iter(result.failed.items()))}")


def _print(folder: Path, made: int, found: int, failed: dict[str, str], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        values: dict[str, Any] = {"folder": str(folder), "made": made, "found": found, "failed": failed}
        print_json(values)
        return
    if not quiet:
        already = f" ({found} existed already)" if found else ""
        print_line(f"computed the optical flow of {made} clips in {folder}{already}")
    if failed:
        print_table(
            f"{len(failed)} clips have no optical flow", [{"clip": path, "why": why} for path, why in failed.items()]
        )
