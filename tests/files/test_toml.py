"""TOML and JSON of strangers: one message for whatever is wrong with a file, within a second."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tinkit.errors import UsageError, UserError
from tinkit.files.json import parse_json, read_json
from tinkit.files.shipped import find_toml
from tinkit.files.toml import read_toml
from tinkit.files.toml_lines import key_lines, longest_key
from tinkit.fusion.spec import load_spec
from tinkit.recipe import load_recipe
from tinkit.submission.spec import load_challenge

GOOD = b'[data]\ndataset = "mmit"\n[optim]\nlr = 0.1\nbatch = 4\nepochs = 2\n'
DEEP = 1000

HOSTILE: dict[str, tuple[bytes, str]] = {
    "arrays": (b"x = " + b"[" * DEEP + b"]" * DEEP, "deep"),
    "arrays that do not end": (b"x = " + b"[" * 100_000, "deep"),
    "inline tables": (b"x = " + b"{a=" * DEEP + b"1" + b"}" * DEEP, "deep"),
    "a dotted key": (b".".join([b"a"] * 50_000) + b" = 1", "more than 32 parts"),
    "a dotted head": (b"[" + b" . ".join([b'"a"'] * DEEP) + b"]", "more than 32 parts"),
    "a dotted key in a table": (b"x = { " + b".".join([b"a"] * DEEP) + b" = 1 }", "more than 32 parts"),
    "5,000 digits": (GOOD.replace(b"0.1", b"1" * 5000), "4300"),
    "hexadecimal": (GOOD.replace(b"0.1", b"0x" + b"f" * 5000), "64 bits"),
    "400 digits": (GOOD.replace(b"= 4", b"= " + b"1" * 400), "64 bits"),
    "infinity": (GOOD.replace(b"0.1", b"inf"), "finite"),
    "nan": (GOOD.replace(b"0.1", b"-nan"), "finite"),
    "a date": (GOOD.replace(b"0.1", b"1979-05-27"), "date"),
    "a time": (GOOD.replace(b"0.1", b"1979-05-27T07:32:00Z"), "date or a time"),
    "no such date": (GOOD.replace(b"0.1", b"1979-13-27"), "TOML"),
    "utf-16": (b"\xff\xfe" + GOOD.decode().encode("utf-16-le"), "UTF-16"),
    "utf-16 without a mark": (GOOD.decode().encode("utf-16-be"), "UTF-16"),
    "latin-1": (GOOD + b'description = "\xe9"\n', "not UTF-8"),
    "NUL": (GOOD + b"\0", "zero bytes"),
    "NUL by its escape": (b'name = "a\\u0000b"\n' + GOOD, "NUL"),
    "NUL in a key": (b'[sources]\n"a\\u0000" = "published: x"\n' + GOOD, "NUL"),
    "half a pair": (b'name = "\\ud800"\n' + GOOD, "TOML"),
    "a name of two lines": (b'name = "a\\nb"\n' + GOOD, "one folder"),
    "a long name": (b'name = "' + b"a" * 5000 + b'"\n' + GOOD, "one folder"),
    "a key in quotes": (b'"optim.lr" = 1\n' + GOOD, "a dot is part of the name"),
    "a key of two lines": (b'"a\\nb" = 1\n' + GOOD, "unknown key"),
    "a megabyte": (b"#" * (1 << 20) + b"\n", "larger than 1 MiB"),
    "blanks in a text": (b'x = """\n[' + b" " * 200_000 + b'"""', "missing"),
    "blanks": (b" " * 500_000, "missing"),
    "unknown keys": (b"".join(b"k%d = 1\n" % n for n in range(5000)), "4992 more problems"),
    "patterns": (GOOD + b"[sources]\n" + b'"' + b"*a" * 50_000 + b'" = "published: x"', "fits no key"),
    "a table called as a list": (GOOD.replace(b"[optim]", b"[[optim]]"), "a table"),
    "extends a number": (b"extends = 1\n", "a recipe's name"),
    "extends a device": (b'extends = "/dev/zero"\n', "device"),
    "extends a folder": (b'extends = "/tmp/.toml"\n', "no such file"),
    "extends itself": (b'extends = "mine"\n', "circle"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_recipes(case: str, tmp_path: Path) -> None:
    data, words = HOSTILE[case]
    path = tmp_path / "mine.toml"
    path.write_bytes(data)
    before = time.process_time()
    with pytest.raises(UserError) as error:
        load_recipe(str(path))
    assert words in str(error.value)
    assert len(str(error.value)) < 20_000
    assert time.process_time() - before < 20  # what is quadratic takes minutes


@pytest.mark.parametrize("case", ["arrays", "5,000 digits", "utf-16", "NUL by its escape", "a dotted key", "a date"])
def test_ensembles_and_challenges_are_read_alike(case: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(HOSTILE[case][0])
    for load in (load_spec, lambda path: load_challenge(str(path))):
        with pytest.raises(UserError, match=HOSTILE[case][1]):
            load(path)


def test_line_ends_and_marks(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for data in (b"\xef\xbb\xbf" + GOOD, GOOD.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n")):
        path.write_bytes(data)
        resolved = load_recipe(str(path))
        assert (resolved.recipe.optim.batch, resolved.origins["optim.batch"].place) == (4, f"{path}:5")


def test_a_long_chain_and_a_long_circle(tmp_path: Path) -> None:
    for number in range(1500):
        (tmp_path / f"r{number}.toml").write_text(f'extends = "r{number + 1}"\n')
    (tmp_path / "r1500.toml").write_bytes(GOOD)
    with pytest.raises(UserError, match="more than 32 files"):
        load_recipe(str(tmp_path / "r0.toml"))
    assert load_recipe(str(tmp_path / "r1475.toml")).recipe.optim.lr == 0.1
    (tmp_path / "r1500.toml").write_text('extends = "r1480"\n')
    with pytest.raises(UserError, match="circle"):
        load_recipe(str(tmp_path / "r1490.toml"))


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    (tmp_path / "gone.toml").symlink_to("nothing")
    for name, words in (
        ("pipe.toml", "a device or a pipe"),
        ("folder.toml", "a folder"),
        ("loop.toml", "cannot be read"),
        ("gone.toml", "no such file"),
        ("x" * 300 + ".toml", "cannot be read"),
        ("a\0b.toml", "no such file"),
        ("mine.toml/x.toml", "no such file"),
    ):
        with pytest.raises(UserError, match=words):
            load_recipe(str(tmp_path / name))
    with pytest.raises(UserError, match="a device or a pipe"):
        load_recipe("/dev/zero")
    for name in ("", "/", ".", "..", "\0", "\udcff", "x" * 5000):
        with pytest.raises(UsageError, match="no recipe is called"):
            load_recipe(name)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(GOOD)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    with pytest.raises(UserError, match=r"mine\.toml: cannot be read: Permission denied"):
        read_toml(path)


def test_names_that_are_nearly_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m2.toml", "mmit_r5.toml", "nowhere/mmit_r50.toml", "mmit_r5"):
        with pytest.raises(UsageError) as error:
            find_toml("recipes", name)
        assert ("no such file" in str(error.value)) == (".toml" in name)
        assert (error.value.expected or "").count(", ") == 4, "three names, not all of them"
        assert "tinkit recipes" in (error.value.fix or "")
    (tmp_path / "mine.toml").write_bytes(GOOD)
    with pytest.raises(UsageError, match=r"did you mean 'mine\.toml'"):
        find_toml("recipes", "mina.toml")
    assert not caplog.records
    for name in ("recipes/mmit_r50.toml", "mmit_r50.toml"):
        assert find_toml("recipes", name).is_file()
        assert f"{name}: no such file; the built-in recipe mmit_r50 is taken" in caplog.text
        caplog.clear()
    find_toml("recipes", "mmit_r50")
    assert not caplog.records


def test_lines_of_keys_are_not_those_of_texts_and_lists() -> None:
    text = '''\
description = """
lr = 5
[optim]
"""
note = \'\'\'
batch = 3 \'\'\'  # epochs = 7
"a.b" = 1
'c"d' = 2
"e\\u0041" = 3
list = [
  # [optim]
  "]", [1, 2],
  {lr = 1},
]
[ optim ]  # [x]
lr = 0.1
[[ a . "b" ]]
x = 1
[[a.b]]
x.y = 2
'''
    assert key_lines(text) == {
        "description": 1, "note": 5, "a.b": 7, 'c"d': 8, "eA": 9, "list": 10, "optim": 15, "optim.lr": 16,
        "a.b.0": 17, "a.b.0.x": 18, "a.b.1": 19, "a.b.1.x.y": 20,
    }  # fmt: skip


def test_parts_of_keys() -> None:
    assert longest_key("a = 1") == 1
    assert longest_key("a.b . 'c' = 1") == 3
    assert longest_key("x = [" + "1.5, " * 1000 + "]") <= 2
    assert longest_key("# " + "." * 1000) <= 2


JSON: dict[str, tuple[bytes, str]] = {
    "deep": (b"[" * 100_000, "deep"),
    "deep objects": (b'{"a":' * 50_000, "deep"),
    "digits": (b"[" + b"1" * 5000 + b"]", "thousands of digits"),
    "half a pair": (b'["\\ud800"]', "surrogate"),
    "half a pair as a key": (b'{"\\uDFFF": 1}', "surrogate"),
    "latin-1": (b'\n["\xe9"]', "UTF-8"),
    "cut off": (b'{"a": 1,\n', "not valid JSON"),
    "empty": (b"", "not valid JSON"),
}


@pytest.mark.parametrize("case", JSON)
def test_hostile_json(case: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(JSON[case][0])
    with pytest.raises(UserError, match=JSON[case][1]) as error:
        read_json(path, "a record")
    assert str(path) in str(error.value)


def test_json_that_is_right(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    value: Any = {"é": ["\U0001f600", 1.5, None, 2**70]}
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        for data in (text.encode(), b"\xef\xbb\xbf" + text.encode()):
            path.write_bytes(data)
            assert read_json(path, "a record") == value
    assert parse_json('{"a": 1, "a": 2}', "a record", pairs=True) == [("a", 1), ("a", 2)]
    for wrong, words in (
        (tmp_path, "a folder"),
        (tmp_path / "no.json", "cannot be read"),
        (Path("/dev/zero"), "device"),
    ):
        with pytest.raises(UserError, match=words):
            read_json(wrong, "a record")
    path.write_bytes(b"[" + b" " * 5000 + b"]")
    with pytest.raises(UserError, match="larger than"):
        read_json(path, "a record", limit=1000)
