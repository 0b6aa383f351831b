"""Text: what is printed is shown and not obeyed, in any encoding and to any stream; what files are read in."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from tinkit.errors import UserError
from tinkit.files.text import decode, read_text
from tinkit.foreign_scores import read_foreign
from tinkit.submission.answers import read_answers
from tinkit.submission.classes import read_classes
from tinkit.submission.ids import read_ids
from tinkit.terminal import Notices, complain, note, plain, print_json, print_line, print_table

from .outcome import Outcome

_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")
_PARTS = [
    *("[something]", "[/x]", "[bold]", "[ID].mp4", ":smile:", "\\[", "]", "[link=a]", "a", "é", "中", "\U0001f600"),
    *(
        "\x1b[31m",
        "\x1b]0;t\x07",
        "\n",
        "\r",
        "\t",
        "\x00",
        "\x7f",
        "\x9b",
        "\u202e",
        "\u2066",
        "\u2028",
        "\ud800",
        "\udcff",
    ),
]
_REDIRECTIONS = (">/dev/full", ">&-", "2>/dev/full", "2>&-", ">&- 2>&-", ">&- 2>&- <&-", "| :", "2>&1 | :")
_COMMANDS = {
    "data layouts": 0, "recipes mmit_r50 --json": 0, "--version": 0, "submit --help": 0, "recipes nonsense": 2,
    "nonsense": 2, "data show mmit --data .": 1,
}  # fmt: skip
_ENCODINGS = ("ascii", "cp1252", "cp437", "latin-1", "gbk", "shift_jis", "utf-8", "ascii:strict", "utf-16")
_LEGACY = {
    "gbk": "骑马\n跳舞\n唱歌\n", "big5": "騎馬\n跳舞\n唱歌\n", "shift_jis": "走る\n歩く\n跳ぶ\n",
    "euc_kr": "달리기\n걷기\n",
    "cp1251": "бег\nпрыжок\n", "koi8_r": "бег\nпрыжок\n", "latin-1": "café\npêche\n", "cp1250": "běh\nskok žába\n",
}  # fmt: skip


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Every way of printing with drawn text; commands with every stream; readers with every encoding."""
    yield from _drawn_text(random.Random(seed))
    yield from _streams(folder)
    yield from _terminal_encodings()
    yield from _file_encodings(folder)
    yield from _legacy_encodings(folder)


