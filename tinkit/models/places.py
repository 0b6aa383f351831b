"""Where a temporal module goes: for each family of backbones, the module of each block that it precedes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from tinkit.errors import UserError, did_you_mean
from tinkit.timm_import import import_timm


@dataclass(frozen=True)
class Family:
    """One family of backbones: the timm module that makes them, their stages, and the places inside a block.

    ``places`` are names of convolutions on the residual branch, so that the shortcut sees the untouched input; the
    first is the published one. ``alternate`` names the stage whose ``alternate_from`` blocks or more make a shift go
    into every second block only (n_round in the TSM repository).
    """

    timm_module: str
    stages: tuple[str, ...]
    places: tuple[str, ...]
    alternate: str
    alternate_from: int


RESNET = Family(
    timm_module="resnet",
    stages=("layer1", "layer2", "layer3", "layer4"),
    places=("conv1", "conv2"),
    alternate="layer3",
    alternate_from=23,
)
FAMILIES = (RESNET,)


@dataclass(frozen=True)
class Place:
    """One convolution that a temporal module precedes: its name in the backbone, its owner and itself."""

    name: str
    block: nn.Module
    attribute: str
    convolution: nn.Conv2d


def family_of(backbone: str) -> Family:
    """The family of a timm model's name. Raises :class:`~tinkit.errors.UserError` for one that is not in the table."""
    timm = import_timm()
    families = {family.timm_module: family for family in FAMILIES}
    if timm.is_model(backbone):
        module = timm.model_entrypoint(backbone.split(".")[0]).__module__.rsplit(".", 1)[-1]
        if module in families:
            return families[module]
    known = [name for module in families for name in timm.list_models(module=module)]
    what = "is not of a supported family" if timm.is_model(backbone) else "is not a model that timm knows"
    raise UserError(
        f"backbone {backbone!r} {what}{did_you_mean(backbone, known)}",
        expected=f"a timm model of the family {', '.join(families)}: {', '.join(known[:40])}, ...",
    )


def places_in(backbone: nn.Module, family: Family, place: str, *, alternate: bool) -> list[Place]:
    """Every convolution of ``backbone`` that a temporal module precedes, in order.

    ``place`` is one of the family's; ``alternate`` asks for the rule of the very deep: every second block of each stage
    (the 1st, 3rd, ...) where the family's stage is long enough. Raises :class:`~tinkit.errors.UserError` for a place
    that the family or one of the blocks does not have.
    """
    if place not in family.places:
        raise UserError(
            f"no place is called {place!r}{did_you_mean(place, family.places)}", expected=" or ".join(family.places)
        )
    deep = len(list(backbone.get_submodule(family.alternate).children())) >= family.alternate_from
    step = 2 if alternate and deep else 1
    found = []
    for stage in family.stages:
        for index, block in list(enumerate(backbone.get_submodule(stage).children()))[::step]:
            convolution = getattr(block, place, None)
            if type(convolution) is not nn.Conv2d:
                raise UserError(
                    f"{stage}.{index}.{place} is {type(convolution).__name__}, not a plain convolution: "
                    "a temporal module cannot precede it",
                    fix="choose another backbone or place",
                )
            found.append(Place(f"{stage}.{index}.{place}", block, place, convolution))
    return found
