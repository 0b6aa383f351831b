"""Convolutions with post-ops: PyTorch's private operators are used only where they are what they were."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tinkit.ops import post_ops

pytestmark = pytest.mark.skipif(
    post_ops.why_not(torch.float32) is not None, reason="this PyTorch has no such operators"
)


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A namespace of operators that a test may change; what was decided is asked anew."""
    real = torch.ops.mkldnn
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
    own = SimpleNamespace(_is_mkldnn_bf16_supported=lambda: True, **{name: getattr(real, name) for name in names})
    monkeypatch.setattr(post_ops, "_operators", lambda: own)
    post_ops.why_not.cache_clear()
    yield own
    post_ops.why_not.cache_clear()


def test_one_that_is_missing(operators: Any) -> None:
    del operators._reorder_convolution_weight
    assert "no operator mkldnn::_reorder_convolution_weight" in str(post_ops.why_not(torch.float32))


def test_one_of_another_schema(operators: Any) -> None:
    operators._convolution_pointwise = torch.ops.mkldnn._linear_pointwise
    assert "takes or gives something else" in str(post_ops.why_not(torch.float32))


class _Wrapped:
    """An operator with its schemas, and another result."""

    def __init__(self, real: Any, change: Any) -> None:
        self.default, self.binary, self._real, self._change = real.default, real.binary, real, change

    def __call__(self, *given: Any) -> Any:
        return self._change(self._real, *given)


def _off(real: Any, *given: Any) -> Tensor:
    return real(*given) * 1.5


def _raises(real: Any, *given: Any) -> Tensor:
    raise RuntimeError("not on this processor\nat a place")


@pytest.mark.parametrize(
    ("change", "words"), [(_off, "gave other numbers"), (_raises, "raised: not on this processor")]
)
def test_one_that_does_something_else(change: Any, words: str, operators: Any) -> None:
    operators._convolution_pointwise = _Wrapped(torch.ops.mkldnn._convolution_pointwise, change)
    assert words in str(post_ops.why_not(torch.float32))


def test_bfloat16_where_a_processor_lacks_it(operators: Any) -> None:
    operators._is_mkldnn_bf16_supported = lambda: False
    assert "does not compute in bfloat16" in str(post_ops.why_not(torch.bfloat16))
    assert post_ops.why_not(torch.float64) is not None


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 3])
def test_sizes_other_than_it_was_packed_for(groups: int, dilation: int) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(12, 6 // groups, 3, 3), torch.randn(12)
    settings: Any = {"padding": (2, 1), "stride": (1, 2), "dilation": (dilation, 1), "groups": groups}
    with torch.inference_mode():
        packed = post_ops.convolution(weight, bias, **settings).ordered_for(torch.randn(1, 6, 16, 16))
        for size in ((1, 6, 5, 4), (3, 6, 40, 33)):
            x = torch.randn(size).contiguous(memory_format=torch.channels_last)
            wanted = F.conv2d(x, weight, bias, **settings)
            assert packed.shape(x) == wanted.shape
            torch.testing.assert_close(packed(x), wanted, rtol=1e-4, atol=1e-4)
