"""The whole way of one submission: which files are meant, what is written, and what a check and a rehearsal say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.scores import read_scores
from tinkit.submission.check import CheckReport, check_submission
from tinkit.submission.classes import read_classes
from tinkit.submission.ids import read_ids
from tinkit.submission.plan import Fill, plan_submission
from tinkit.submission.rehearsal import Rehearsal, read_answers, rehearse
from tinkit.submission.spec import load_challenge
from tinkit.submission.write import refuse_overwriting, write_submission


@dataclass(frozen=True)
class Source:
    """Where scores come from: a score file and, where a fusion made it, its ``fusion.json``."""

    scores: Path
    fusion: Path | None


def find_scores(name: str, split: str, *, fusions: Path = Path("fusions")) -> Source:
    """The score file that ``name`` means: a file, a fusion's folder, or a fusion's name below ``fusions``.

    Raises :class:`~tinkit.errors.UsageError` with the nearest known fusion, or the score files of a run.
    """
    path = Path(name)
    if path.is_file():
        fusion = path.with_name("fusion.json")
        return Source(path, fusion if fusion.is_file() else None)
    for folder in (path, fusions / name):
        if not folder.is_dir():
            continue
        if (folder / "fusion.json").is_file():
            return _of_fusion(folder, split)
        if (folder / "scores").is_dir():
            files = ", ".join(str(file) for file in sorted((folder / "scores").glob("*.arrow"))) or "none yet"
            raise UsageError(f"{folder} is a run", expected="one of its score files", fix=f"name one of: {files}")
    known = sorted(entry.name for entry in fusions.iterdir() if entry.is_dir()) if fusions.is_dir() else []
    raise UsageError(
        f"{name!r} is neither a score file nor a fusion{did_you_mean(name, known)}",
        expected=f"a .arrow file or one of the fusions: {', '.join(known) or f'none in ./{fusions}'}",
        fix="make one with `tinkit ensemble SPEC --name NAME`",
    )


def _of_fusion(folder: Path, split: str) -> Source:
    scores = folder / f"{split}.arrow"
    if not scores.is_file():
        have = ", ".join(sorted(file.stem for file in folder.glob("*.arrow"))) or "none"
        raise UserError(
            f"holds no scores of the split {split!r}, only of: {have}",
            file=folder,
            fix=f"apply the fusion: `tinkit ensemble ... --apply {split}`",
        )
    return Source(scores, folder / "fusion.json")


def make_submission(
    source: str,
    challenge: str,
    out: Path,
    *,
    ids: Path | None = None,
    split: str = "test",
    fill: Fill | None = None,
    max_fill: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Check everything, then write ``out`` and the ``manifest.json`` beside it; returns the manifest.

    ``source`` as in :func:`find_scores`, ``challenge`` a built-in name or a .toml file, ``ids`` as in
    :func:`~tinkit.submission.ids.read_ids`. Raises :class:`~tinkit.errors.UserError`; nothing is written then.
    """
    rules, spec_path = load_challenge(challenge)
    found = find_scores(source, split)
    inputs = {"scores": found.scores, "challenge": spec_path}
    if found.fusion is not None:
        inputs["fusion"] = found.fusion
    refuse_overwriting(out, [*inputs.values(), *([] if ids is None else [ids])], force=force)
    listed = None if ids is None else read_ids(ids)
    table = read_scores(found.scores)
    plan = plan_submission(table, rules, listed, scores_path=found.scores, split=split, fill=fill, max_fill=max_fill)
    return write_submission(plan, out, inputs=inputs, ids=listed, force=force)


def judge_submission(
    path: Path,
    challenge: str,
    *,
    ids: Path | None = None,
    answers: Path | None = None,
    categories: Path | None = None,
    num_classes: int | None = None,
) -> tuple[CheckReport, Rehearsal | None]:
    """Check the file ``path`` and, where it passes and there are ``answers``, score it as the organisers would.

    ``categories`` is a category file or a score file, for the names of the classes. Without ``ids`` the answers' clips
    are the list of test clips.
    """
    rules, _ = load_challenge(challenge)
    hidden = None if answers is None else read_answers(answers)
    listed = read_ids(ids) if ids is not None else None if hidden is None else hidden.ids
    classes = None if categories is None else read_classes(categories, rules.class_order)
    report = check_submission(path, rules, ids=listed, classes=classes, num_classes=num_classes)
    if hidden is None or not report.ok:
        return report, None
    return report, rehearse(path, rules, hidden, classes=classes, num_classes=num_classes)
