"""Colours that come back after a lag, a step further around the circle of hues: what actions of ``--lags`` are told by.

Time is cut into turns of ``lag`` frames, and a turn into cells of one frame, of which the last may be shorter. A cell's
hue is drawn once, uniformly; from turn to turn all hues move by the same step, forwards in an action and, since it is
the action played backwards, back in its twin. So for any lag of two frames or more:

- a frame's hue is uniform;
- the hues of two neighbouring frames are independent: they never lie in the same cell of the turn, since that is one
  frame long and comes back after two frames or more;
- the hue ``lag`` frames on is known, and its step is the class.

A clip and its twin therefore have the same joint distribution of any frame and the next, and so have all actions of
the challenge; frames that are about ``lag`` apart tell them. This needs a lag of two or more: what an interpolation at
half a frame gives is made of two neighbouring frames, so nothing can be told by it and not by them.

Network and video must count the same frames: as many segments as frames, or frames one by one.
"""

from __future__ import annotations

import math

import numpy as np

from tinkit.data.synth.actions import Motion

STEP = 0.25
"""Of the circle of hues, a turn. Two steps are half of it, and so tell no direction."""
SLOWEST, FASTEST = 4.0, 2.75
"""Frames: the lag of the slowest and of the fastest digit whose speed says its lag."""

_SATURATION = 0.85


def lag_of(motion: Motion, speed: float) -> float:
    """The lag in frames of an action that a digit does at ``speed``, 0 to 1."""
    match motion:
        case "two":
            return 2.0
        case "half":
            return 2.5
        case "speed":
            return SLOWEST + speed * (FASTEST - SLOWEST)
    raise ValueError(f"{motion} is told by no lag")


def hues(rng: np.random.Generator, lag: float, frames: int) -> np.ndarray:
    """(F,) float64, 0 to 1: of a digit whose colour comes back after ``lag`` frames, a step forwards."""
    cells = rng.uniform(size=math.ceil(lag))
    turns, rest = np.divmod(rng.uniform(0, lag) + np.arange(frames), lag)
    drawn = cells[np.minimum(rest.astype(int), len(cells) - 1)]  # rounding may give the whole lag
    return (drawn + STEP * turns) % 1.0


def colours_of(hue: np.ndarray) -> np.ndarray:
    """(F,) hues to (F, 3) RGB, 0 to 255, bright and of one saturation."""
    distance = np.abs((hue[:, None] + np.array([0.0, 2 / 3, 1 / 3])) % 1.0 - 0.5) * 6 - 1
    return 255 * (1 - _SATURATION * (1 - np.clip(distance, 0.0, 1.0)))
