"""What the tests of submissions do over and over: list clips, write a file, judge one, and be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.submission_tables import make_table
from tinkit.errors import UserError
from tinkit.scores import ScoreTable
from tinkit.submission import (
    Challenge,
    CheckReport,
    IdList,
    check_submission,
    plan_submission,
    read_ids,
    write_submission,
)

TWO = make_table([[0.5, 0.5], [0.25, 0.5]], ids=["a", "b"])


def listing(*ids: str, folder: bool = False) -> IdList:
    return IdList(Path("list.txt"), "text", ids, tuple(range(1, len(ids) + 1)), folder=folder, ordered=not folder)


def write(tmp_path: Path, table: ScoreTable, rules: Challenge, ids: IdList | None = None, **options: Any) -> str:
    """The text of the file that is written."""
    plan = plan_submission(table, rules, ids, **options)
    listed = None
    if ids is not None:
        (tmp_path / "ids.txt").write_text("".join(f"{name}\n" for name in ids.ids))
        listed = read_ids(tmp_path / "ids.txt")
    write_submission(plan, tmp_path / "out.csv", inputs={}, ids=listed, force=True)
    return (tmp_path / "out.csv").read_text()


def refusal(table: ScoreTable, rules: Challenge, ids: IdList | None = None, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan_submission(table, rules, ids, **options)
    return str(caught.value)


def judge(
    tmp_path: Path,
    content: str | bytes,
    rules: Challenge,
    ids: IdList | None = None,
    *,
    classes: list[str] | None = None,
    num_classes: int | None = None,
) -> CheckReport:
    path = tmp_path / "sub.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return check_submission(path, rules, ids=ids, classes=classes, num_classes=num_classes)


def found(report: CheckReport) -> list[tuple[int | None, str]]:
    return [(problem.line, problem.kind) for problem in report.problems]
