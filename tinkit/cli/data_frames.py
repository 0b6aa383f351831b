"""``tinkit data frames``: the frames of a data set's clips, packed in tar shards, or in folders."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from tinkit.errors import UsageError, UserError
from tinkit.spread import PATIENCE
from tinkit.terminal import Notices, note, print_json, print_table

if TYPE_CHECKING:
    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.manifest.manifest import Manifest
    from tinkit.data.packed.index import PackSettings
    from tinkit.data.packing.place import PackTo
    from tinkit.data.packing.sources import SourceFiles
    from tinkit.spread.engine import Engine, Share

EPILOG = examples(
    "tinkit data frames mmit --data data/mmit",
    "tinkit data frames kinetics400 --data /data/k400 --out /fast/k400 --shard-size 500MB",
    "tinkit data frames kinetics400 --data /data/k400 --shard 3/16",
    "tinkit data frames mmit --data data/mmit --verify",
    "tinkit data frames sthv2 --data data/sthv2 --side height --enlarge --loose",
)

PACKED, LOOSE = "packed", "frames"
"""Where shards and folders go, below the data set's folder, unless said otherwise."""

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SHOWN = 20  # broken clips in a table; --json has all


def frames(
    what: DatasetArgument,
    *,
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitsOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write into DIR, not ROOT/packed (--loose: ROOT/frames)."),
    ] = None,
    side: SideOption = "short",
    pixels: PixelsOption = 256,
    enlarge: EnlargeOption = False,
    quality: Annotated[int, typer.Option("--quality", min=1, max=100, help="JPEG's quality.")] = 90,
    shard_size: Annotated[
        str, typer.Option("--shard-size", metavar="SIZE", help="Bytes of a shard at most, such as 500MB or 2GiB.")
    ] = "1GB",
    loose: Annotated[
        bool, typer.Option("--loose", help="Write folders of images, and lists of them, as TSN does.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check what was packed, byte by byte; write nothing.")
    ] = False,
    workers: ProcessesOption = None,
    dask: DaskOption = None,
    dask_wait: DaskWaitOption = PATIENCE,
    shard: ShardOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Decode every clip once, and keep its frames as JPEGs in tar shards, which training reads faster.

    The shards are read by tar, WebDataset, and tinkit (data.packed). The same command resumes an interrupted run, and
    packs only what has changed. Clips that cannot be decoded are listed, and are broken clips when the shards are read.
    """
    from tinkit.data.config.dataset import resolve_root
    from tinkit.data.manifest.manifest import open_manifest
    from tinkit.data.packed.index import PackSettings
    from tinkit.spread.engine import Engine, parse_share

    if loose and verify:
        raise UsageError("--verify checks shards, not folders", fix="leave one of --verify and --loose out")
    job = _Job(_bytes(shard_size), Engine(workers, dask, dask_wait), parse_share(shard), shown=not (quiet or as_json))
    config = data_config(what, data, overrides).model_copy(update={"packed": None})
    root = resolve_root(config)
    settings = PackSettings(side=side, pixels=pixels, enlarge=enlarge, quality=quality)
    manifests = [open_manifest(config, name) for name in wanted_splits(config, root, split)]
    folder = (root / (LOOSE if loose else PACKED)) if out is None else out.absolute()
    if verify:
        _verify(config, manifests, folder, settings, job, as_json=as_json)
        return
    for manifest in manifests:
        manifest.require_media()
    with stoppable():
        write = _write_loose if loose else _pack
        told = write(config, manifests, folder, settings, job)
    if not job.share.whole:
        note(f"part {job.share.part} of {job.share.parts} is done; when all are, run the command without --shard")
        return
    _tell(told, folder, as_json=as_json, quiet=quiet)


@dataclass(frozen=True)
class _Job:
    """How the work is done: bytes of a shard at most, by which processes, which share of it, and whether bars show."""

    most: int
    engine: Engine
    share: Share
    shown: bool

    def bar(self, what: str, total: int) -> AbstractContextManager[Any]:
        """A bar of progress."""
        notices = Notices()
        return notices.bar(what, total, shown=notices.is_terminal and self.shown)


@dataclass(frozen=True)
class _Told:
    """What was done, for people and for programs: a table, and {clip: why} of what is broken."""

    rows: list[dict[str, Any]]
    broken: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether not a single clip can be read."""
        return bool(self.broken) and not any(row["clips"] for row in self.rows)


