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
    mmit: str
    template: str
    backwards: bool = False

    @property
    def plain(self) -> str:
        """The template without its brackets: what Something-Something's lists call the class."""
        return self.template.replace("[", "").replace("]", "")


# In the order of the category files, which is not the alphabetical one.
ACTIONS: tuple[Action, ...] = (
    Action("left", "horizontal", "moving/sliding left", "Moving [something] to the left", backwards=True),
    Action("right", "horizontal", "moving/sliding right", "Moving [something] to the right"),
    Action("up", "vertical", "rising", "Moving [something] up", backwards=True),
    Action("down", "vertical", "falling+sinking", "Moving [something] down"),
    Action("approach", "scale", "approaching", "Bringing [something] closer to the camera"),
    Action("retreat", "scale", "retreating/leaving", "Taking [something] away from the camera", backwards=True),
    Action("clockwise", "turn", "turning clockwise", "Turning [something] clockwise"),
    Action("back", "turn", "turning back", "Turning [something] back/counter-clockwise", backwards=True),
    Action("appear", "fade", "appearing", "Showing [something] slowly"),
    Action("vanish", "fade", "vanishing+fading", "Hiding [something] slowly", backwards=True),
    Action("shake", "shake", "shaking", "Shaking [something]"),
    Action("blink", "blink", "blinking/flashing", "Blinking [something] on+off"),
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
