"""Files that were made to harm or to mislead are refused by name; what is beside the weights of good ones is not."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import functools
import gzip
import pickle
import resource
import sys
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from benchmarks.hostile_files import WEIGHTS, heavy_pickles, hostile_archives, member, running_pickles
from benchmarks.hostile_layouts import crafted_layouts, relaid
from tinkit.errors import UserError
from tinkit.models.foreign.files import read_checkpoint, read_file
from tinkit.models.foreign.state_dicts import AVERAGED, RAW


def same(state: dict[str, torch.Tensor]) -> bool:
    return state.keys() == WEIGHTS.keys() and all(torch.equal(state[name], value) for name, value in WEIGHTS.items())


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
def test_nothing_in_a_pickle_runs(tmp_path: Path, packed: bool) -> None:
    mark, file = tmp_path / "executed", tmp_path / "evil.pth"
    before = set(sys.modules)
    cases = dict(running_pickles(mark))
    assert len(cases) > 70
    for data in cases.values():
        file.write_bytes(member(data) if packed else data)
        refusal(file)
        assert not mark.exists()
    assert not {"antigravity", "pip", "setuptools", "webbrowser"} & (set(sys.modules) - before)
    pickle.loads(cases["os.system"])  # unpickled as pickles are, it would have
    assert mark.exists()


def test_what_is_heavy_is_refused_at_little_cost(tmp_path: Path) -> None:
    file = tmp_path / "heavy.pth"
    read_checkpoint_of(file, member(pickle.dumps({}, 2)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _, data in heavy_pickles(30_000):  # the whole million is what the proof tries
        read_checkpoint_of(file, member(data))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 400 << 10  # kB


def read_checkpoint_of(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    refusal(file)


def test_archives_that_are_not_what_they_say(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    for name, data in hostile_archives(tmp_path / "mark", bomb=1 << 22):
        file.write_bytes(data)
        said = refusal(file)
        assert "damaged" in said or "cannot be read as a checkpoint" in said, name
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_layouts_that_are_not_what_they_say(tmp_path: Path) -> None:
    good, file = save(WEIGHTS, {"format": "pt"}), tmp_path / "a.safetensors"
    file.write_bytes(good)
    assert same(read_checkpoint(file))
    for _, change in crafted_layouts():
        file.write_bytes(relaid(good, change, seal=False))
        refusal(file)


class Colour(enum.Enum):
    RED = 1


class Mapping(dict[str, Any]):
    """As the nodes of many configurations are."""

    def __init__(self, **entries: Any) -> None:
        super().__init__(entries)
        self.__dict__["frozen"] = True


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The classes here are those of a program that nobody has when the file is read."""
    monkeypatch.setitem(sys.modules, "their_program", ModuleType("their_program"))
    for kind in (Colour, Mapping):
        setattr(sys.modules["their_program"], kind.__name__, kind)
        monkeypatch.setattr(kind, "__module__", "their_program")
    yield
    sys.modules.pop("their_program", None)


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_scripts_save_beside_the_weights(tmp_path: Path, protocol: int, zipped: bool) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(2))])
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    beside: dict[str, Any] = {
        "args": argparse.Namespace(lr=0.1, out=Path("x"), when=datetime.datetime.now(datetime.UTC)),
        "config": Mapping(model=Mapping(name="x"), sizes=[1, 2]),
        "numpy": [np.float32(1), np.arange(3), np.dtype("int8"), np.random.RandomState(0).get_state()],
        "torch": [torch.Size([1]), torch.float16, torch.device("cpu"), torch.get_rng_state()],
        "python": [
            {1, 2}, frozenset("ab"), complex(1, 2), slice(1), range(3), b"x", bytearray(b"x"), 1 << 100, {(1, 2): 3},
            decimal.Decimal(1), uuid.UUID(int=1), SimpleNamespace(a=1), collections.defaultdict(list, a=[1]), ...,
            collections.Counter("aab"), collections.deque([1], 3), functools.partial(int, base=2), nn.ReLU(),
            datetime.timedelta(1), Colour.RED, {Colour.RED: 1}, sys.version_info[:3],
        ],
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(),
    }  # fmt: skip
    file = tmp_path / "a.pth"
    content = beside | {"state_dict": WEIGHTS, "epoch": 3}
    torch.save(content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    sys.modules.pop("their_program")
    assert same(read_checkpoint(file))
    torch.save({"state_dict": WEIGHTS, "args": {"lr": Surprise()}}, file, _use_new_zipfile_serialization=zipped)
    assert "time.sleep" in refusal(file)


class Surprise:
    def __reduce__(self) -> tuple[Any, ...]:
        import time

        return time.sleep, (600,)


@pytest.mark.usefixtures("_elsewhere")
def test_a_configuration_may_hold_the_weights(tmp_path: Path) -> None:
    torch.save(Mapping(state_dict=collections.OrderedDict(WEIGHTS)), tmp_path / "a.pth")
    assert same(read_checkpoint(tmp_path / "a.pth"))


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_those_of_torch_load(tmp_path: Path, zipped: bool) -> None:
    whole = torch.randn(6, 5)
    shared = torch.arange(10)
    tensors = {
        "turned": whole.t(), "part": whole[2:, 1:4], "again": whole, "scalar": torch.tensor(3.5),
        "none": torch.ones(0, 4), "repeated": torch.ones(3, 1).expand(3, 7), "head": shared[:4], "tail": shared[4:],
        "parameter": nn.Parameter(whole),
        "half": whole.half(), "brain": whole.bfloat16(), "double": whole.double(), "byte": whole.byte(),
        "bool": whole > 0, "complex": torch.complex(whole, whole), "short": torch.ones(2, dtype=torch.int16),
        "last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "float8": whole.to(torch.float8_e4m3fn) if zipped else whole, "grad": whole.clone().requires_grad_(),
        "unsigned": torch.ones(2, dtype=torch.uint16) if zipped else whole, "buffer": nn.Buffer(torch.ones(3)),
    }  # fmt: skip
    file = tmp_path / "a.pth"
    torch.save(collections.OrderedDict(tensors), file, _use_new_zipfile_serialization=zipped)
    found, wanted = read_checkpoint(file), torch.load(file, weights_only=True)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert (found[name].dtype, found[name].stride()) == (value.dtype, value.stride()), name
        assert torch.equal(found[name].to(torch.complex64), value.to(torch.complex64)), name
    assert found["head"].untyped_storage().data_ptr() == found["tail"].untyped_storage().data_ptr()


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of kinds of tensors that it will change
@pytest.mark.parametrize(
    ("made", "what"),
    [
        (lambda: torch.eye(3).to_sparse(), "a sparse tensor"),
        (lambda: torch.eye(3).to_sparse_csr(), "a sparse tensor"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "a quantised tensor"),
        (lambda: torch.ones(3, device="meta"), "a tensor without data"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "a nested tensor"),
    ],
)
def test_tensors_that_are_not_plain_are_named(tmp_path: Path, made: Any, what: str) -> None:
    torch.save({"state_dict": WEIGHTS | {"odd": made()}}, tmp_path / "a.pth")
    assert f"odd is {what}" in refusal(tmp_path / "a.pth")


class Labelled(torch.Tensor):
    """Plain numbers, of a class of its own."""


class Elsewhere(torch.Tensor):
    """Numbers that lie elsewhere, as a distributed tensor's: it is rebuilt as a wrapper."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        raise NotImplementedError


def test_classes_of_tensors(tmp_path: Path) -> None:
    inner = torch.arange(3.0)
    torch.save(WEIGHTS | {"more": inner.as_subclass(Labelled)}, tmp_path / "a.pth")  # type: ignore[arg-type]
    found = read_checkpoint(tmp_path / "a.pth")["more"]
    assert type(found) is torch.Tensor
    assert torch.equal(found, inner)
    torch.save(WEIGHTS | {"more": Elsewhere(inner)}, tmp_path / "a.pth")
    assert "more is a tensor of the class" in refusal(tmp_path / "a.pth")
    assert "Elsewhere" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize("key", [*RAW, *AVERAGED])
def test_the_usual_places_are_tried(tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({key: WEIGHTS, "epoch": 3, "best": torch.tensor(1.0)}, tmp_path / "a.pth")
    found = read_file(tmp_path / "a.pth")
    assert same(found.state)
    assert found.under == key
    if key not in ("state_dict", "model", "model_state_dict", "model_state", "weights"):
        assert f"the weights under '{key}'" in caplog.text


def test_raw_and_averaged_weights_are_told_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    averaged = {name: value + 1 for name, value in WEIGHTS.items()}
    torch.save({"state_dict_ema": averaged, "state_dict": WEIGHTS, "arch": "x"}, tmp_path / "a.pth")
    assert same(read_checkpoint(tmp_path / "a.pth"))
    assert "--weights state_dict_ema" in caplog.text
    chosen = read_file(tmp_path / "a.pth", "state_dict_ema")
    assert torch.equal(chosen.state["layer.bias"], averaged["layer.bias"])
    with pytest.raises(UserError, match="under 'ema'") as caught:
        read_file(tmp_path / "a.pth", "ema")
    assert "state_dict (2)" in str(caught.value)


def test_places_that_are_not_usual_are_listed(tmp_path: Path) -> None:
    torch.save({"my_net": {"inner": WEIGHTS}, "epoch": 1}, tmp_path / "a.pth")
    assert "my_net.inner (2)" in refusal(tmp_path / "a.pth")
    assert same(read_file(tmp_path / "a.pth", "my_net.inner").state)
    torch.save({"epoch": 1, "history": [1, 2]}, tmp_path / "a.pth")
    assert "the file's keys are epoch, history" in refusal(tmp_path / "a.pth")


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.pkl"
    blobs = {"blobs": {"conv1_w": np.ones((2, 2), np.float32), "lr": np.float32(1)}}
    for protocol in (0, 1, 2, 4):
        file.write_bytes(pickle.dumps(blobs, protocol))
        assert "a Caffe2 checkpoint (2 blobs)" in refusal(file)
    file.write_bytes(pickle.dumps({"model": {"conv1_w": np.ones((2, 2), np.float32)}}))
    assert "a pickle of NumPy arrays" in refusal(file)
    file.write_bytes(gzip.compress(b"x"))
    assert "an archive (tar or gzip)" in refusal(file)
    with tarfile.open(file, "w") as archive:
        archive.add(__file__)
    assert "an archive (tar or gzip)" in refusal(file)
    torch.jit.save(torch.jit.script(nn.ReLU()), file)
    assert "a program of TorchScript" in refusal(file)
    torch.save(nn.Linear(2, 2), file)
    assert "a whole object (torch.nn.modules.linear.Linear)" in refusal(file)
    torch.save({"model": nn.Linear(2, 2), "epoch": 1}, file)
    assert "model is a whole object (torch.nn.modules.linear.Linear)" in refusal(file)
