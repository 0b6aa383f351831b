"""Put a module between the blocks of a ResNet's stage; blocks keep their names, and so do their weights."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from tinkit.errors import UserError

STAGES = ("layer1", "layer2", "layer3", "layer4")  # of timm's ResNets


def stage_of(backbone: nn.Module, stage: str) -> nn.Sequential:
    """The blocks of ``stage``, and what was put between them. Raises :class:`~tinkit.errors.UserError` if there is no
    such stage."""
    found = getattr(backbone, stage, None)
    if stage not in STAGES or not isinstance(found, nn.Sequential):
        raise UserError(
            f"the backbone ({type(backbone).__name__}) has no stage {stage!r} to put a module into",
            expected=f"a ResNet's stages: {', '.join(STAGES)}",
        )
    return found


def put_first(backbone: nn.Module, stage: str, name: str, module: nn.Module) -> None:
    """Let ``module`` change what the first block of ``stage`` is given; its weights come under ``stage.name.``."""
    _rebuild(backbone, stage, [(name, module), *stage_of(backbone, stage).named_children()])


def put_after(backbone: nn.Module, stage: str, block: str, name: str, module: nn.Module) -> None:
    """Let ``module`` change what ``block`` of ``stage`` gives; its weights come under ``stage.name.``."""
    children = list(stage_of(backbone, stage).named_children())
    at = [key for key, _ in children].index(block) + 1
    _rebuild(backbone, stage, [*children[:at], (name, module), *children[at:]])


def _rebuild(backbone: nn.Module, stage: str, children: list[tuple[str, nn.Module]]) -> None:
    """A new sequence, since the order of a named sequence cannot be changed."""
    if len({name for name, _ in children}) < len(children):
        raise ValueError(f"{stage} has such a module already: {', '.join(name for name, _ in children)}")
    setattr(backbone, stage, nn.Sequential(OrderedDict(children)))
