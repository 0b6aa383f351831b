"""Every way to name weights gives the same ones or is refused: runs, paths, links, copies, files of older releases."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor, nn

from tinkit.engine.exchange.convert import recipe_of
from tinkit.engine.exchange.imported import named_run
from tinkit.engine.exchange.pretrained import open_source
from tinkit.engine.runs.checkpoint import Progress, snapshot
from tinkit.engine.runs.checkpoint_writer import Keeper
from tinkit.engine.runs.run import Run, create_run, find_checkpoint
from tinkit.engine.runs.tensor_file import read_tensor_file, write_tensor_file
from tinkit.engine.runs.weights import average_steps, load_run_weights
from tinkit.errors import UserError
from tinkit.fusion import members_of
from tinkit.recipe import load_recipe
from tinkit.recipe.training import SaveConfig
from tinkit.run_folder import as_given, given_name, owner_of

AVERAGE = 1000.0  # what the averaged weights of a step have more than its raw ones
VALUES = {
    "last": 8.0,
    "best": 7.0,
    "ema": 8 + AVERAGE,
    "best-ema": 7 + AVERAGE,
    "step=7": 7,
    "step=8": 8,
    "mean=2": 7.5,
}


def model_of(value: float) -> nn.Linear:
    model = nn.Linear(2, 2)
    for parameter in model.parameters():
        nn.init.constant_(parameter, value)
    return model


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Steps 7 and 8 of a training with an average; the best of both kinds is 7."""
    run = create_run("a", load_recipe("demo_tin").recipe, tmp_path / "runs")
    for step in (7, 8):
        model, average = model_of(step), model_of(step + AVERAGE)
        taken = snapshot(
            model, Progress(step=step), {"classes": []}, optimizer=torch.optim.SGD(model.parameters(), 0.1), ema=average
        )
        with Keeper(run, SaveConfig(keep=5)) as keeper:
            keeper.save(taken, step, ("best", "best-ema") if step == 7 else ())
    average_steps(run, 2)
    return run


def value(state: dict[str, Tensor]) -> float:
    assert set(state) == {"weight", "bias"}
    (found,) = {float(entry) for tensor in state.values() for entry in tensor.flatten()}
    return found


def taken(name: str | Path, weights: str | None, runs: Path) -> list[float]:
    """What each way to use weights takes: as ``--tune-from`` and ``convert`` do, and as ``test`` and its like do."""
    found = [value(open_source(str(name), runs, weights).state)]
    if Path(name).is_file() and owner_of(Path(name)) is None:
        for find in (find_checkpoint, named_run):
            with pytest.raises(UserError, match="run"):
                find(str(name), weights, runs)
        with pytest.raises(UserError, match="belongs to no run"):
            recipe_of(str(name), None, [], weights, runs)
        return found
    assert recipe_of(str(name), None, [], weights, runs).name == "demo_tin"
    for owner, word, *_ in (find_checkpoint(str(name), weights, runs), named_run(str(name), weights, runs)):
        found.append(value(load_run_weights(owner, word)[0]))
        assert owner.name == "a"
    return found


def spellings(file: Path) -> dict[str, Path]:
    """The same file by other names; all of them tell the run."""
    base = file.parents[2]
    beside = base.parent
    link, folder, chain = beside / "x.st", beside / "kept", beside / "chain.safetensors"
    link.symlink_to(file)
    folder.symlink_to(file.parent)
    chain.symlink_to(link.name)
    return {
        "absolute": file,
        "relative": Path(os.path.relpath(file)),
        "with ..": base / "a" / ".." / "a" / "checkpoints" / ".." / "checkpoints" / file.name,
        "link": link,
        "link to a link": chain,
        "in a link to its folder": folder / file.name,
    }


@pytest.mark.parametrize("word", ["last", "best", "best-ema", "step=7", "mean=2"])
def test_a_file_of_a_run_is_the_same_by_every_name(run: Run, word: str) -> None:
    file, runs = run.checkpoint(word), run.folder.parent
    for name, path in spellings(file).items():
        assert set(taken(path, None, runs)) == {VALUES[word]}, name
        assert find_checkpoint(str(path), None, runs)[1] == word, name


