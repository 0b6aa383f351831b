"""Recipes of strangers: TOML and JSON that is damaged or made to harm, bad values of every key, and marks that lie."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w

from benchmarks.faults.outcome import Outcome
from tinkit.errors import UserError
from tinkit.files.json import read_json
from tinkit.files.shipped import shipped, shipped_names
from tinkit.recipe import load_recipe, save_recipe
from tinkit.recipe.schema import Recipe, known_keys

GOOD = '[data]\ndataset = "mmit"\n[optim]\nlr = 0.1\nbatch = 4\nepochs = 3\n'
MEGABYTE = 1 << 20
LONGEST = 60.0
"""Seconds that a megabyte may take; what grows with the square of it takes hours."""


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Every case of this module, in about two minutes; ``folder`` is empty."""
    yield from hostile_toml(folder)
    yield from not_files(folder)
    yield from hostile_json(folder)
    yield from mutated(folder, random.Random(seed), 400)
    yield from bad_values()
    yield from odd_overrides()
    yield from provenance(folder, random.Random(seed), 60)
    yield from commands(folder)


class _TooLongError(BaseException):
    """Nothing that is tried may catch it."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refused(kind: str, case: str, load: Callable[[], object], words: str = "", *, may_pass: bool = False) -> Outcome:
    """Whether ``load`` ends in a message that holds ``words``, in time; with ``may_pass`` it may also succeed."""
    begun = time.perf_counter()
    try:
        with _limited(LONGEST):
            load()
        survived, note = may_pass, "" if may_pass else "taken without a word"
    except UserError as error:
        survived = words in str(error) and len(str(error)) < 20_000
        note = "" if survived else str(error)[:100]
    except _TooLongError:
        survived, note = False, f"more than {LONGEST:g} s"
    except Exception as error:  # whatever it is: a traceback for a user's mistake is what is looked for
        survived, note = False, f"{type(error).__name__}: {error}"[:100]
    return Outcome(kind, case, survived, time.perf_counter() - begun, note=note)


def _repeated(unit: str, head: str = "", tail: str = "") -> str:
    return head + unit * ((MEGABYTE - len(head) - len(tail)) // len(unit)) + tail


def hostile_toml(folder: Path) -> Iterator[Outcome]:
    """Up to a megabyte of everything that some parser is slow at or falls over."""
    digits, path = "1" * 4301, folder / "hostile.toml"
    texts = {
        "lists 1,000 deep": "x = " + "[" * 1000 + "]" * 1000,
        "tables 1,000 deep": "x = " + "{a=" * 1000 + "1" + "}" * 1000,
        "a key of 1,000 parts": ".".join("a" * 1000) + " = 1",
        "a head of 1,000 parts": "[" + ".".join("a" * 1000) + "]",
        "4,301 digits": GOOD.replace("0.1", digits),
        "10,000 hexadecimal digits": GOOD.replace("0.1", "0x" + "f" * 10_000),
        "a number of 65 bits": GOOD.replace("= 4", f"= {2**64}"),
        "inf": GOOD.replace("0.1", "inf"),
        "nan": GOOD.replace("0.1", "nan"),
        "1e999": GOOD.replace("0.1", "1e999"),
        "true for a number": GOOD.replace("0.1", "true"),
        "a date": GOOD.replace("0.1", "2020-02-02"),
        "a local time": GOOD.replace('"mmit"', "07:32:00"),
        "NUL in a name": 'name = "a\\u0000"\n' + GOOD,
        "two lines in a name": 'name = "a\\nb"\n' + GOOD,
        "a name of 5,000 letters": f'name = "{"a" * 5000}"\n' + GOOD,
        "a dot in quotes": '"optim.lr" = 1\n' + GOOD,
        "a quote in a key": "'a\"b' = 1\n" + GOOD,
        "a mark that fits nothing": GOOD + '[sources]\n"optim.lrr" = "published: x"\n',
        "a megabyte of [": _repeated("["),
        "a megabyte of {": _repeated("{", "x = "),
        "a megabyte of parts": _repeated("a.", "", "a = 1"),
        "a megabyte of blanks": _repeated(" "),
        "a megabyte of blanks behind [ in a text": _repeated(" ", 'x = """\n[', '"""'),
        "a megabyte of quotes": _repeated("'\"", 'x = """', 'x"""'),
        "a megabyte of one word": _repeated("a"),
        "a megabyte of keys": "".join(f"k{n} = 1\n" for n in range(80_000)),
        "a megabyte of numbers": _repeated("1,", "x = [", "]"),
        "a megabyte of fractions": _repeated("0.5 , ", "x = [", "]"),
        "a megabyte of tables": _repeated("[[published]]\n", GOOD),
        "a megabyte of stars": _repeated("*a", GOOD + '[sources]\n"', '" = "published: x"'),
        "more than a megabyte": _repeated("#\n") + "#" * 10,
    }
    for case, text in texts.items():
        path.write_text(text)
        yield refused("hostile TOML", case, partial(load_recipe, str(path)), str(path))
    for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "gb18030"):
        path.write_bytes((GOOD + 'description = "é文"\n').encode(coding, errors="replace").replace(b"?", b"\xe9"))
        yield refused("not UTF-8", coding, partial(load_recipe, str(path)), "UTF-8")
    for case, data in {
        "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
        "CRLF": GOOD.replace("\n", "\r\n").encode(),
    }.items():
        path.write_bytes(data)
        resolved = load_recipe(str(path))
        place = resolved.origins["optim.batch"].place
        yield Outcome("TOML as others write it", case, (resolved.recipe.optim.batch, place) == (4, f"{path}:5"))


def not_files(folder: Path) -> Iterator[Outcome]:
    """What is named but cannot be read, and parents without end."""
    here = folder / "places"
    here.mkdir()
    os.mkfifo(here / "pipe.toml")
    (here / "folder.toml").mkdir()
    (here / "loop.toml").symlink_to("loop.toml")
    (here / "gone.toml").symlink_to("nowhere")
    for number in range(1500):
        (here / f"r{number}.toml").write_text(f'extends = "r{(number + 1) % 1500}"\n')
    (here / "a.toml").write_text('extends = "b"\n')
    (here / "b.toml").write_text('extends = "a"\n')
    names = ["pipe.toml", "folder.toml", "loop.toml", "gone.toml", "r0.toml", "a.toml", "x" * 300 + ".toml", "a\0.toml"]
    for name in names:
        yield refused("no file", name[:20], partial(load_recipe, str(here / name)), "expected" * (name == "gone.toml"))
    for name in ("/dev/zero", "/dev/stdin", "/dev/tty", "", "/", "..", "\0", "\udcff", "m2.toml", "recipes/m2.toml"):
        yield refused("no file", repr(name), partial(load_recipe, name))


def hostile_json(folder: Path) -> Iterator[Outcome]:
    """What the one reader of JSON is given by a stranger."""
    path = folder / "hostile.json"
    texts = {
        "lists 100,000 deep": b"[" * 100_000,
        "objects 50,000 deep": b'{"a":' * 50_000,
        "4,301 digits": b"[" + b"1" * 4301 + b"]",
        "half a surrogate pair": b'["\\ud83d"]',
        "half a pair as a key": b'{"\\uDE00": 1}',
        "latin-1": b'["\xe9"]',
        "cut off": b'{"a": [1, 2',
        "nothing": b"",
    }
    for case, data in texts.items():
        path.write_bytes(data)
        yield refused("hostile JSON", case, partial(read_json, path, "a record"), str(path))


def mutated(folder: Path, rng: random.Random, count: int) -> Iterator[Outcome]:
    """Shipped recipes with bytes changed, cut out, doubled and swapped: a recipe or a message, never anything else."""
    path = folder / "mutated.toml"
    broken: list[Outcome] = []
    begun = time.perf_counter()
    for _ in range(count):
        data = bytearray((shipped("recipes") / f"{rng.choice(shipped_names('recipes'))}.toml").read_bytes())
        for _ in range(rng.randint(1, 8)):
            at, size = rng.randrange(len(data)), rng.randint(1, 30)
            match rng.randrange(4):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at : at + size]
                case 2:
                    data[at:at] = data[at : at + size] * rng.randint(1, 3)
                case 3:
                    data[at:at] = rng.choice(
                        [b"[", b"]", b'"', b"'''", b"\n", b"=", b".", b"{", b"#", b"-", b"e9", b"\\u"]
                    )
            data = data or bytearray(b"x")
        path.write_bytes(data)
        outcome = refused("mutated recipes", "", partial(load_recipe, str(path)), may_pass=True)
        if not outcome.survived:
            broken.append(outcome)
    seconds = time.perf_counter() - begun
    note = broken[0].note if broken else ""
    yield Outcome("mutated recipes", f"{count} drawn, {len(broken)} broken", not broken, seconds, note=note)


def bad_values() -> Iterator[Outcome]:
    """Every key of a recipe with a value that it cannot have: the message says what was expected."""
    for key in sorted(known_keys(Recipe) - {"published"}):
        told = []
        for value in ("[[['x']]]", "{ x = [1] }"):
            try:
                load_recipe("sthv1_tin_r50", [f"{key}={value}"])
            except UserError as error:
                told.append(bool(error.expected) and key in str(error))
        yield Outcome("a bad value of every key", key, bool(told) and all(told))


def odd_overrides() -> Iterator[Outcome]:
    """``--set`` as fingers, shells and scripts leave it."""
    odd = ["", "=", "=1", "optim.lr", "optim.lr=", "optim..lr=1", ".=1", "optim=1", "optim.lr.x=1", "optim.lr=\0"]
    odd += ["optim.lr=1\nbatch = 2", "name=\udcff", "\udcff=1", "optim.batch=" + "1" * 5000, "optim.batch=" + "1" * 300]
    odd += [
        "optim.lr=0x" + "f" * 9000,
        "optim.lr=" + "[" * 9000,
        "model.backbone_kwargs=" + "{a=" * 900,
        "a" + ".a" * 9000 + "=1",
    ]
    odd += [
        "optim.lr=1e999",
        "optim.lr=nan",
        "optim.batch=true",
        "extends=x",
        "optim.learning_rate=1",
        "lr=1",
        "name=a/b",
    ]
    odd += [
        "data.frame_template={:0>9999999999}.jpg",
        "optim.lr=1979-05-27",
        "clip.scales=[true]",
        "sources.x=published: y",
    ]
    for override in odd:
        yield refused("odd --set", repr(override[:24]), partial(load_recipe, "sthv1_tin_r50", [override]))


def provenance(folder: Path, rng: random.Random, count: int) -> Iterator[Outcome]:
    """Chains of files with drawn values and marks, saved as a run and read again, against the rule written anew."""
    choices: dict[str, list[Any]] = {
        "lr": [0.1, 0.2, 0.3],
        "batch": [4, 8],
        "weight_decay": [0.0, 0.5],
        "clip_grad": [1, 20],
    }
    for number in range(count):
        here = folder / f"chain{number}"
        here.mkdir()
        said: dict[str, list[tuple[Any, str]]] = {key: [] for key in choices}
        now: dict[str, Any] = {}
        length = rng.randint(2, 5)
        for level in range(length):
            table = {key: rng.choice(values) for key, values in choices.items() if level == 0 or rng.random() < 0.5}
            now |= table
            marked = {key: f"published: level {level}" for key in choices if rng.random() < 0.5}
            for key, mark in marked.items():
                said[key].append((now[key], mark))
            layer: dict[str, Any] = {"optim": table, "sources": {f"optim.{key}": mark for key, mark in marked.items()}}
            layer |= {"extends": f"f{level - 1}"} if level else {"data": {"dataset": "mmit"}}
            layer["optim"] |= {} if level else {"epochs": 3}
            (here / f"f{level}.toml").write_text(tomli_w.dumps(layer))
        resolved = load_recipe(str(here / f"f{length - 1}.toml"))
        save_recipe(resolved.recipe, here / "run.toml")
        again = load_recipe(str(here / "run.toml"))
        right = True
        for key, marks in said.items():
            own = [mark for value, mark in marks if value == now[key]]
            wanted = own[-1] if own else "changed" if marks else "unmarked"
            right &= wanted == resolved.origins[f"optim.{key}"].mark == again.origins[f"optim.{key}"].mark
        yield Outcome("marks of drawn chains", f"{length} files", right)


def commands(folder: Path) -> Iterator[Outcome]:
    """Whole commands on the worst of it: one message, exit code 1 or 2, no traceback."""
    (folder / "deep.toml").write_text("x = " + "[" * 100_000)
    (folder / "wide.toml").write_bytes("x = 1".encode("utf-16"))
    places = [
        ["deep.toml"],
        ["wide.toml"],
        ["/dev/zero"],
        ["places/pipe.toml"],
        ["places/r0.toml"],
        ["m2.toml"],
        ["\udcff.toml"],
    ]
    sets = [["sthv1_tin_r50", "--set", f"optim.batch={'1' * 5000}"], ["sthv1_tin_r50", "--set", "name=\udcff"]]
    for arguments in [*places, *sets]:
        line = [sys.executable, "-c", "from tinkit.cli.app import main; main()", "recipes", *arguments]
        done = subprocess.run(line, cwd=folder, capture_output=True, timeout=120, check=False)
        told = done.stderr.decode(errors="replace")
        survived = done.returncode in (1, 2) and "Traceback" not in told and "error: " in told
        yield Outcome("whole commands", repr(" ".join(arguments)[:30]), survived, note="" if survived else told[-100:])
