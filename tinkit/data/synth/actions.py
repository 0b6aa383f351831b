"""The twelve actions of a synthetic challenge, and which of them is which when time runs backwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Motion = Literal["horizontal", "vertical", "scale", "turn", "fade", "shake", "blink"]


@dataclass(frozen=True)
class Action:
    """One class. ``backwards`` says that it is ``motion`` with time reversed.

    ``mmit`` and ``template`` are what the class is called in Multi-Moments in Time's files and in
    Something-Something's; class names may hold slashes and plus signs, as the real ones do.
    """

    key: str
    motion: Motion
    backwards: bool
    mmit: str
    template: str

    @property
    def plain(self) -> str:
        """The template without its brackets: what Something-Something's lists call the class."""
        return self.template.replace("[", "").replace("]", "")


# In the order of the category files, which is not the alphabetical one.
ACTIONS: tuple[Action, ...] = (
    Action("left", "horizontal", True, "moving/sliding left", "Moving [something] to the left"),
    Action("right", "horizontal", False, "moving/sliding right", "Moving [something] to the right"),
    Action("up", "vertical", True, "rising", "Moving [something] up"),
    Action("down", "vertical", False, "falling+sinking", "Moving [something] down"),
    Action("approach", "scale", False, "approaching", "Bringing [something] closer to the camera"),
    Action("retreat", "scale", True, "retreating/leaving", "Taking [something] away from the camera"),
    Action("clockwise", "turn", False, "turning clockwise", "Turning [something] clockwise"),
    Action("back", "turn", True, "turning back", "Turning [something] back/counter-clockwise"),
    Action("appear", "fade", False, "appearing", "Showing [something] slowly"),
    Action("vanish", "fade", True, "vanishing+fading", "Hiding [something] slowly"),
    Action("shake", "shake", False, "shaking", "Shaking [something]"),
    Action("blink", "blink", False, "blinking/flashing", "Blinking [something] on+off"),
)

# Class index -> the class of the same clip played backwards.
PARTNER: Mapping[int, int] = MappingProxyType(
    {
        index: next(
            (
                other
                for other, candidate in enumerate(ACTIONS)
                if candidate.motion == action.motion and candidate.backwards != action.backwards
            ),
            index,
        )
        for index, action in enumerate(ACTIONS)
    }
)

# The classes that single frames, and unordered sets of frames, cannot tell from their partners.
ORDER_CLASSES: tuple[int, ...] = tuple(index for index, partner in PARTNER.items() if partner != index)
