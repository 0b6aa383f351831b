"""``tinkit submit``: a leaderboard's file from scores, or a check of an existing one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tinkit.cli.options import ForceOption, JsonOption, LedgerOption, QuietOption, complete_challenges
from tinkit.cli.parser import examples
from tinkit.errors import UsageError
from tinkit.run_folder import LEDGER
from tinkit.terminal import note, print_json, print_line, print_table

if TYPE_CHECKING:
    from tinkit.submission import CheckReport, Rehearsal

EPILOG = examples(
    "tinkit submit mmit --challenge mmit --ids testSet.csv --out submission/mmit.csv",
    "tinkit submit runs/sth/scores/test-1x1-best.arrow --challenge sthv2 --ids sthv2-test.json --out sub/v2.csv",
    "tinkit submit mmit --challenge ./mine.toml --out sub/mine.csv --fill prior --max 3",
    "tinkit submit verb=verbs noun=nouns -c epic100 --set sls_pt=2 --set sls_tl=3 --set sls_td=4 --out epic.zip",
    "tinkit submit --check submission/mmit.csv --challenge mmit --ids testSet.csv",
    "tinkit submit --check sub/demo.csv --challenge demo --answers data/demo-answers/test.csv",
)


class FillChoice(StrEnum):
    """What a clip without scores gets."""

    prior = "prior"
    uniform = "uniform"


def submit(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FUSION|SCORES|RUN]",
            help="A fusion or run (folder or name) or a score file (.arrow); of several heads, HEAD=SCORES for each.",
        ),
    ] = None,
    *,
    challenge: Annotated[
        str,
        typer.Option(
            "--challenge", "-c", help="A built-in leaderboard or a .toml file.", autocompletion=complete_challenges
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; manifest.json goes beside it.")
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option("--ids", help="The test clips: the official csv or json, a file with an id a line, or a folder."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="The split whose scores are meant (test), or that of a ground truth in json."),
    ] = None,
    fill: Annotated[
        FillChoice | None,
        typer.Option("--fill", help="What clips without scores get: the others' mean, or no opinion."),
    ] = None,
    max_fill: Annotated[int, typer.Option("--max", min=0, help="How many clips may be filled.")] = 0,
    asked: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="What the challenge asks of every entry, such as sls_pt=2."),
    ] = None,
    ledger: LedgerOption = LEDGER,
    estimate: Annotated[
        str | None,
        typer.Option("--estimate", metavar="TEXT", help="What you expect, for the ledger; else the fusion's estimate."),
    ] = None,
    force: ForceOption = False,
    check: Annotated[Path | None, typer.Option("--check", help="Check this file instead of writing one.")] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            help="With --check: score the file against these (csv: id,labels; a ground truth; scores with labels).",
        ),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            metavar="NAME=CSV",
            help="With --answers: measure on their own the clips whose value in a column of the answers is in the csv.",
        ),
    ] = None,
    categories: Annotated[
        Path | None, typer.Option("--categories", help="With --check: class names, of a category file or a score file.")
    ] = None,
    num_classes: Annotated[
        int | None, typer.Option("--num-classes", min=1, help="With --check: the number of classes.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a leaderboard's file, checked before a byte is written, or check a file with --check."""
    if not challenge:
        from tinkit.files.shipped import shipped_names

        known = ", ".join(shipped_names("submissions"))
        raise UsageError("no leaderboard was named", fix=f"--challenge, with a .toml file or one of: {known}")
    if check is not None:
        _refuse(
            "--check",
            FUSION=sources,
            out=out,
            fill=fill,
            max=max_fill or None,
            set=asked,
            estimate=estimate,
            force=force or None,
        )
        judged = Judged(check, challenge, ids, answers, categories, num_classes, _pairs("--group", groups), split)
        _judge(judged, as_json=as_json, quiet=quiet)
        return
    _refuse("writing a file", answers=answers, categories=categories, num_classes=num_classes, group=groups)
    if not sources or out is None:
        raise UsageError(
            "no scores were named" if not sources else "no file to write was named",
            fix="`tinkit submit FUSION --challenge C --out FILE`, or `tinkit submit --check FILE --challenge C`",
        )
    from tinkit.submission import Options, make_submission

    given = dict(_pairs("--set", asked))
    options = Options(
        ids, split or "test", None if fill is None else fill.value, max_fill, given, force, ledger, estimate
    )
    submission = make_submission(sources, challenge, out, options)
    _print_manifest(submission.manifest, out, as_json=as_json, quiet=quiet)
    if not submission.written:
        note(f"{out}: exists already, made from the same files with the same options: nothing was changed")


