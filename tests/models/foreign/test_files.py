"""Reading files of weights that anyone may have made."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tinkit.errors import UserError
from tinkit.models.foreign.files import read_checkpoint, read_file

WEIGHTS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.ones(2, dtype=torch.bfloat16)}


def assert_weights(state: dict[str, torch.Tensor]) -> None:
    assert list(state) == list(WEIGHTS)
    assert all(torch.equal(state[name], value) for name, value in WEIGHTS.items())


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {
            "state_dict": WEIGHTS,
            "epoch": 3,
            "best_prec1": np.float64(45.5),
            "arch": "resnet50",
            "optimizer": {"lr": 0.1},
        },
        {"state_dict": WEIGHTS, "best_prec1": torch.tensor(45.5)},
        {"model": WEIGHTS, "iteration": np.int64(7)},
        {"model": {"state_dict": WEIGHTS}},
        {"meta": {"config": "text"}, "state_dict": WEIGHTS},
        {**WEIGHTS, "version": 2},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_unwraps_what_scripts_save(tmp_path: Path, content: Any, zipped: bool) -> None:
    torch.save(content, tmp_path / "file.pth.tar", _use_new_zipfile_serialization=zipped)
    assert_weights(read_checkpoint(tmp_path / "file.pth.tar"))


@pytest.mark.parametrize("name", ["file.safetensors", "file.bin"])
def test_safetensors_by_content(tmp_path: Path, name: str) -> None:
    save_file(WEIGHTS, tmp_path / name)
    state = read_checkpoint(str(tmp_path / name))
    assert_weights({key: state[key] for key in WEIGHTS})


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("form", ["zipped", "legacy", "bare pickle"])
def test_malicious_pickle_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    mark, file = tmp_path / "executed", tmp_path / "evil.pth"
    content = {"state_dict": WEIGHTS, "extra": Malicious(mark)}
    if form == "bare pickle":
        file.write_bytes(pickle.dumps({"extra": Malicious(mark)}, protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zipped")
    with pytest.raises(UserError) as caught:
        read_checkpoint(file)
    assert not mark.exists()
    assert str(file) in str(caught.value)
    assert "weights_only" not in str(caught.value)  # nobody is told how to run it
    pickle.loads(pickle.dumps(Malicious(mark)))  # it would have
    assert mark.exists()


@pytest.mark.parametrize("form", ["zipped", "legacy", "safetensors"])
def test_truncated_at_any_length(tmp_path: Path, form: str) -> None:
    file = tmp_path / "file"
    if form == "safetensors":
        save_file(WEIGHTS, file)
    else:
        torch.save({"state_dict": WEIGHTS}, file, _use_new_zipfile_serialization=form == "zipped")
    whole = file.read_bytes()
    assert_weights(dict(sorted(read_checkpoint(file).items(), reverse=True)))
    for length in (*range(12), *range(12, len(whole), max(1, len(whole) // 40)), len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match="cannot be read as a checkpoint"):
            read_checkpoint(file)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(2), {"state_dict": {"a": 1}}])
def test_files_without_weights(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(UserError, match="holds no weights"):
        read_checkpoint(tmp_path / "file.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "Git LFS"),
        (b"<!doctype html><p>", "page of the web"),
    ],
)
def test_what_was_downloaded_in_its_place_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        read_checkpoint(tmp_path / "file.pth")


@pytest.mark.parametrize("classes", [5, "abc", {"a": 1}, [1, 2]])
def test_names_of_classes_that_are_none(tmp_path: Path, classes: Any) -> None:
    save_file(WEIGHTS, tmp_path / "a.safetensors", {"classes": json.dumps(classes)})
    torch.save({"state_dict": WEIGHTS, "meta": {"classes": classes}}, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        with pytest.raises(UserError, match="not a list of text"):
            read_file(tmp_path / name)


def test_what_is_not_a_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(UserError, match="no such file"):
            read_checkpoint(path)
    (tmp_path / "page.pth").write_text("<html>404: Not Found</html>")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "page.pth")