def _pack(config: DataConfig, manifests: list[Manifest], folder: Path, settings: PackSettings, job: _Job) -> _Told:
    from tinkit.data.packing.pack import pack_split

    rows: list[dict[str, Any]] = []
    broken: dict[str, str] = {}
    for manifest in manifests:
        to = _place(config, manifest, folder, settings, job)
        with job.bar(f"frames of {manifest.split}", len(job.share.of(range(len(manifest))))) as bar:
            outcome = pack_split(manifest, _files(config, manifest), to, job.engine, job.share, bar.advance)
        if outcome is None:
            continue
        rows.append(
            {
                "split": manifest.split,
                "clips": outcome.packed,
                "packed now": outcome.fresh,
                "broken": len(outcome.broken),
                "shards": len(outcome.shards),
                "MB": round(sum(shard.size for shard in outcome.shards) / 1e6, 1),
                "index": str(to.index),
            }
        )
        broken |= {f"{manifest.split}: {clip}": why for clip, why in outcome.broken.items()}
    return _Told(rows, broken)


def _write_loose(
    config: DataConfig, manifests: list[Manifest], folder: Path, settings: PackSettings, job: _Job
) -> _Told:
    from tinkit.data.packing.loose import LooseFolder, write_loose

    to = LooseFolder(folder, config.layout.media_folder, settings)
    total = len({path for manifest in manifests for path in manifest.paths})
    with job.bar("folders of frames", len(job.share.of(range(total)))) as bar:
        outcome = write_loose(manifests, _files(config, manifests[0]), to, job.engine, job.share, bar.advance)
    if outcome is None:
        return _Told([], {})
    row = {
        "clips": outcome.videos,
        "written now": outcome.fresh,
        "broken": len(outcome.broken),
        "lists": " ".join(outcome.lists),
        "folder": str(folder),
    }
    unlabelled = tuple(
        f"{manifest.split}: its labels are not known; the list has 0 in their place"
        for manifest in manifests
        if not manifest.labelled
    )
    return _Told([row], outcome.broken, (*outcome.problems, *unlabelled))


def _verify(
    config: DataConfig,
    manifests: list[Manifest],
    folder: Path,
    settings: PackSettings,
    job: _Job,
    *,
    as_json: bool,
) -> None:
    """Check the shards of every split. Raises :class:`~tinkit.errors.UserError` where anything is wrong."""
    from tinkit.data.packing.verify import read_split, verify_split

    rows: list[dict[str, Any]] = []
    faults: list[dict[str, Any]] = []
    for manifest in manifests:
        to = _place(config, manifest, folder, settings, job)
        about = read_split(to).about
        with job.bar(f"shards of {manifest.split}", len(about.shards)) as bar:
            found = verify_split(manifest, to, job.engine, bar.advance)
        rows.append({"split": manifest.split, "shards": len(about.shards), "faults": len(found)})
        faults += [{"split": manifest.split, "shard": one.shard, "clip": one.id, "fault": one.problem} for one in found]
    if as_json:
        print_json({"splits": rows, "faults": faults})
    else:
        print_table(f"Verified in {folder}", rows)
        if faults:
            print_table("Faults", faults[:_SHOWN])
    if faults:
        first = faults[0]
        raise UserError(
            f"{len(faults)} faults, such as {first['shard']}: {first['clip']}: {first['fault']}",
            file=folder,
            fix="remove the shards that are named, and run the command without --verify: their clips are packed again",
        )


def _place(config: DataConfig, manifest: Manifest, folder: Path, settings: PackSettings, job: _Job) -> PackTo:
    from tinkit.data.config.dataset import packed_name
    from tinkit.data.packing.place import PackTo

    return PackTo(folder, packed_name(config, manifest.split), job.most, settings)


def _files(config: DataConfig, manifest: Manifest) -> SourceFiles:
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.packing.sources import SourceFiles

    return SourceFiles(str(manifest.root), manifest.media, manifest.frame_template, DecodeSettings.of(config))


def _tell(told: _Told, folder: Path, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({"folder": str(folder), "done": told.rows, "broken": told.broken})
    elif not quiet:
        print_table(f"Frames in {folder}", told.rows)
    for line in told.notes:
        note(line)
    if told.broken and not as_json:
        rows = [{"clip": clip, "why": why} for clip, why in list(told.broken.items())[:_SHOWN]]
        more = f", {_SHOWN} of them" if len(told.broken) > _SHOWN else ""
        print_table(f"{len(told.broken)} clips are broken{more}", rows)
    if told.nothing:
        raise UserError(f"not one clip can be read, such as {next(iter(told.broken.items()))}")


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?) ?([KMG]?i?B?)", text, re.IGNORECASE)
    factor = _UNITS.get(found[2].upper()) if found else None
    if found is None or factor is None or not 10_000 <= float(found[1]) * factor < 1e15:
        raise UsageError(f"--shard-size {text} is not a shard size", expected="10KB at least, such as 500MB or 2GiB")
    return int(float(found[1]) * factor)
