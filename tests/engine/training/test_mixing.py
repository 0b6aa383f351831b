"""Mixup and cutmix of clips against timm's and a slow reference; what they draw, and what they leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, kstest
from torch import Tensor
from torch.nn import functional

from tinkit.engine.training.mixing import Box, Mixer, cut_box
from tinkit.recipe.training import MixConfig
from tinkit.timm_import import import_timm

CLASSES = 7
BOTH = {"mixup": 0.8, "cutmix": 1.0}
ALL_KINDS = pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 0.7}, BOTH])


def mixer(seed: int = 0, **options: Any) -> Mixer:
    return Mixer(MixConfig(**options), CLASSES, seed)


def clips(count: int, height: int = 12, width: int = 9, frames: int = 2) -> Tensor:
    return torch.randn(count, frames, 3, height, width)


def slow(found: Mixer, video: Tensor, target: Tensor, valid: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Clip by clip and frame by frame, with the numbers that ``found`` draws."""
    mix = found.draw(step, *video.shape[-2:])
    assert mix is not None
    good = [row for row in range(len(video)) if valid[row]]
    mixed, labels = video.clone(), target.clone().float()
    for row, other in zip(good, good[::-1], strict=True):
        labels[row] = mix.share * target[row] + (1 - mix.share) * target[other]
        for t in range(video.shape[1]):
            if mix.box is None:
                mixed[row, t] = mix.share * video[row, t] + (1 - mix.share) * video[other, t]
                continue
            for y in range(mix.box.top, mix.box.bottom):
                for x in range(mix.box.left, mix.box.right):
                    mixed[row, t, :, y, x] = video[other, t, :, y, x]
    return mixed, labels


@ALL_KINDS
@settings(max_examples=25)
@given(step=st.integers(0, 10**9), valid=st.lists(st.booleans(), min_size=1, max_size=7))
def test_mixes_as_a_slow_reference_does(options: dict[str, float], step: int, valid: list[bool]) -> None:
    video, good, ours = clips(len(valid), 5, 6), torch.tensor(valid), mixer(**options)
    target = (torch.rand(len(valid), CLASSES) < 0.3).float()
    video[~good] = torch.nan  # must stay where it is
    kept, kept_target = video.clone(), target.clone()
    found, labels = ours(video, target, good, step)
    wanted, wanted_labels = slow(ours, video, target, good, step)
    torch.testing.assert_close(found, wanted, equal_nan=True)
    torch.testing.assert_close(labels, wanted_labels)
    assert found[good].isfinite().all()
    assert torch.equal(labels[~good], target[~good])
    torch.testing.assert_close(video, kept, rtol=0, atol=0, equal_nan=True)  # not mixed in place
    assert torch.equal(target, kept_target)


@ALL_KINDS
@pytest.mark.parametrize("several", [False, True])
def test_where_all_are_valid_it_is_timm_on_frames_folded_into_channels(
    options: dict[str, float], several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_timm()
    from timm.data import Mixup, mixup

    video, valid = clips(6), torch.ones(6, dtype=torch.bool)
    target = (torch.rand(6, CLASSES) < 0.3).float() if several else torch.arange(6)
    theirs = Mixup(**{f"{name}_alpha": alpha for name, alpha in ({"mixup": 0} | options).items()}, num_classes=CLASSES)
    theirs.label_smoothing, theirs.multi_label = 0.0, several
    ours, kinds = mixer(**options), set()
    for step in range(12):
        mix = ours.draw(step, 12, 9)
        assert mix is not None
        box = mix.box
        kinds.add(box is None)
        monkeypatch.setattr(theirs, "_params_per_batch", lambda mix=mix: (mix.share, mix.box is not None))
        if box is not None:
            edges = (box.top, box.bottom, box.left, box.right)
            monkeypatch.setattr(mixup, "rand_bbox", lambda *_, edges=edges, **__: edges)
        wanted, labels = theirs(video.flatten(1, 2).clone(), target)
        found, own_labels = ours(video, target, valid, step)
        torch.testing.assert_close(found.flatten(1, 2), wanted)
        torch.testing.assert_close(own_labels, labels)
    assert kinds == {name == "mixup" for name in options}


@settings(max_examples=200)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    share=st.floats(0, 1),
    where=st.tuples(*[st.floats(0, 1)] * 2),
)
def test_boxes_are_timms(height: int, width: int, share: float, where: tuple[float, float]) -> None:
    import_timm()
    from timm.data import mixup

    y, x = min(height - 1, int(where[0] * height)), min(width - 1, int(where[1] * width))
    with pytest.MonkeyPatch.context() as patch:
        drawn = iter([y, x])
        patch.setattr(mixup.np.random, "randint", lambda *_, **__: next(drawn))
        wanted, corrected = mixup.cutmix_bbox_and_lam((1, 3, height, width), share)
    box = cut_box(height, width, share, y, x)
    assert (box.top, box.bottom, box.left, box.right) == wanted
    assert 1 - box.area / (height * width) == pytest.approx(corrected)
    assert 0 <= box.top <= box.bottom <= height
    assert 0 <= box.left <= box.right <= width


