"""The actions of the synthetic challenges, and which of them is which when time runs backwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Motion = Literal["horizontal", "vertical", "scale", "turn", "fade", "shake", "blink", "two", "half", "speed"]


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


@dataclass(frozen=True)
class ActionSet:
    """The classes of a challenge, in the order of the category files, which is not the alphabetical one."""

    actions: tuple[Action, ...]

    def __len__(self) -> int:
        return len(self.actions)

    def __getitem__(self, index: int) -> Action:
        return self.actions[index]

    def __iter__(self) -> Iterator[Action]:
        return iter(self.actions)

    def partner(self, index: int) -> int:
        """The class of a clip of class ``index`` that is played backwards; itself where that changes nothing."""
        own = self.actions[index]
        for other, candidate in enumerate(self.actions):
            if candidate.motion == own.motion and candidate.backwards != own.backwards:
                return other
        return index

    @property
    def order_classes(self) -> tuple[int, ...]:
        """The classes that single frames, and unordered sets of frames, cannot tell from their partners."""
        return tuple(index for index in range(len(self)) if self.partner(index) != index)


MOTIONS = ActionSet(
    (
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
)
"""What digits do in the plain challenge."""

LAGS = ActionSet(
    (
        Action(
            "two_back",
            "two",
            "hue back/after two",
            "Sending [something] back through the hues after two",
            backwards=True,
        ),
        Action("two_on", "two", "hue on/after two", "Sending [something] on through the hues after two"),
        Action("half_on", "half", "hue on+two and a half", "Sending [something] on after two and a half"),
        Action(
            "half_back",
            "half",
            "hue back+two and a half",
            "Sending [something] back after two and a half",
            backwards=True,
        ),
        Action("speed_back", "speed", "hue back by speed", "Sending [something] back by its speed", backwards=True),
        Action("speed_on", "speed", "hue on by speed", "Sending [something] on by its speed"),
    )
)
"""What digits do with ``--lags``: :mod:`tinkit.data.synth.lags`."""
