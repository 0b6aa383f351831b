"""The words of ``--weights``: which file each means, what there is, and the mean of the newest checkpoints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tinkit.engine.runs.checkpoint import Progress, load_weights, read_header, snapshot
from tinkit.engine.runs.checkpoint_writer import Keeper
from tinkit.engine.runs.run import Run, create_run, find_checkpoint
from tinkit.engine.runs.weights import average_steps, load_run_weights, require_checkpoint
from tinkit.errors import UsageError, UserError
from tinkit.recipe import load_recipe
from tinkit.recipe.training import SaveConfig


def model_of(step: int) -> nn.Module:
    torch.manual_seed(step)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model.register_buffer("narrow", torch.randn(5).to(torch.bfloat16))
    model.get_buffer("1.num_batches_tracked").fill_(step)
    return model


def save(run: Run, step: int, *also: str, ema: bool = False, keep: int = 9) -> None:
    model = model_of(step)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    average = model_of(step + 1000) if ema else None
    with Keeper(run, SaveConfig(keep=keep)) as keeper:
        keeper.save(snapshot(model, Progress(step=step), {"classes": []}, optimizer=optimizer, ema=average), step, also)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run("a", load_recipe("demo_tin").recipe, tmp_path / "runs")


def same(weights: dict[str, torch.Tensor], step: int) -> bool:
    wanted = model_of(step).state_dict()
    return set(weights) == set(wanted) and all(torch.equal(weights[name], tensor) for name, tensor in wanted.items())


def test_words_and_files(run: Run) -> None:
    assert run.weights_names() == []
    for step in (5, 10, 20):
        save(run, step, *(("best", "best-ema") if step == 5 else ()), ema=True, keep=2)
    assert run.weights_names() == ["last", "best", "ema", "best-ema", "step=10", "step=20", "mean=2"]
    wanted = {"last": 20, "best": 5, "ema": 1020, "best-ema": 1005, "step=10": 10, "step=20": 20}
    for word, step in wanted.items():
        weights, path, header = load_run_weights(run, word)
        assert same(weights, step), word
        assert path == run.checkpoint(word)
        assert header["progress"]["step"] == step % 1000
    assert run.checkpoint("ema") == run.checkpoint("last")
    for word in (
        "newest",
        "step",
        "step=",
        "step=-1",
        "step=020",
        "step=1.5",
        "step=٣",
        "mean=0",
        "mean",
        "../last",
        "",
    ):
        with pytest.raises(UsageError, match="no such checkpoint"):
            run.checkpoint(word)


def test_what_is_missing_is_said_with_what_there_is(run: Run) -> None:
    with pytest.raises(UserError, match="a run that has finished an epoch"):
        require_checkpoint(run, "best")
    with pytest.raises(UserError, match="the run a has those of 0 steps"):
        require_checkpoint(run, "mean=2")
    save(run, 3)
    assert run.weights_names() == ["last", "step=3"]
    for word in ("best", "ema", "best-ema", "step=4"):
        with pytest.raises(UserError, match=r"one of: last, step=3"):
            load_run_weights(run, word)
    with pytest.raises(UserError, match=r"mean=1; a run keeps more with --set save\.keep=2"):
        load_run_weights(run, "mean=2")
    run.checkpoint("last").write_bytes(run.checkpoint("last").read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged"):
        load_run_weights(run, "last")


def test_a_run_with_checkpoints_is_not_begun_again(run: Run) -> None:
    save(run, 0)
    run.checkpoint("last").unlink()  # killed before the name was given
    with pytest.raises(UsageError, match="holds checkpoints"):
        create_run("a", load_recipe("demo_tin").recipe, run.folder.parent)


def test_a_file_names_run_and_weights(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    base = run.folder.parent
    for step in (7, 8):
        save(run, step, "best", "best-ema", ema=True)
    average_steps(run, 2)
    for word in ("last", "best", "best-ema", "step=7", "mean=2"):
        assert find_checkpoint(str(run.checkpoint(word)), None, base) == (run, word)
        assert find_checkpoint("a", word, base) == (run, word)
    assert find_checkpoint(str(run.checkpoint("last")), "ema", base) == (run, "ema")
    assert find_checkpoint(str(run.step_path(7)), "step=7", base) == (run, "step=7")
    with pytest.raises(UsageError, match="two checkpoints"):
        find_checkpoint(str(run.checkpoint("last")), "best", base)
    with pytest.raises(UsageError, match="not a checkpoint of a run"):
        find_checkpoint("elsewhere/last.safetensors", None, base)
    with pytest.raises(UsageError, match="no such checkpoint"):
        find_checkpoint(str(run.checkpoints / "mine.safetensors"), "last", base)
    monkeypatch.chdir(run.checkpoints)
    found, word = find_checkpoint("step-00000007.safetensors", None, base)
    assert found.folder.samefile(run.folder)
    assert word == "step=7"


def test_best_is_meant_unless_nothing_was_validated(run: Run) -> None:
    base = run.folder.parent
    assert find_checkpoint("a", None, base)[1] == "best"
    save(run, 1)
    assert find_checkpoint("a", None, base)[1] == "last"
    save(run, 2, "best")
    assert find_checkpoint("a", None, base)[1] == "best"


def test_the_mean_is_that_of_double_precision(run: Run) -> None:
    for step in (1, 2, 3, 4):
        save(run, step)
    weights, path, header = load_run_weights(run, "mean=3")
    assert path.name == "mean=3.safetensors"
    assert list(header["info"]["mean_of"]) == ["2", "3", "4"]
    assert header["info"]["classes"] == []
    states = [model_of(step).state_dict() for step in (2, 3, 4)]
    assert set(weights) == set(states[0])
    for name, tensor in weights.items():
        parts = [state[name] for state in states]
        assert tensor.dtype == parts[0].dtype
        if tensor.is_floating_point():
            mean = np.mean([part.double().numpy() for part in parts], axis=0)
            assert torch.equal(tensor, torch.from_numpy(mean).to(tensor.dtype)), name
        else:
            assert torch.equal(tensor, parts[-1])
    assert same(load_weights(average_steps(run, 1)), 4)


def test_a_mean_is_made_again_when_its_steps_have_changed(run: Run) -> None:
    for step in (1, 2, 3):
        save(run, step)
    path = average_steps(run, 2)
    before = path.stat().st_ino
    assert average_steps(run, 2).stat().st_ino == before
    save(run, 4)
    made = read_header(average_steps(run, 2))["info"]["mean_of"]
    assert list(made) == ["3", "4"]
    other = snapshot(model_of(9), Progress(step=4), {})
    with Keeper(run, SaveConfig(keep=9)) as keeper:
        keeper.save(other, 4)  # the same step with other weights, as another resume may come to
    assert read_header(average_steps(run, 2))["info"]["mean_of"] != made
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes(40))
    assert average_steps(run, 2).read_bytes() == whole
    run.step_path(3).write_bytes(run.step_path(3).read_bytes()[:-1])
    with pytest.raises(UserError, match=r"step-00000003\.safetensors: is damaged"):
        average_steps(run, 2)


def test_steps_of_another_model_have_no_mean(run: Run) -> None:
    save(run, 1)
    with Keeper(run, SaveConfig(keep=9)) as keeper:
        keeper.save(snapshot(nn.Linear(2, 2), Progress(), {}), 2)
    with pytest.raises(UserError, match="another model"):
        average_steps(run, 2)


def test_names_are_found_without_pytorch(run: Run) -> None:
    save(run, 1, "best", ema=True)
    text = (
        "import sys; from pathlib import Path; from tinkit.engine.runs.run import Run; "
        "print(Run(Path(sys.argv[1])).weights_names(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", text, str(run.folder)], capture_output=True, text=True, check=True)
    assert done.stdout.split("]")[1].strip() == "False"
    assert "ema" in done.stdout