class Judged(NamedTuple):
    """A file to check, and what it is checked against."""

    path: Path
    challenge: str
    ids: Path | None
    answers: Path | None
    categories: Path | None
    num_classes: int | None
    groups: list[tuple[str, str]]
    split: str | None


def _pairs(option: str, given: list[str] | None) -> list[tuple[str, str]]:
    """``NAME=VALUE`` of each time that the option was given."""
    pairs = [text.partition("=") for text in given or ()]
    if wrong := [name for name, equals, value in pairs if not (name and equals and value)]:
        raise UsageError(f"{option} {wrong[0]}: not NAME=VALUE")
    return [(name, value) for name, _, value in pairs]


def _refuse(mode: str, **options: object) -> None:
    """Options that mean nothing in this mode."""
    if given := [name for name, value in options.items() if value is not None]:
        shown = ", ".join(name if name.isupper() else f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{shown} does not go with {mode}", fix="see `tinkit submit --help`")


def _print_manifest(manifest: dict[str, Any], out: Path, *, as_json: bool, quiet: bool) -> None:
    for line in manifest["notes"]:
        note(f"warning: {line}")
    if as_json:
        print_json(manifest)
        return
    ids = manifest["ids"]
    print_line(f"{out}: {manifest['clips']} clips, {manifest['bytes']} bytes, sha256 {manifest['sha256'][:12]}")
    if not quiet:
        print_line(
            f"test clips: {ids['path']}, read as {ids['form']}" if ids["checked"] else f"test clips: {ids['note']}"
        )
        print_line(f"all that went in: {out.with_name('manifest.json')}")


def _judge(judged: Judged, *, as_json: bool, quiet: bool) -> None:
    from tinkit.submission import judge_submission

    if judged.groups and judged.answers is None:
        raise UsageError("--group without --answers", fix="the answers say which clips are in a group")
    groups: dict[str, list[Path]] = {}
    for name, file in judged.groups:
        groups.setdefault(name, []).append(Path(file))
    report, rehearsal = judge_submission(
        judged.path,
        judged.challenge,
        ids=judged.ids,
        answers=judged.answers,
        categories=judged.categories,
        num_classes=judged.num_classes,
        groups=groups,
        split=judged.split,
    )
    if as_json:
        print_json(_as_dict(report, rehearsal))
    else:
        _print_report(report, quiet=quiet)
        if rehearsal is not None:
            rows = [{"metric": name, "percent": 100 * value} for name, value in rehearsal.metrics.items()]
            print_table(f"Rehearsal on {rehearsal.clips} clips, {rehearsal.unlabelled} without a label", rows)
    if not report.ok:
        raise typer.Exit(1)


def _print_report(report: CheckReport, *, quiet: bool) -> None:
    for problem in report.problems:
        where = f"{report.path}:{problem.line}" if problem.line else str(report.path)
        print_line(f"{where}: {problem.severity}: {problem.kind}: {problem.message}")
    for kind, count in report.counts.items():
        shown = sum(problem.kind == kind for problem in report.problems)
        if count > shown:
            print_line(f"{report.path}: {kind}: {count - shown} more")
    if not quiet:
        for line in report.notes:
            print_line(f"note: {line}")
    verdict = "good" if report.ok else "not good"
    print_line(f"{report.path}: {verdict}: {report.rows} rows, {report.errors} errors, {report.warnings} warnings")


def _as_dict(report: CheckReport, rehearsal: Rehearsal | None) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(report) | {
        "path": str(report.path),
        "ok": report.ok,
        "rehearsal": None if rehearsal is None else asdict(rehearsal),
    }
