"""``tinkit data prepare``: manifests built, and every clip of theirs opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.data_options import data_config, wanted_splits
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
from tinkit.errors import UsageError, UserError
from tinkit.spread import PATIENCE
from tinkit.terminal import Notices, note, print_table

if TYPE_CHECKING:
    import pyarrow as pa

    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.manifest.manifest import Manifest
    from tinkit.data.probe.presence import Presence
    from tinkit.data.probe.report import Report
    from tinkit.spread.engine import Engine, Share

EPILOG = examples(
    "tinkit data prepare mmit --data data/mmit",
    "tinkit data prepare mine.toml --report clips.csv --max-bad 0.5%",
    "tinkit data prepare kinetics400 --data /data/k400 --no-probe",
    "tinkit data prepare kinetics400 --data /data/k400 --shard 3/16",
    "tinkit data prepare kinetics400 --data /data/k400 --dask tcp://head:8786",
)


@dataclass(frozen=True)
class Probed:
    """What was found of a split: every clip's row, and the summary."""

    table: pa.Table
    report: Report


def prepare(
    what: DatasetArgument,
    *,
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitsOption = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Rebuild manifests that are up to date.")] = False,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Open every clip; else only look whether its file is there.")
    ] = True,
    report: Annotated[Path | None, typer.Option("--report", help="A csv with a line for every clip.")] = None,
    max_bad: Annotated[
        str | None,
        typer.Option("--max-bad", metavar="N|P%", help="Exit with 1 if more clips of a split cannot be read."),
    ] = None,
    workers: ProcessesOption = None,
    dask: DaskOption = None,
    dask_wait: DaskWaitOption = PATIENCE,
    shard: ShardOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check the annotations, build the manifests, and open every clip.

    Of each clip the frames are counted, and the first one is decoded. Clips that were probed before, and have not
    changed since, are not opened again; an interrupted run continues. Exits with 1 where more than 1% of a split's
    clips cannot be read (of few clips: more than five, or than a tenth), or more than --max-bad says.
    """
    from tinkit.data.config.dataset import resolve_root
    from tinkit.data.probe.presence import decode_one, require_present, tolerated, words
    from tinkit.spread.engine import Engine, parse_share

    if not probe and (report or dask or shard):
        raise UsageError("--report, --dask and --shard go with probing", fix="leave out --no-probe")
    share = parse_share(shard)
    if max_bad is not None:
        _limit(max_bad, 0)
    config = data_config(what, data, overrides)
    root = resolve_root(config)
    shown = Notices().is_terminal and not quiet
    opened = [_opened(config, name, rebuild=rebuild, shown=shown) for name in wanted_splits(config, root, split)]
    manifests, found = [manifest for manifest, _ in opened], [one for _, one in opened]
    there = all(one.lacking <= tolerated(one.files) for one in found) or max_bad is not None or report is not None
    if config.packed is not None:  # the clips' own files need not be here
        probe = False
        _say(
            "clips are read from shards, which `tinkit data frames --verify` checks; their files are not opened",
            quiet=quiet,
        )
    reports = _probe(config, manifests, Engine(workers, dask, dask_wait), share, quiet=quiet) if probe and there else []
    if report is not None and reports:
        _write(report, reports)
        _say(f"wrote {report}", quiet=quiet)
    _tell(root, manifests, found, reports, as_json=as_json)
    if not reports and shard is None:
        _say(
            "looked for every clip's file, and decodes one clip of each split; the others are not decoded", quiet=quiet
        )
    for manifest, one in zip(manifests, found, strict=True):
        manifest.require_media()
        decode_one(manifest)
        if one.lacking:
            note(f"{manifest.split}: {words(one)}, such as {manifest.root / (one.first or '')}")
    for manifest, one in zip(manifests, found, strict=True):
        if max_bad is None:
            require_present(manifest, one)
    for probed in reports:
        _judge(probed.report, max_bad)


def _tell(
    root: Path, manifests: list[Manifest], found: list[Presence], reports: list[Probed], *, as_json: bool
) -> None:
    """The manifests, and what was found of their clips."""
    rows = [
        summary_of(manifest)
        | {"missing": one.missing, "empty": one.empty}
        | (_more(reports[number:]) if as_json else {})
        for number, (manifest, one) in enumerate(zip(manifests, found, strict=True))
    ]
    print_table(f"Manifests of {root}", rows, as_json=as_json)
    for manifest in manifests:
        for line in manifest.skipped:
            note(f"{manifest.split}: {line}")
    if reports and not as_json:
        print_table("Clips", [row for one in reports for row in one.report.rows()])


def _say(text: str, *, quiet: bool) -> None:
    """A line about what is being done, which nobody needs for the result."""
    if not quiet:
        note(text)


def _probe(config: DataConfig, manifests: list[Manifest], engine: Engine, share: Share, *, quiet: bool) -> list[Probed]:
    """The clips of every split opened, and what was found; nothing yet of a mere shard."""
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.probe.clip import HowToProbe, crashed
    from tinkit.data.probe.report import report_of
    from tinkit.data.probe.survey import survey

    probed = []
    for manifest in manifests:
        how = HowToProbe(str(manifest.root), manifest.media, manifest.frame_template, DecodeSettings.of(config))
        total = len(manifest.paths)
        part = len(share.of(range(total)))
        with Notices().bar(f"opening clips of {manifest.split}", part, shown=not quiet) as bar:
            table = survey(manifest, how, lambda function: engine.spread(function, crashed), share, bar.advance)
        if share.whole:
            probed.append(Probed(table, report_of(manifest, table)))
    if not share.whole:
        said = f"probed part {share.part} of {share.parts}; when all are, run the command without --shard"
        _say(said, quiet=quiet)
    return probed


def _write(file: Path, probed: list[Probed]) -> None:
    from tinkit.data.probe.report import write_report

    write_report(file, {one.report.split: one.table for one in probed})


def _more(probed: list[Probed]) -> dict[str, Any]:
    """What the survey adds to the row of a manifest: counts by status."""
    if not probed:
        return {}
    counts = probed[0].report.counts
    return {word: counts[word] for word in ("good", "no video", "no frames", "unreadable", "duplicate by content")}


def _limit(text: str, clips: int) -> int:
    from tinkit.data.probe.report import limit_of

    try:
        return limit_of(text, clips)
    except ValueError:
        raise UsageError(f"--max-bad {text} is neither", expected="a number of clips, or percent: 20, 0.5%") from None


def _judge(report: Report, limit: str | None) -> None:
    """Raise :class:`~tinkit.errors.UserError` where more clips cannot be read than is tolerated."""
    from tinkit.data.probe.presence import tolerated

    most = tolerated(report.clips) if limit is None else _limit(limit, report.clips)
    if report.bad > most:
        bad = {word: count for word, count in report.counts.items() if word in report.examples and count}
        first = next((path for word, path in report.examples.items() if path and bad.get(word)), "")
        raise UserError(
            f"{report.split}: {report.bad} of {report.clips} clips cannot be read, such as {first}",
            expected=f"at most {most}",
            fix="replace them, or take them out of the annotation; --report FILE lists every clip",
        )


def summary_of(manifest: Manifest) -> dict[str, Any]:
    """A manifest in a row."""
    import pyarrow.compute as pc

    counts = manifest.label_counts()
    return {
        "split": manifest.split,
        "clips": len(manifest),
        "sources": pc.count_distinct(manifest.table.column("source")).as_py(),
        "classes": len(manifest.classes),
        "labels": int(counts.sum()) if manifest.labelled else None,
        "classes without a clip": int((counts == 0).sum()) if manifest.labelled else None,
        "manifest": str(manifest.file),
    }


def _opened(config: DataConfig, split: str, *, rebuild: bool, shown: bool) -> tuple[Manifest, Presence]:
    """A manifest and which of its clips are there; built anew where some are not that may have come since."""
    from tinkit.data.manifest.manifest import open_manifest

    manifest = open_manifest(config, split, rebuild=rebuild)
    found = _count(manifest, shown=shown)
    if found.missing and config.layout.lists_clips and not rebuild:
        return _opened(config, split, rebuild=True, shown=shown)
    return manifest, found


def _count(manifest: Manifest, *, shown: bool) -> Presence:
    from tinkit.data.probe.presence import count_present

    with Notices().bar(f"files of {manifest.split}", len(manifest), shown=shown) as bar:
        return count_present(manifest, bar.advance)
