"""`tinkit doctor --bench`: every choice in its row, timed in turns by child processes; nothing is said of times."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import astuple
from itertools import pairwise

import pytest
import torch

from tinkit.cli.app import main
from tinkit.engine.measure import machine as bench
from tinkit.engine.measure.machine import Choice, TimedNetwork, Way, choice_rows, measure_choices
from tinkit.engine.runtime import device, precision
from tinkit.errors import UserError
from tinkit.ops import native

TINY = TimedNetwork("test_resnet", clips=1, frames=2, size=32)
TIMED = ("none: PyTorch's defaults", "large buffers kept", "channels_last", "native kernels", "BatchNorm merged")


@pytest.mark.thorough
def test_each_way_that_runs_here_is_timed() -> None:
    choices = {choice.name: choice for choice in measure_choices(0, TINY)}
    assert tuple(choices)[:6] == (*TIMED, "bfloat16")
    assert list(choices)[6:] in (["threads", "denormals are zero", "torch.compile"], ["torch.compile"])
    for name, choice in choices.items():
        assert (choice.clips_per_s is None) == (choice.way is None), name
        assert choice.clips_per_s is None or 0 < choice.clips_per_s < float("inf")
        assert choice.why, name
        if name in TIMED[1:]:
            assert choice.chosen == ("no" if choice.way is None else "yes")
    assert choices[TIMED[0]].way == Way()
    assert choices["native kernels"].chosen == ("yes" if native.load() else "no")


def test_ways_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "choose_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(native, "state", lambda: native.Native(level="AVX2"))
    monkeypatch.setattr(precision, "hardware_bfloat16", lambda device: "AMX")
    monkeypatch.setattr(bench, "why_not_kept", lambda: None)
    ways = [choice.way for choice in bench._choices() if choice.way is not None]
    assert [sum(astuple(way)) for way in ways] == [0, 1, 2, 3, 4, 5]
    for before, after in pairwise(ways):
        assert all(now >= then for then, now in zip(astuple(before), astuple(after), strict=True))


def test_what_cannot_be_chosen_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "choose_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(native, "state", lambda: native.Native(problem="no C++ compiler was found"))
    monkeypatch.setattr(precision, "hardware_bfloat16", lambda device: None)
    monkeypatch.setenv("TINKIT_KEEP_BUFFERS", "0")
    choices = {choice.name: choice for choice in bench._choices()}
    for name, word in (
        ("large buffers kept", "TINKIT_KEEP_BUFFERS=0"),
        ("native kernels", "no C++ compiler"),
        ("bfloat16", "in software"),
    ):
        assert (choices[name].chosen, choices[name].way) == ("no", None)
        assert word in choices[name].why
    assert choices["BatchNorm merged"].way == Way(channels_last=True, merged=True)


def test_factors_are_over_the_last_that_was_timed() -> None:
    choices = [
        Choice("first", "no", "a", Way(), 2.0),
        Choice("second", "no", "b"),
        Choice("third", "yes", "c", Way(merged=True), 3.0),
        Choice("fourth", "yes", "d", Way(kept=True), 6.0),
    ]
    rows = choice_rows(choices)
    assert [row["x before"] for row in rows] == [None, None, 1.5, 2.0]
    assert [row["x first"] for row in rows] == [None, None, 1.5, 3.0]
    assert all(list(row) == ["choice", "clips/s", "x before", "x first", "chosen", "why"] for row in rows)


@pytest.mark.thorough
def test_a_child_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="ended with 1"):
        bench._take_turns([Way()], TimedNetwork("no_such_network"), 0)
    assert "no_such_network" in capfd.readouterr().err


@pytest.mark.parametrize("words", [("--json",), ()])
def test_the_command_prints_a_table(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []
    made = [Choice("none", "no", "plain", Way(), 2.0), Choice("more", "if asked", "with train.amp", Way(True), 5.0)]
    monkeypatch.setattr(bench, "measure_choices", lambda seconds: asked.append(seconds) or made)
    monkeypatch.setattr(sys, "argv", ["tinkit", "doctor", "--bench", "--seconds", "2", *words])
    with pytest.raises(SystemExit) as leaving:
        main()
    assert not leaving.value.code
    assert asked == [2]
    shown = capsys.readouterr().out
    if words:
        assert json.loads(shown)[1] == {
            "choice": "more", "clips/s": 5.0, "x before": 2.5, "x first": 2.5, "chosen": "if asked",
            "why": "with train.amp",
        }  # fmt: skip
    else:
        assert "2.50" in shown
        assert "with train.amp" in shown


def test_why_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets would be taken for rich's own marks."""
    assert not any("[" in text for choice in bench._choices() for text in (choice.name, choice.why))


def test_children_of_the_first_way_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Process:
        def __init__(self, command: list[str], env: dict[str, str], **_: object) -> None:
            started.append(env)
            raise OSError

    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
    monkeypatch.delenv("TINKIT_KEEP_BUFFERS", raising=False)
    monkeypatch.delenv("TINKIT_NATIVE", raising=False)
    monkeypatch.setattr(bench.subprocess, "Popen", Process)
    for way in (Way(), Way(kept=True), Way(kept=True, native=True)):
        with pytest.raises(OSError), bench._child([way], TINY):  # noqa: PT011
            pass
    names = ("TINKIT_KEEP_BUFFERS", "THP_MEM_ALLOC_ENABLE", "TINKIT_NATIVE")
    assert [tuple(env.get(name) for name in names) for env in started] == [
        ("0", None, "0"),
        (None, "1", "0"),
        (None, "1", None),
    ]
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
