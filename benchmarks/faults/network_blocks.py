"""Changes of a backbone's stages and blocks."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from .network_change import Change, at, change
from .network_parts import (
    HalfStage,
    Held,
    Scaled,
    Sloped,
    Turned,
)

BLOCKS: dict[str, Change] = {}


@change(BLOCKS, "a stage of a subclass")
def _stage(model: Any, undo: ExitStack) -> None:
    stage = at(model, "layer2")
    stage.put(HalfStage(*stage.module))


@change(BLOCKS, "a stage left out")
def _no_stage(model: Any, undo: ExitStack) -> None:
    at(model, "layer1").put(nn.Identity())


@change(BLOCKS, "a module behind a stage's blocks")
def _appended(model: Any, undo: ExitStack) -> None:
    at(model, "layer2").module.append(nn.AvgPool2d(3, 1, 1))


@change(BLOCKS, "a stage that is another sequence of one")
def _nested(model: Any, undo: ExitStack) -> None:
    stage = at(model, "layer2")
    stage.put(nn.Sequential(stage.module, Scaled(nn.Identity())))


@change(BLOCKS, "one block in two places of a stage")
def _twice(model: Any, undo: ExitStack) -> None:
    at(model, "layer2").module.append(at(model, "layer2.1").module)


@change(BLOCKS, "one block in place of another")
def _instead(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0").put(at(model, "layer1.1").module)


@change(BLOCKS, "one convolution in two blocks")
def _shared(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.conv2").put(at(model, "layer1.1.conv2").module)


@change(BLOCKS, "one norm in two blocks")
def _shared_norm(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.bn2").put(at(model, "layer1.1.bn2").module)


@change(BLOCKS, "an attribute that a block does not use")
def _unused(model: Any, undo: ExitStack) -> None:
    block = at(model, "layer1.1").module
    block.conv3, block.bn3, block.act3 = nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64).eval(), nn.ReLU()


@change(BLOCKS, "a shortcut that is a view")
def _view(model: Any, undo: ExitStack) -> None:
    at(model, "layer2.1").module.downsample = Turned()


@change(BLOCKS, "a shortcut that keeps its input")
def _keeps(model: Any, undo: ExitStack) -> None:
    at(model, "layer2.1").module.downsample = nn.Sequential(Held(), Scaled(nn.Identity()))


@change(BLOCKS, "a shortcut that gives numbers to be added everywhere")
def _pixel(model: Any, undo: ExitStack) -> None:
    at(model, "layer2.1").module.downsample = nn.AdaptiveAvgPool2d(1)


@change(BLOCKS, "a leaky ReLU at the end")
def _leaky(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.act2").put(nn.LeakyReLU(0.3))


@change(BLOCKS, "a subclass of ReLU at the end")
def _sloped(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.act2").put(Sloped())


@change(BLOCKS, "group norm")
def _group(model: Any, undo: ExitStack) -> None:
    at(model, "layer1.0.bn2").put(nn.GroupNorm(8, 64))


@change(BLOCKS, "synchronised norms of other statistics")
def _sync(model: Any, undo: ExitStack) -> None:
    model.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(model.backbone)
    for norm in model.modules():
        if isinstance(norm, nn.SyncBatchNorm):
            norm.running_var.mul_(1.7)


@change(BLOCKS, "modules where blocks may have some")
def _optional(model: Any, undo: ExitStack) -> None:
    block = at(model, "layer2.1").module
    block.se, block.drop_path, block.aa = Scaled(nn.Identity(), 0.5), Scaled(nn.Identity(), 3), nn.AvgPool2d(3, 1, 1)
    block.drop_block = nn.Hardtanh(-1, 1)


@change(BLOCKS, "a branch of nothing but its ends")
def _hollow(model: Any, undo: ExitStack) -> None:
    block = at(model, "layer2.1").module
    block.conv1, block.bn1, block.conv2, block.bn2 = (nn.Identity() for _ in range(4))


@change(BLOCKS, "features kept by a norm of one's own")
def _subclassed_norm(model: Any, undo: ExitStack) -> None:
    class Frozen(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return 0.8 * super().forward(x)

    at(model, "layer2.0.bn1").module.__class__ = Frozen


@change(BLOCKS, "a subclass of the block")
def _subclassed_block(model: Any, undo: ExitStack) -> None:
    block = at(model, "layer2.1").module

    class Half(type(block)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * super().forward(x)

    block.__class__ = Half


@change(BLOCKS, "a subclass of the network")
def _subclassed_backbone(model: Any, undo: ExitStack) -> None:
    class Doubled(type(model.backbone)):  # type: ignore[misc]
        def forward_features(self, x: Tensor) -> Tensor:
            return 2 * super().forward_features(x)

    model.backbone.__class__ = Doubled