def _drawn_text(rng: random.Random, draws: int = 2000) -> Iterator[Outcome]:
    ways: dict[str, Callable[[str], object]] = {
        "a line": print_line,
        "a table's title": lambda text: print_table(text, [{"a": 1}]),
        "a table's head": lambda text: print_table("", [{text: 1}]),
        "a table's cell": lambda text: print_table("", [{"a": text}]),
        "a notice": note,
        "an error": lambda text: complain(UserError("x", file=text)),
        "progress": lambda text: Notices().say(text),
    }
    for name, way in ways.items():
        bad = sum(not _shown_as_it_is(way, _draw(rng)) for _ in range(draws // len(ways)))
        yield Outcome(
            "text that a terminal would obey or rich would take for markup", name, bad == 0, note=f"{bad} bad"
        )
    bad = 0
    for _ in range(draws):
        text, out = _draw(rng), io.StringIO()
        with redirect_stdout(out):
            print_json({text: text})
        # two halves that stand together are one character in JSON
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        bad += json.loads(out.getvalue()) != {whole: whole}
    yield Outcome("text that a terminal would obey or rich would take for markup", "JSON is exact", bad == 0)


def _draw(rng: random.Random) -> str:
    return "".join(rng.choice(_PARTS) for _ in range(rng.randint(1, 6))).strip() or "x"


def _shown_as_it_is(way: Callable[[str], object], text: str) -> bool:
    """Whether ``text`` is there in full, and nothing that is obeyed."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        way(text)
    shown = said.getvalue()
    obeyed = any(unicodedata.category(c) in _OBEYED for c in shown.replace("\n", ""))
    whole = plain(text) in shown or plain(text) in "".join(line.strip("│┃ ") for line in shown.split("\n"))
    return whole and not obeyed


def _main(words: str) -> str:
    return f"import sys; sys.argv[1:] = {words.split()!r}; from tinkit.cli.app import main; main()"


def _streams(folder: Path) -> Iterator[Outcome]:
    for words, usual in _COMMANDS.items():
        for redirection in _REDIRECTIONS:
            piped = "|" in redirection
            command = f'"$0" -c "$1" {redirection}' + ("; exit ${PIPESTATUS[0]}" if piped else "")
            child = subprocess.run(
                ["bash", "-c", command, sys.executable, _main(words)], capture_output=True, text=True, cwd=folder
            )
            lost = redirection == ">/dev/full" and usual == 0
            # whether the reader of a pipe leaves before or after the output is there is a race
            codes = {usual, 1} if piped else {1 if lost else usual}
            quiet = "Traceback" not in child.stderr and "Exception ignored" not in child.stderr
            survived = child.returncode in codes and quiet and (not lost or "standard output" in child.stderr)
            case = f"tinkit {words} {redirection}"
            yield Outcome("a stream that is closed or full", case, survived, note=f"exit code {child.returncode}")


def _terminal_encodings() -> Iterator[Outcome]:
    code = (
        "from tinkit import terminal as t; t.prepare(); n = '\\xe9\\u4e2d\\U0001f600\\udcff [x]'\n"
        "t.print_line(n); t.print_table(n, [{n: n}]); t.print_json(n); t.note(n); t.complain(n); t.Notices().say(n)"
    )
    for encoding in _ENCODINGS:
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
        survived = child.returncode == 0 and not (encoding != "utf-16" and b"Error" in child.stderr)
        yield Outcome("a terminal whose encoding lacks characters", encoding, survived)
    for language in ("C", "POSIX", "en_US.ISO-8859-1"):
        environment = {**os.environ, "LC_ALL": language, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
        yield Outcome("a terminal whose encoding lacks characters", f"LC_ALL={language}", child.returncode == 0)


def _file_encodings(folder: Path) -> Iterator[Outcome]:
    readers: dict[str, tuple[str, Callable[[Path], object]]] = {
        "ids.txt": ("é 1\nb\n", lambda file: read_ids(file).ids),
        "ids.csv": ("é,1\nb,2\n", lambda file: read_ids(file).ids),
        "ids.json": ('[{"id": "é"}, {"id": "b"}]', lambda file: read_ids(file).ids),
        "answers.csv": ("id,labels\né,0 1\n", lambda file: read_answers(file).labels),
        "scores.csv": ("id,a,b\né,0.5,1\n", lambda file: read_foreign(file).ids),
        "classes.txt": ("é,1\nb,0\n", lambda file: read_classes(file, "file")),
        "classes.json": ('{"é": 1, "b": 0}', lambda file: read_classes(file, "file")),
    }
    for name, (text, read) in readers.items():
        file = folder / name
        file.write_text(text, encoding="utf-8")
        expected = read(file)
        for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
            file.write_bytes(text.encode(encoding))
            yield Outcome("a list in another Unicode encoding", f"{name} in {encoding}", read(file) == expected)
        file.write_bytes("é,1\n".encode("gbk"))
        yield Outcome("a list in no Unicode encoding", f"{name} in GBK", _refused(lambda f=file, r=read: r(f)))


def _refused(use: Callable[[], object]) -> bool:
    try:
        use()
    except UserError as error:
        return "iconv" not in str(error)
    return False


def _legacy_encodings(folder: Path) -> Iterator[Outcome]:
    for encoding, text in _LEGACY.items():
        data, message = text.encode(encoding), ""
        (folder / "legacy.txt").write_bytes(data)
        try:
            read_text(folder / "legacy.txt")
        except UserError as error:
            message = str(error)
        survived = repr(text.split("\n")[0]) in message and "iconv" not in message
        yield Outcome("a list in no Unicode encoding", f"{encoding}: the right reading is named", survived)
    for size in range(1, 64):
        data = b"a/clip.mp4 30 1\n" * 9
        broken = data[:size] + b"\0" + data[size:]
        survived = _refused(lambda found=broken: decode(found, folder / "zero"))
        yield Outcome("a zero byte in a list", f"at {size}", survived)
