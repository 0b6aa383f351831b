"""How native kernels come into the dispatcher: asked for once, preferred once there, never in circles."""

from __future__ import annotations

import pytest
import torch

from tinkit.ops import library
from tinkit.ops.library import define, plain


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that were asked for native kernels; nothing is loaded."""
    modules: list[str] = []
    monkeypatch.setattr(library, "_load", modules.append)
    return modules


def test_plain_runs_where_nothing_native_comes(asked: list[str]) -> None:
    define("probe_plain(Tensor x) -> Tensor")
    plain("probe_plain")(lambda x: x + 1)
    assert torch.equal(torch.ops.tinkit.probe_plain(torch.zeros(2)), torch.ones(2))
    assert asked == ["tinkit.ops.native"]
    assert torch.ops.tinkit.probe_plain(torch.zeros(2, device="meta")).shape == (2,)
    assert asked == ["tinkit.ops.native"]  # no kernels are made for a device without memory


def test_a_native_kernel_serves_the_call_that_brought_it(monkeypatch: pytest.MonkeyPatch) -> None:
    define("probe_native(Tensor x) -> Tensor")
    plain("probe_native")(lambda x: x + 1)
    native = torch.library.Library("tinkit", "IMPL")
    calls = []

    def load(module: str) -> None:
        calls.append(module)
        native.impl("probe_native", lambda x: x + 2, "CPU")

    monkeypatch.setattr(library, "_load", load)
    for _ in range(2):
        assert torch.equal(torch.ops.tinkit.probe_native(torch.zeros(2)), torch.full((2,), 2.0))
    assert calls == ["tinkit.ops.native"]


def test_tensors_of_two_devices_do_not_go_in_circles(asked: list[str]) -> None:
    define("probe_mixed(Tensor x, Tensor y) -> Tensor")
    plain("probe_mixed")(lambda x, y: x + 1)
    native = torch.library.Library("tinkit", "IMPL")
    native.impl("probe_mixed", lambda x, y: x + 2, "CPU")
    x = torch.zeros(2)
    assert torch.equal(torch.ops.tinkit.probe_mixed(x, x), x + 2)
    # The dispatcher goes by the other device here, for which there is none: the plain implementation, once.
    assert torch.equal(torch.ops.tinkit.probe_mixed(x, x.to("meta")), x + 1)
    assert asked == []