@ALL_KINDS
def test_labels_have_the_shares_that_the_pixels_have(options: dict[str, float]) -> None:
    """A clip of one grey holds its class as often as its partner's: the mean pixel is the mean label."""
    classes = torch.tensor([0, 3, 5, 6])
    video = classes.float().view(4, 1, 1, 1, 1).expand(4, 2, 3, 14, 11)
    for step in range(40):
        mixed, labels = mixer(**options)(video, classes, torch.ones(4, dtype=torch.bool), step)
        torch.testing.assert_close(mixed.mean((1, 2, 3, 4)), labels @ torch.arange(7.0))
        torch.testing.assert_close(labels.sum(1), torch.ones(4))
        assert torch.equal(mixed[:, 0], mixed[:, 1])  # all frames alike


@ALL_KINDS
def test_draws_depend_on_seed_and_step_alone(options: dict[str, float]) -> None:
    video, target, valid = clips(4), torch.arange(4), torch.ones(4, dtype=torch.bool)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    ours = mixer(seed=5, **options)
    walked = [ours(video, target, valid, step) for step in range(6)]
    for step in (5, 2, 2, 0):  # as after a resume, on another process
        again = mixer(seed=5, **options)(video, target, valid, step)
        assert all(torch.equal(a, b) for a, b in zip(again, walked[step], strict=True))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()
    drawn = {str(mixer(seed=seed, **options).draw(step, 224, 224)) for seed in range(5) for step in range(20)}
    assert len(drawn) > 90


def test_draws_follow_their_distributions() -> None:
    ours = mixer(**BOTH, prob=0.6, switch_prob=0.3)
    drawn = [ours.draw(step, 1000, 1000) for step in range(3000)]
    mixed = [mix for mix in drawn if mix is not None]
    cut = [mix for mix in mixed if mix.box is not None]
    assert binomtest(len(mixed), len(drawn), 0.6).pvalue > 0.001
    assert binomtest(len(cut), len(mixed), 0.3).pvalue > 0.001
    shares = [mix.share for mix in mixed if mix.box is None]
    assert kstest(shares, beta(0.8, 0.8).cdf).pvalue > 0.001
    # Beta(1, 1) is uniform; a box that the edge does not touch has the area that was drawn, and may lie anywhere
    middles = [((mix.box.top + mix.box.bottom) / 2, (mix.box.left + mix.box.right) / 2) for mix in cut if mix.box]
    assert len({round(y) for y, _ in middles}) > len(middles) / 2
    assert abs(np.corrcoef(np.array(middles).T)[0, 1]) < 0.15
    assert all(0 <= mix.share <= 1 for mix in mixed)


def test_cutmix_area_is_the_drawn_one_before_it_is_cut_off() -> None:
    box = cut_box(100, 200, 0.75, 50, 100)
    assert box == Box(25, 75, 50, 150)
    assert box.area == 0.25 * 100 * 200
    assert cut_box(100, 200, 0.75, 0, 199) == Box(0, 25, 149, 200)
    assert cut_box(100, 200, 0.0, 50, 100).area == 100 * 200
    assert cut_box(100, 200, 1.0, 50, 100).area == 0


@pytest.mark.parametrize("options", [{}, {"prob": 0.0, **BOTH}, {"prob": 1.0, "switch_prob": 0.0}])
def test_without_mixing_the_tensors_come_back(options: dict[str, float]) -> None:
    video, target, valid = clips(4), torch.arange(4), torch.ones(4, dtype=torch.bool)
    for step in range(20):
        found, labels = mixer(**options)(video, target, valid, step)
        assert found is video
        assert labels is target


@pytest.mark.parametrize(("switch", "cuts"), [(0.0, False), (1.0, True)])
def test_switch_says_which_of_both(switch: float, cuts: bool) -> None:
    ours = mixer(**BOTH, switch_prob=switch)
    for step in range(50):
        mix = ours.draw(step, 8, 8)
        assert mix is not None
        assert (mix.box is not None) == cuts


@ALL_KINDS
def test_a_clip_without_a_partner_stays_itself(options: dict[str, float]) -> None:
    video, target = clips(3), torch.tensor([1, 2, 3])
    one_hot = functional.one_hot(target, CLASSES).float()
    for step in range(10):
        for valid in ([False, True, False], [False] * 3):
            found, labels = mixer(**options)(video, target, torch.tensor(valid), step)
            assert torch.equal(found, video)
            assert torch.equal(labels, one_hot)
        found, labels = mixer(**options)(video, target, torch.tensor([True] * 3), step)
        assert torch.equal(found[1], video[1])  # the middle one of an odd number
        assert torch.equal(labels[1], one_hot[1])


@ALL_KINDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_type_and_memory_format_stay(options: dict[str, float], dtype: torch.dtype) -> None:
    video = clips(4).to(dtype).flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (4, 2))
    found, labels = mixer(**options)(video, torch.arange(4), torch.tensor([True, True, False, True]), 3)
    assert found.dtype == dtype
    assert found.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert (labels.dtype, labels.shape) == (torch.float32, (4, CLASSES))