@pytest.mark.parametrize("word", ["last", "best", "best-ema", "step=7", "mean=2"])
def test_a_copy_means_what_the_file_meant(run: Run, word: str, tmp_path: Path) -> None:
    file, runs = run.checkpoint(word), run.folder.parent
    moved, hard = tmp_path / "copy.safetensors", tmp_path / "hard"
    shutil.copyfile(file, moved)
    hard.hardlink_to(file)
    for path in (moved, hard):
        assert taken(path, None, runs) == [VALUES[word]]
        averaged = {"best-ema": VALUES[word], "mean=2": None}.get(word, VALUES[word] + AVERAGE)
        raw = None if word == "best-ema" else VALUES[word]
        for option, wanted in {"best": raw, "last": raw, "ema": averaged, "best-ema": averaged}.items():
            if wanted is None:
                with pytest.raises(UserError, match="averaged weights"):
                    taken(path, option, runs)
            else:
                assert taken(path, option, runs) == [wanted], option
        with pytest.raises(UserError, match="belongs to no run"):
            open_source(str(path), runs, "step=7")


def test_a_run_is_the_same_by_every_name(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = run.folder.parent
    names: list[str | Path] = ["a", run.folder, f"{run.folder}/", os.path.relpath(run.folder), "a/../a", runs / "./a"]
    for word, wanted in VALUES.items():
        for name in names:
            assert set(taken(name, word, runs)) == {wanted}, (name, word)
    assert set(taken("a", None, runs)) == {VALUES["best"]}
    monkeypatch.chdir(run.folder)
    for name in (".", "../a", "checkpoints/.."):
        assert set(taken(name, "ema", Path("runs"))) == {VALUES["ema"]}, name
    monkeypatch.chdir(run.checkpoints)
    assert set(taken("best-ema.safetensors", None, Path("runs"))) == {VALUES["best-ema"]}


def test_what_was_moved_within_checkpoints_is_the_same_or_refused(run: Run) -> None:
    runs = run.folder.parent
    for source in ("best-ema", "step=7", "last"):
        for target in ("best", "last", "best-ema", "step=9"):
            shutil.copyfile(run.checkpoint(source), file := run.checkpoints / "moved")
            path = run.checkpoint(target)
            before = path.read_bytes() if path.exists() else None
            file.replace(path)
            if (source == "best-ema") == (target == "best-ema"):
                assert set(taken(path, None, runs)) == {VALUES[source]}
            else:
                for name, word in ((str(path), None), ("a", target)):
                    with pytest.raises(UserError, match="averaged weights"):
                        open_source(name, runs, word)
            path.unlink() if before is None else path.write_bytes(before)
    (run.checkpoints / "mine.safetensors").symlink_to("best-ema.safetensors")
    assert set(taken(run.checkpoints / "mine.safetensors", None, runs)) == {VALUES["best-ema"]}


def older(path: Path, target: Path) -> None:
    """``path`` as earlier releases wrote it: it holds both weights, and does not say which it means."""
    tensors, header = read_tensor_file(path)
    del header["weights"]
    write_tensor_file(target, tensors, header)


def test_files_of_earlier_releases(run: Run, tmp_path: Path) -> None:
    runs, copy = run.folder.parent, tmp_path / "best-ema.safetensors"
    older(run.step_path(7), run.step_path(7))
    for word in ("best", "best-ema"):
        run.checkpoint(word).unlink()
        run.checkpoint(word).hardlink_to(run.step_path(7))
        assert set(taken("a", word, runs)) == set(taken(run.checkpoint(word), None, runs)) == {VALUES[word]}
    shutil.copyfile(run.checkpoint("best-ema"), copy)
    with pytest.raises(UserError, match="does not say which of them it means") as refused:
        open_source(str(copy), runs)
    assert "--weights best-ema" in str(refused.value)
    assert taken(copy, "best-ema", runs) == [VALUES["best-ema"]]
    assert taken(copy, "best", runs) == [VALUES["best"]]
    tensors, header = read_tensor_file(run.step_path(7))
    raw = {name: tensor for name, tensor in tensors.items() if not name.startswith("ema.")}
    write_tensor_file(copy, raw, header | {"ema": False})
    assert taken(copy, None, runs) == [VALUES["best"]]


def test_a_mean_that_would_be_made_anew_is_not_taken_for_the_file_that_was_named(run: Run) -> None:
    runs, path = run.folder.parent, run.checkpoint("mean=2")
    run.step_path(7).unlink()
    shutil.copyfile(run.step_path(8), run.step_path(9))
    with pytest.raises(UserError, match="no longer the newest"):
        find_checkpoint(str(path), None, runs)
    assert set(taken("a", "mean=2", runs)) == {8}


def test_a_linked_run_has_the_name_of_the_link(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, runs = tmp_path / "disk17", run.folder.parent
    run.folder.rename(disk)
    run.folder.symlink_to(disk)
    assert Run(run.folder).name == "a"
    assert Run(disk).name == "disk17"
    assert find_checkpoint(str(run.checkpoint("best-ema")), None, runs) == (run, "best-ema")
    outside = tmp_path / "ema.safetensors"
    outside.symlink_to(run.checkpoint("best-ema"))
    assert find_checkpoint(str(outside), None, runs) == (run, "best-ema")
    monkeypatch.chdir(run.folder)
    monkeypatch.setenv("PWD", str(run.folder))  # as a shell has it after `cd runs/a`
    assert find_checkpoint(".", None, Path("runs"))[0].name == "a"
    assert find_checkpoint("checkpoints/best.safetensors", None, Path("runs"))[0].name == "a"
    monkeypatch.setenv("PWD", "/nowhere")
    assert find_checkpoint(".", None, Path("runs"))[0].name == "disk17"
    made = create_run("b", load_recipe("demo_tin").recipe, runs)
    assert (made.folder / "recipe.toml").is_file()


def test_a_new_run_in_a_linked_folder_is_in_one_place(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(tmp_path / "disk")
    run = create_run(Run(tmp_path / "runs" / "a").name, load_recipe("demo_tin").recipe, tmp_path / "runs")
    assert run.folder == tmp_path / "runs" / "a"
    assert sorted(path.name for path in tmp_path.rglob("recipe.toml")) == ["recipe.toml"]
    assert (tmp_path / "disk" / "recipe.toml").is_file()
    assert members_of([str(run.folder)], tmp_path / "runs", None, None)[0].run == str(run.folder)


def test_paths_are_shortened_only_where_they_mean_the_same(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "near").symlink_to(tmp_path / "far" / "deep")
    assert as_given(tmp_path / "near" / "..") == tmp_path / "far"
    assert given_name(tmp_path / "near" / "." / "x" / "..") == "near"
    assert as_given(tmp_path / "none" / ".." / "new") == tmp_path / "new"
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert owner_of(tmp_path / "round" / "checkpoints" / "best.safetensors") is None


def test_drawn_chains_of_links_lead_to_their_file(run: Run, tmp_path: Path) -> None:
    random, runs = Random(5), run.folder.parent
    for number in range(30):
        word = random.choice(["last", "best", "best-ema", "step=8", "mean=2"])
        target = run.checkpoint(word)
        for link in range(random.randrange(1, 6)):
            place = tmp_path / f"{number}-{link}{random.choice(['', '.safetensors', '.ckpt'])}"
            if random.random() < 0.5:
                place.symlink_to(target.parent)
                target = place / target.name
            else:
                place.symlink_to(os.path.relpath(target, place.parent) if random.random() < 0.5 else target)
                target = place
        assert set(taken(target, None, runs)) == {VALUES[word]}, target
