"""Non-local blocks: every position of a clip attends to every other one, in space and time.

Wang, Girshick, Gupta and He, Non-local Neural Networks, CVPR 2018, arXiv 1711.07971. Section 3.1, equation 1, and
section 3.3, equation 6, for position ``i`` over all positions ``j`` of the clip::

    y_i = 1 / C(x) * sum_j f(x_i, x_j) g(x_j)
    z_i = W y_i + x_i

With ``theta``, ``phi`` and ``g`` 1x1x1 convolutions to half of the channels (section 3.2, "bottleneck" in 3.3):

================== ============================ ============ ==================
kind               f(x_i, x_j)                  C(x)         equation
================== ============================ ============ ==================
embedded_gaussian  exp(theta(x_i)^T phi(x_j))   sum_j f      3
gaussian           exp(x_i^T x_j)               sum_j f      2
dot_product        theta(x_i)^T phi(x_j)        number of j  4
================== ============================ ============ ==================

The sub-sampled form sees ``x_j`` through a spatial max-pool of two (section 3.3, "implementation"), which leaves a
quarter of the positions ``j``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from tinkit.architectures import NonLocalKind
from tinkit.errors import UserError, did_you_mean
from tinkit.models.temporal.between import put_after, stage_of

# The five blocks of section 5.1 as the TSM repository and mmaction2 place them: after every second block.
PUBLISHED_PLACES: Mapping[str, Sequence[int]] = {"layer2": (0, 2), "layer3": (0, 2, 4)}


class Pointwise(nn.Conv3d):
    """A 1x1x1 convolution of clips, done frame by frame, which is faster; the weight is Conv3d's."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1)

    def forward(self, frames: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, out_channels, H, W)."""
        return F.conv2d(frames, self.weight.squeeze(2), self.bias)


class NonLocal(nn.Module):
    """One non-local block over the clips of ``num_segments`` frames.

    The norm at the end of the branch starts at zero, so that the block starts as the identity (section 4.1). It is a
    ``BatchNorm3d``: partial BN, which freezes the norms of the 2D network, leaves it to learn. Sub-sampled features
    must be 2 pixels high and wide or more. Raises :class:`~tinkit.errors.UserError` for a kind that is not known.
    """

    def __init__(
        self, channels: int, num_segments: int, kind: NonLocalKind = "embedded_gaussian", *, subsample: bool = True
    ) -> None:
        super().__init__()
        kinds = get_args(NonLocalKind)
        if kind not in kinds:
            raise UserError(
                f"no non-local block is called {kind!r}{did_you_mean(kind, kinds)}", expected=", ".join(kinds)
            )
        inner = max(channels // 2, 1)
        self.num_segments, self.kind, self.subsample = num_segments, kind, subsample
        embedded = kind != "gaussian"
        self.theta = Pointwise(channels, inner) if embedded else nn.Identity()
        self.phi = Pointwise(channels, inner) if embedded else nn.Identity()
        self.g = Pointwise(channels, inner)
        self.out = Pointwise(inner, channels)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B*T, C, H, W), in the memory format of ``x``."""
        theta, phi, g = self.theta(x), self.phi(x), self.g(x)
        if self.subsample:
            phi, g = F.max_pool2d(phi, 2), F.max_pool2d(g, 2)
        y = self._attend(self._positions(theta), self._positions(phi), self._positions(g))
        frames = y.unflatten(1, (self.num_segments, *x.shape[2:])).flatten(0, 1).permute(0, 3, 1, 2)
        return x + self._normalise(self.out(frames))

    def _attend(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        """(B, N, C), (B, M, C), (B, M, D) -> (B, N, D): ``y`` of all N positions over M positions."""
        if self.kind == "dot_product":
            # From the right: phi^T g is C x D, and the N x M matrix of a clip is never made.
            return theta @ (phi.transpose(1, 2) @ (g / g.shape[1]))
        theta, phi, g = theta.unsqueeze(1), phi.unsqueeze(1), g.unsqueeze(1)
        return F.scaled_dot_product_attention(theta, phi, g, scale=1.0).squeeze(1)

    def _positions(self, frames: Tensor) -> Tensor:
        """(B*T, C, H, W) -> (B, T*H*W, C)."""
        return self._clips(frames).permute(0, 1, 3, 4, 2).flatten(1, 3)

    def _normalise(self, frames: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self._clips(frames).transpose(1, 2))).transpose(1, 2).flatten(0, 1)

    def _clips(self, frames: Tensor) -> Tensor:
        return frames.unflatten(0, (frames.shape[0] // self.num_segments, self.num_segments))

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        return f"num_segments={self.num_segments}, kind={self.kind}, subsample={self.subsample}"


def add_non_local(
    backbone: nn.Module,
    segments: Mapping[str, int],
    kind: NonLocalKind = "embedded_gaussian",
    *,
    subsample: bool = True,
    places: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Put non-local blocks behind blocks of a timm ResNet of any depth.

    ``segments`` are the frames of a clip in each stage (:func:`~tinkit.models.temporal.pool.stage_segments`).
    ``places`` are the blocks, counted from 0, in each stage; None for the published ones, as far as the stages go. The
    block behind block ``n`` of ``layer2`` is ``layer2.non_local<n>`` in the state dict, where nothing else changes.
    Call it once the temporal modules are in their places. Raises :class:`~tinkit.errors.UserError` for a place that
    the backbone does not have.
    """
    widths = _stage_widths(backbone)
    for stage, chosen in (PUBLISHED_PLACES if places is None else places).items():
        blocks = [name for name, _ in stage_of(backbone, stage).named_children() if name.isdigit()]
        for index in chosen:
            if list(chosen).count(index) > 1:
                raise UserError(f"{stage} names block {index} more than once", expected="every block once at most")
            if str(index) in blocks:
                module = NonLocal(widths[stage], segments[stage], kind, subsample=subsample)
                put_after(backbone, stage, str(index), f"non_local{index}", module)
            elif places is not None:
                raise UserError(
                    f"no block {index} in {stage} to put a non-local block behind",
                    expected=f"blocks 0 to {len(blocks) - 1}",
                )


def _stage_widths(backbone: nn.Module) -> dict[str, int]:
    """The channels that each stage gives."""
    features = cast(Any, getattr(backbone, "feature_info", []))
    return {feature["module"]: feature["num_chs"] for feature in features}
