"""One submission from end to end: which files are meant, what is written, and what a check and a rehearsal find."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files.group import refuse_unfinished
from tinkit.files.hashes import sha256_file
from tinkit.fusion.record import RECORD, check_recorded, read_record
from tinkit.run_folder import SCORES, score_files
from tinkit.scores import read_info, verified_scores
from tinkit.submission.check import CheckReport, check_submission
from tinkit.submission.classes import read_classes
from tinkit.submission.fill import Fill
from tinkit.submission.ids import read_ids
from tinkit.submission.manifest import HashedFile, finished, made_from
from tinkit.submission.plan import plan_submission
from tinkit.submission.rehearsal import Rehearsal, read_answers, rehearse
from tinkit.submission.spec import load_challenge
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
) -> Submission:
    """Check everything, then write ``out`` and the ``manifest.json`` beside it.

    ``source`` as in :func:`find_scores`, ``challenge`` a built-in name or a .toml file, ``ids`` as in
    :func:`~tinkit.submission.ids.read_ids`. Where this very submission exists already, nothing is done. Raises
    :class:`~tinkit.errors.UserError`; nothing is written then.
    """
    rules, spec_path = load_challenge(challenge)
    scores = find_scores(source, split)
    refuse_place(out, [scores, scores.with_name(RECORD), spec_path, *([] if ids is None else [ids])])
    listed = None if ids is None else read_ids(ids)
    with place_for(out):
        table, digest = verified_scores(scores)
        inputs = {"scores": HashedFile(scores, digest), "challenge": HashedFile(spec_path, sha256_file(spec_path))}
        if (fusion := check_recorded(scores, digest)) is not None:
            inputs["fusion"] = HashedFile(scores.with_name(RECORD), fusion.sha256)
        made = made_from(rules, inputs, listed, {"split": split, "fill": fill, "max": max_fill})
        if not force and (manifest := finished(out, made)) is not None:
            return Submission(manifest, written=False)
        if not force:
            refuse_overwriting(out, [], force=False)  # before the work of it
        plan = plan_submission(table, rules, listed, scores_path=scores, split=split, fill=fill, max_fill=max_fill)
        return Submission(write_in_place(plan, out, inputs=inputs, ids=listed, force=force, made=made), written=True)


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
