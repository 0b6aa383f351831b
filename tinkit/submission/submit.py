"""One submission from end to end: which files are meant, what is written, and what a check and a rehearsal find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files.group import refuse_unfinished
from tinkit.files.hashes import sha256_file
from tinkit.fusion.record import RECORD, FusionRecord, check_recorded, read_record
from tinkit.run_folder import SCORES, score_files
from tinkit.scores import read_info, verified_scores
from tinkit.submission.answers import read_answers, read_group
from tinkit.submission.check import CheckReport, check_submission
from tinkit.submission.classes import read_classes
from tinkit.submission.fill import Fill
from tinkit.submission.ids import read_ids
from tinkit.submission.ledger import enter, estimate_of, line_of, made_of, refuse_ledger
from tinkit.submission.manifest import HashedFile, finished, made_from
from tinkit.submission.plan import Scored, plan_submission
from tinkit.submission.rehearsal import Rehearsal, rehearse
from tinkit.submission.spec import Challenge, load_challenge
from tinkit.submission.spec_parts import parse_answers
from tinkit.submission.write import place_for, refuse_overwriting, refuse_place, write_in_place


@dataclass(frozen=True)
class Submission:
    """A submission: its manifest, and whether it was ``written`` or was there already, whole and the same."""

    manifest: dict[str, Any]
    written: bool


def find_scores(name: str, split: str, *, fusions: Path = Path("fusions"), runs: Path = Path("runs")) -> Path:
    """The score file that ``name`` means.

    It is a file, a fusion's folder or its name below ``fusions``, or a run's folder or its name below ``runs`` that has
    one score file of ``split``. Raises :class:`~tinkit.errors.UsageError` with the nearest known fusion, or the score
    files of a run.
    """
    path = Path(name)
    if path.is_file():
        return path
    for folder in (path, fusions / name, runs / name):
        if not folder.is_dir():
            continue
        refuse_unfinished(folder / RECORD)
        if (folder / RECORD).is_file():
            return _of_fusion(folder, split)
        if (folder / SCORES).is_dir():
            return _of_run(folder, split)
    known = sorted(entry.name for entry in fusions.iterdir() if entry.is_dir()) if fusions.is_dir() else []
    raise UsageError(
        f"{name!r} is neither a score file nor a fusion nor a run{did_you_mean(name, known)}",
        expected=f"a .arrow file or one of the fusions: {', '.join(known) or f'none in ./{fusions}'}",
        fix="make one with `tinkit ensemble SPEC --name NAME`",
    )


def _of_fusion(folder: Path, split: str) -> Path:
    scores = folder / f"{split}.arrow"
    written = read_record(folder / RECORD)
    if not scores.is_file() or written.describes(scores.name) is None:
        have = ", ".join(sorted(written.outputs)) or "none"
        raise UserError(
            f"holds no scores of the split {split!r}, only of: {have}",
            file=folder,
            fix=f"apply the fusion: `tinkit ensemble ... --apply {split}`",
        )
    return scores


def _of_run(folder: Path, split: str) -> Path:
    files = score_files(folder)
    fitting = [file for file in files if read_info(file).split == split]
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(str(file) for file in fitting or files) or "none yet"
    count = f"{len(fitting)} score files" if fitting else "no score file"
    raise UsageError(
        f"{folder} is a run with {count} of the split {split!r}",
        expected="one of its score files",
        fix=f"name one of: {shown}" if files else f"make one: `tinkit test {folder.name} --split {split}`",
    )


@dataclass(frozen=True)
class Options:
    """How a submission is made: ``ids`` is the list of test clips, ``asked`` what the challenge asks of the entry.

    ``ledger`` is the csv that keeps what was handed in, if any, and ``estimate`` what is noted there as expected; left
    out, the estimate of the fusion, if it has one.
    """

    ids: Path | None = None
    split: str = "test"
    fill: Fill | None = None
    max_fill: int = 0
    asked: Mapping[str, str] = field(default_factory=dict)
    force: bool = False
    ledger: Path | None = None
    estimate: str | None = None


def make_submission(
    sources: str | Sequence[str], challenge: str, out: Path, options: Options | None = None
) -> Submission:
    """Check everything, then write ``out`` and the ``manifest.json`` beside it, and a line of the ledger.

    ``sources``: one as in :func:`find_scores`, or of a challenge of several heads ``HEAD=SOURCE`` for each.
    ``challenge``: a built-in name or a .toml file. Where this very submission exists already, nothing is done but to
    see that the ledger has it. Raises :class:`~tinkit.errors.UserError`; nothing is written then.
    """
    options = options or Options()
    rules, spec_path = load_challenge(challenge)
    answers = parse_answers(options.asked, rules.asked, rules.title)
    named = sources_of([sources] if isinstance(sources, str) else sources, rules)
    files = {head: find_scores(source, options.split) for head, source in named.items()}
    ids = options.ids
    used = [path for file in files.values() for path in (file, file.with_name(RECORD))]
    refuse_place(out, [*used, spec_path, *([] if ids is None else [ids])])
    if options.ledger is not None:
        refuse_ledger(options.ledger, [*used, spec_path, out, *([] if ids is None else [ids])])
    listed = None if ids is None else read_ids(ids, options.split)
    with place_for(out):
        scored, inputs, fusions = _verified(files, spec_path)
        wanted = {"split": options.split, "fill": options.fill, "max": options.max_fill, **answers}
        made = made_from(rules, inputs, listed, wanted)
        manifest = None if options.force else finished(out, made)
        done = manifest is not None
        if manifest is None:
            if not options.force:
                refuse_overwriting(out, [], force=False)  # before the work of it
            plan = plan_submission(
                scored,
                rules,
                listed,
                split=options.split,
                fill=options.fill,
                max_fill=options.max_fill,
                answers=answers,
            )
            manifest = write_in_place(plan, out, inputs=inputs, ids=listed, force=options.force, made=made)
        if options.ledger is not None:
            tables = [one.table.info for one in scored.values()]
            metric, estimate = estimate_of(fusions, tables[0].task, options.estimate)
            enter(options.ledger, line_of(manifest, out, made_of(tables), (metric, estimate)))
        return Submission(manifest, written=not done)


def sources_of(sources: Sequence[str], challenge: Challenge) -> dict[str, str]:
    """The source of each head, ``""`` where there is one only.

    Raises :class:`~tinkit.errors.UsageError` for heads without a source, and sources without a head.
    """
    heads = list(challenge.heads)
    if not heads:
        if len(sources) != 1:
            raise UsageError(
                f"{len(sources)} sources, and {challenge.title} takes one", fix="fuse them first: `tinkit ensemble`"
            )
        return {"": sources[0]}
    named = [source.partition("=")[::2] for source in sources]
    if sorted(head for head, _ in named) != sorted(heads):
        raise UsageError(
            f"{challenge.title} takes a source of scores for each of: {', '.join(heads)}",
            fix=" ".join(f"{head}=SCORES" for head in heads),
        )
    return {head: dict(named)[head] for head in heads}


def _verified(
    files: Mapping[str, Path], spec_path: Path
) -> tuple[dict[str, Scored], dict[str, HashedFile], list[FusionRecord]]:
    """The scores of each head, all that goes in with its hash, and the records of fusions among it."""
    scored: dict[str, Scored] = {}
    inputs = {"challenge": HashedFile(spec_path, sha256_file(spec_path))}
    fusions = []
    for head, file in files.items():
        table, digest = verified_scores(file)
        scored[head] = Scored(table, file)
        suffix = f"_{head}" if head else ""
        inputs[f"scores{suffix}"] = HashedFile(file, sha256_file(file))
        if (fusion := check_recorded(file, digest)) is not None:
            inputs[f"fusion{suffix}"] = HashedFile(file.with_name(RECORD), fusion.sha256)
            fusions.append(fusion)
    return scored, inputs, fusions


def judge_submission(
    path: Path,
    challenge: str,
    *,
    ids: Path | None = None,
    answers: Path | None = None,
    categories: Path | None = None,
    num_classes: int | None = None,
    groups: Mapping[str, Sequence[Path]] = MappingProxyType({}),
    split: str | None = None,
) -> tuple[CheckReport, Rehearsal | None]:
    """Check the file ``path`` and, where it passes and there are ``answers``, score it as the organisers would.

    ``groups``: for each group of clips that is measured on its own, the csv files that
    :func:`~tinkit.submission.answers.read_group` reads. ``categories`` is a category file or a score file, for the
    names of the classes. Without ``ids`` the answers' clips are the list of test clips. ``split`` says which videos of
    a ground truth are meant.
    """
    rules, _ = load_challenge(challenge)
    classes = None if categories is None else read_classes(categories, rules.class_order)
    hidden = None if answers is None else read_answers(answers, list(rules.heads), classes=classes, split=split)
    listed = read_ids(ids, split) if ids is not None else None if hidden is None else hidden.ids
    report = check_submission(path, rules, ids=listed, classes=classes, num_classes=num_classes)
    if hidden is not None and hidden.rule != "id":
        report = replace(report, notes=(*report.notes, f"the answers are {hidden.ids.form}"))
    if hidden is None or not report.ok:
        return report, None
    picked = [read_group(name, paths) for name, paths in groups.items()]
    return report, rehearse(path, rules, hidden, classes=classes, num_classes=num_classes, groups=picked)
