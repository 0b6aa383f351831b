"""`tinkit convert` and `tinkit export`: killed, on a full disk, twice at once, in odd places."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import file_faults
from tests.helpers.scored_runs import command as tinkit
from tests.helpers.scored_runs import untrained
from tinkit.engine.exchange import export as engine_export
from tinkit.engine.exchange.convert import convert
from tinkit.engine.exchange.export import export_run, read_metadata
from tinkit.engine.exchange.pretrained import open_source
from tinkit.engine.runs.checkpoint import load_weights
from tinkit.engine.runs.run import Run
from tinkit.errors import UsageError
from tinkit.files.locks import InUseError, writing
from tinkit.models import read_checkpoint


@pytest.fixture(scope="module")
def run(challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained(challenge, tmp_path_factory.mktemp("runs"), recipe="demo_tsn")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the threads of a forked process are gone
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def converted(run: Run) -> Callable[[Path], Any]:
    source, recipe = open_source(str(run.folder), run.folder.parent), run.load_recipe()
    return lambda folder: convert(source, recipe, folder / "out" / "a.safetensors")


@pytest.fixture
def exported(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """An export whose network is traced once, and compared never: what it does with files is what is tried."""
    export, kept = torch.export.export, {}

    def once(*arguments: Any, **options: Any) -> Any:
        if not kept:
            kept["program"] = export(*arguments, **options)
        return kept["program"]

    monkeypatch.setattr(torch.export, "export", once)
    monkeypatch.setattr(engine_export, "_difference", lambda *_: 0.0)
    return lambda folder: export_run(run, "best", "torch", out=folder / "out" / "a.pt2")


def assert_converted(folder: Path, run: Run) -> None:
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.safetensors", "a.safetensors.json"]
    ours = load_weights(run.checkpoint("best"))
    found = read_checkpoint(folder / "out" / "a.safetensors")
    assert found.keys() == ours.keys()
    assert all(torch.equal(found[name], value) for name, value in ours.items())
    assert json.loads((folder / "out" / "a.safetensors.json").read_text())["layout"] == "tinkit"


def assert_exported(folder: Path, run: Run) -> None:
    assert [path.name for path in (folder / "out").iterdir()] == ["a.pt2"]
    assert read_metadata(folder / "out" / "a.pt2")["run"] == run.name


@pytest.mark.parametrize("what", ["converted", "exported"])
def test_after_a_kill_the_same_command_completes(
    tmp_path: Path, run: Run, what: str, request: pytest.FixtureRequest
) -> None:
    act = request.getfixturevalue(what)
    check = assert_converted if what == "converted" else assert_exported
    (tmp_path / "before").mkdir()
    act(tmp_path / "warm")
    ends = []
    for folder, code in file_faults.cases(tmp_path / "before", tmp_path, act, every=3):  # all of them in the proof
        ends.append(code)
        act(folder)
        check(folder, run)
    assert len(ends) > 3
    assert set(ends[:-1]) == {file_faults.KILLED}
    assert ends[-1] == 0


@pytest.mark.parametrize("what", ["converted", "exported"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, run: Run, what: str, request: pytest.FixtureRequest) -> None:
    act = request.getfixturevalue(what)
    check = assert_converted if what == "converted" else assert_exported
    (tmp_path / "before").mkdir()
    act(tmp_path / "warm")
    for folder, code in file_faults.cases(tmp_path / "before", tmp_path, act, errno.ENOSPC, every=3):
        assert code in (0, 1, 2)
        if code:  # an account without its file is of a conversion that was cut off
            assert {path.name for path in folder.glob("out/*")} <= {"a.safetensors.json"}
        act(folder)
        check(folder, run)


def test_a_full_disk_keeps_both_files_of_before(converted: Callable[[Path], Any], tmp_path: Path, run: Run) -> None:
    converted(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    source, recipe = open_source(str(run.folder), run.folder.parent), run.load_recipe()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["a.safetensors"]) // 2, limits[1]))  # files grow no further
    try:
        with pytest.raises(OSError, match="File too large") as failed:
            convert(source, recipe, tmp_path / "out" / "a.safetensors", "timm", force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failed.value.filename == str(tmp_path / "out" / "a.safetensors")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_result_that_is_there_is_found_and_left(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.pth"
    words = ("convert", run.folder, "--out", out)
    assert tinkit(monkeypatch, *words) == 0
    before = out.stat()
    capsys.readouterr()
    assert tinkit(monkeypatch, *words) == 0
    assert "it is there already" in capsys.readouterr().err
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert tinkit(monkeypatch, *words, "--to", "mmaction2") == 2
    assert tinkit(monkeypatch, *words, "--weights", "last") in (0, 2)
    out.write_bytes(out.read_bytes() + b"x")  # not what was written
    assert tinkit(monkeypatch, *words) == 2
    out.unlink()
    assert tinkit(monkeypatch, *words) == 0
    (tmp_path / "a.pth.json").write_text('{"mine": 1}')
    out.unlink()
    assert tinkit(monkeypatch, *words) == 2
    assert (tmp_path / "a.pth.json").read_text() == '{"mine": 1}'


def test_raw_and_averaged_weights_are_two_conversions(run: Run, tmp_path: Path) -> None:
    source, recipe = open_source(str(run.folder), run.folder.parent), run.load_recipe()
    convert(source, recipe, tmp_path / "a.safetensors")
    source.state["classifier.bias"] += 1  # of the same file
    with pytest.raises(UsageError, match="is there already"):
        convert(source, recipe, tmp_path / "a.safetensors")


@pytest.mark.parametrize("what", ["converted", "exported"])
def test_two_at_once(tmp_path: Path, what: str, request: pytest.FixtureRequest) -> None:
    act = request.getfixturevalue(what)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / ("a.safetensors" if what == "converted" else "a.pt2")
    with writing(out), pytest.raises(InUseError, match=f"in use by process {os.getpid()}"):
        act(tmp_path)
    act(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a device"])
def test_places_that_are_not_files(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    out = tmp_path / "a.pt2"
    if kind == "pipe":
        os.mkfifo(out)
    elif kind == "folder":
        out.mkdir()
    elif kind == "device":
        out = Path("/dev/null")
    else:
        out.symlink_to("/dev/null")
    for words in (("convert", run.folder), ("export", run.folder, "--format", "torch"), ("export", run.folder)):
        assert tinkit(monkeypatch, *words, "--out", out, *(["--force"] if words[0] == "convert" else [])) == 2
        assert "is there, and not a file" in capsys.readouterr().err
    assert Path("/dev/null").is_char_device()


def test_weights_that_are_not_finite_do_not_leave(
    challenge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tinkit.engine.runs.checkpoint import Progress, read_header, save_checkpoint
    from tinkit.engine.runtime.build import build_model

    bad = untrained(challenge, tmp_path, recipe="demo_tsn")
    monkeypatch.chdir(tmp_path)
    for number, value in enumerate((float("nan"), float("inf"))):
        model = build_model(bad.load_recipe(), 12, pretrained=False)
        name = ("classifier.weight", "backbone.bn1.running_var")[number]
        model.state_dict()[name].view(-1)[0] = value
        save_checkpoint(bad.checkpoint("best"), model, Progress(), read_header(bad.checkpoint("best"))["info"])
        torch.save(model.state_dict(), "theirs.pth")
        capsys.readouterr()
        recipe = ["--recipe", bad.recipe_path]
        for words, file in (
            (["convert", bad.folder, "--out", "x.pth"], "best.safetensors"),
            (["export", bad.folder, "--format", "torch", "--out", "x.pt2"], "best.safetensors"),
            (["convert", "theirs.pth", *recipe, "--out", "x.pth"], "theirs.pth"),
            (["test", "theirs.pth", *recipe, "--data", challenge], "theirs.pth"),
            (["train", bad.recipe_path, "--tune-from", "theirs.pth", "--data", challenge, "--name", "y"], "theirs.pth"),
        ):
            assert tinkit(monkeypatch, *words) == 1
            said = capsys.readouterr().err
            assert f"{file}: holds non-finite values in 1 of" in said
            assert name in said
        assert not list(tmp_path.glob("x.p*"))
