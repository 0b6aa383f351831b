"""What the CPU kernels are given: nothing at all, other layouts, and what is refused before it is read."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.helpers.cpu_operators import ROUNDING, assert_close, opened_library, ops
from tests.helpers.native_truth import draw, exact, truth


@pytest.fixture(scope="module", autouse=True)
def _library() -> None:
    opened_library()


def test_empty_batches_and_frames() -> None:
    for shape, channels_last in itertools.product([(0, 8, 3, 3), (8, 8, 0, 3)], [False, True]):
        case = draw(shape, 4, 4, 8, channels_last=channels_last)  # type: ignore[arg-type]
        assert ops.interlace(*case.steered).shape == shape
        assert ops.interlace_fold(*case.steered).shape == shape
        gradients = ops.interlace_backward(case.grad, *case.steered)
        assert [gradient.shape for gradient in gradients] == [case.x.shape, case.offset.shape, case.gain.shape]
        assert not any(gradient.any() for gradient in gradients[1:])
        saved = ops.interlace_write_(case.x, case.offset, case.gain, 8, False)
        ops.fold_restore_(case.x, saved)
        assert ops.fold_mean(case.x, 8).shape == (shape[0], 8)
    assert ops.fold_mean(torch.ones(2, 3, 0, 4), 3).isnan().all()


def test_other_layouts_are_read_as_they_are_meant() -> None:
    """Features and gradients that overlap, have gaps or other orders, and steering of any dtype and strides."""
    case = draw((8, 12, 5, 6), 4, 2, 8)
    wanted = truth(case)
    gaps = torch.cat([case.x, case.x], 3)[..., :6]
    turned = case.x.transpose(2, 3).contiguous().transpose(2, 3)
    for x in (gaps, turned):
        assert_close(ops.interlace(x, *case.steered[1:]), wanted.out, 1e-6)
        assert ops.interlace(x, *case.steered[1:]).stride() == torch.empty_like(x).stride()
        assert_close(ops.interlace_fold(x, *case.steered[1:]), wanted.out[:, :8], 1e-6)
        found = ops.interlace_backward(case.grad, x, *case.steered[1:])
        assert_close(found[0], wanted.x, 1e-6)
        assert_close(found[1], wanted.offset, 2e-6, wanted.offset_terms)
        assert_close(ops.fold_mean(x, 8), exact(x)[:, :8].mean((2, 3)), 2e-6)
        with pytest.raises(RuntimeError, match="in place"):
            ops.interlace_write_(x, case.offset, case.gain, 8, False)
    ones = torch.ones(1, 1, 1, 1).expand(case.x.shape)
    wanted = truth(case._replace(grad=ones))
    last = case.x.contiguous(memory_format=torch.channels_last)
    found = ops.interlace_backward(ones, last, *case.steered[1:])
    assert found[0].stride() == last.stride()
    assert_close(found[2], wanted.gain, 2e-6, wanted.gain_terms)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        gain, offset = case.gain.to(dtype).transpose(0, 1).contiguous().transpose(0, 1), case.offset.to(dtype)
        rounded = case._replace(offset=offset.float(), gain=gain.float())
        assert_close(ops.interlace(case.x, offset, gain, 8), truth(rounded).out, 1e-6)
        found = ops.interlace_backward(case.grad, case.x, offset, gain, 8)
        assert found[1].dtype == found[2].dtype == dtype
        assert_close(found[2], truth(rounded).gain, ROUNDING.get(dtype, 1e-6) + 2e-6, truth(rounded).gain_terms)


WRONG = {
    "dimensions": (lambda x, o, g: (x[0], o, g, 8), r"\(24, 5, 6\)"),
    "groups": (lambda x, o, g: (x, o[:, :3], g, 8), r"\(2, 3\).*\(2, 8, 4\)"),
    "rows": (lambda x, o, g: (x[:15], o, g, 8), r"\(15, 24, 5, 6\)"),
    "fold not in groups": (lambda x, o, g: (x, o, g, 10), "fold 10"),
    "fold beyond the channels": (lambda x, o, g: (x, o, g, 28), "fold 28"),
    "fold of nothing": (lambda x, o, g: (x, o, g, 0), "fold 0"),
    "no groups": (lambda x, o, g: (x, o[:, :0], g[..., :0], 8), "fold"),
    "integers": (lambda x, o, g: (x.long(), o, g, 8), "floating.*Long"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused_before_anything_is_read(name: str) -> None:
    change, message = WRONG[name]
    arguments = change(torch.randn(16, 24, 5, 6), torch.rand(2, 4), torch.rand(2, 8, 4))
    for operator in (ops.interlace, ops.interlace_fold):
        with pytest.raises(RuntimeError, match=message):
            operator(*arguments)
    with pytest.raises(RuntimeError, match=message):
        ops.interlace_backward(arguments[0], *arguments)


def test_gradients_of_other_shapes_or_dtypes_are_refused() -> None:
    case = draw((8, 8, 3, 3), 4, 4, 4)
    for grad in (case.grad[:, :4], case.grad[:4], case.grad.double()):
        with pytest.raises(RuntimeError, match="8 channels"):
            ops.interlace_backward(grad, *case.steered)
    with pytest.raises(RuntimeError, match="4 channels"):
        ops.interlace_fold_backward(case.grad, *case.steered)
    with pytest.raises(RuntimeError, match="what was saved"):
        ops.fold_restore_(case.x, case.x[:4])
    with pytest.raises(RuntimeError, match="fold_mean"):
        ops.fold_mean(case.x, 9)
