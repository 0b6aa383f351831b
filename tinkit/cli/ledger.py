"""``tinkit ledger``: what was handed in so far, and what the leaderboards said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinkit.cli.options import JsonOption, LedgerOption
from tinkit.cli.parser import examples
from tinkit.errors import UsageError
from tinkit.run_folder import LEDGER
from tinkit.terminal import print_json, print_line, print_table

EPILOG = examples(
    "tinkit ledger",
    "tinkit ledger submission/mmit.csv --answer 0.6077",
    'tinkit ledger submission/mmit.csv --answer 0.6077 --note "third of 40 teams"',
)

_SHOWN = ("time", "challenge", "file", "made_of", "metric", "estimate", "answer", "note")


def ledger(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A file that was handed in.")] = None,
    *,
    answer: Annotated[
        str | None, typer.Option("--answer", metavar="TEXT", help="What the leaderboard said of FILE, to be noted.")
    ] = None,
    remark: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="A note on it.")] = None,
    ledger: LedgerOption = LEDGER,
    as_json: JsonOption = False,
) -> None:
    """Show what `tinkit submit` wrote and what was expected of it, or note a leaderboard's answer."""
    from tinkit.submission import enter_answer, read_ledger

    if (file is None) != (answer is None) or (remark is not None and answer is None):
        raise UsageError(
            "a file without the leaderboard's answer" if answer is None else "an answer without its file",
            fix="`tinkit ledger FILE --answer TEXT`, or `tinkit ledger` alone to show all",
        )
    if file is not None and answer is not None:
        if not file.is_file():
            raise UsageError(f"{file}: no such file", fix="name the file that was handed in")
        line = enter_answer(ledger, file, answer, remark)
        if as_json:
            print_json(line)
        else:
            print_line(f"{ledger}: {line['file']}: expected {line['estimate'] or 'nothing'}, answer {line['answer']}")
        return
    lines = read_ledger(ledger)
    if as_json:
        print_json(lines)
    elif lines:
        print_table(str(ledger), [{name: line[name] for name in _SHOWN} for line in lines])
    else:
        print_line(f"{ledger}: nothing was handed in yet")
