"""Where TSM's shift goes in a ResNet, by the names and in the ways of the code bases that trained with it.

================ ============================================================= =====================================
name             what is shifted                                               published by
================ ============================================================= =====================================
blockres         the input of ``conv1``: the shortcut sees what was there; in   TSM (arXiv 1811.08383, section 3.3,
                 every second block where ``layer3`` has 23 or more             "residual shift") and its repository
blockres_every   the same in every block, however deep                          X-Temporal
blockres_double  the inputs of ``conv1`` and ``conv2``, in every block          the TIN repository's own shift
block            the input of the whole block, shortcut included, in every one  TSM, section 3.3, "in-place shift"
================ ============================================================= =====================================

The state dict is the plain ResNet's in all four: a checkpoint does not say which one it was trained with.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from tinkit.errors import UserError, did_you_mean
from tinkit.models.backbones.families import RESNET, family_of
from tinkit.models.backbones.places import Place, places_in

ShiftPlace = Literal["blockres", "blockres_every", "blockres_double", "block"]
_PATTERNS: dict[str, tuple[str, ...]] = {
    "blockres_every": ("layer[1-4].*.conv1",),
    "blockres_double": ("layer[1-4].*.conv1", "layer[1-4].*.conv2"),
    "block": ("layer[1-4].*",),
}


def shift_places_in(backbone: nn.Module, name: str, shift_place: ShiftPlace = "blockres") -> list[Place]:
    """The modules of ``backbone`` (timm's model ``name``) that a shift precedes.

    ``blockres`` has its place in every family. Raises :class:`~tinkit.errors.UserError` for a name that is not known,
    and for the others in anything but a ResNet and where its blocks have no such convolution.
    """
    known = get_args(ShiftPlace)
    if shift_place not in known:
        raise UserError(
            f"no place of the shift is called {shift_place!r}{did_you_mean(shift_place, known)}",
            expected=", ".join(known),
        )
    if shift_place == "blockres":
        return places_in(backbone, name, alternate=True)
    if (family := family_of(name)) is not RESNET:
        raise UserError(f"shift_place {shift_place!r} in a {family.name}", expected="a ResNet, or 'blockres'")
    return [place for pattern in _PATTERNS[shift_place] for place in places_in(backbone, name, pattern)]
