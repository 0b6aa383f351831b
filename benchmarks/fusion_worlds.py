"""Made-up members for the benchmark of fusion: correlated models of one set of clips, and clips that none has seen.

A clip shows evidence of its classes in three channels (looks, motion, sound). A class lives mostly in one or two of
them, and classes of a kind are confused by everybody. A family of models listens to the channels in its own
proportions and shares a part of its errors; a model adds errors of its own, knows some classes better than others,
favours some (a bias from its training), and is more or less sure of itself. Useless members are noise, the frequency
of the classes, a good model with its classes shuffled, and one that says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinkit.metrics import Task

LISTENS = {
    "tsn": (1.0, 0.2, 0.0),
    "tsm": (0.8, 0.8, 0.0),
    "tin": (0.75, 0.9, 0.0),
    "trn": (0.85, 0.6, 0.0),
    "slowfast": (0.7, 1.0, 0.0),
    "flow": (0.1, 1.0, 0.0),
}
FAMILIES = ("tsn", "tsn", "tsm", "tsm", "tin", "tin", "trn", "slowfast", "slowfast", "flow")
_KINDS = 24  # of classes that are confused
_DIRECTIONS = 20  # of confusion in a channel
_CLIPS_A_SOURCE = 3

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """Which members a world has: models of ``families``, ``useless`` ones, and whether the models are all of one make.

    ``pure``: only noise.
    """

    families: tuple[str, ...] = FAMILIES
    useless: int = 0
    alike: bool = False
    pure: bool = False


SETTINGS = {
    "noise": Setting(useless=3),
    "clean": Setting(),
    "clones": Setting(families=("tin",) * 10, alike=True),
    "pure": Setting(families=(), useless=8, pure=True),
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """Clips of a world: of each member scores (n, C) float32, ``labels`` (n, C) of bool, ``source`` (n,)."""

    scores: list[NDArray[np.float32]]
    labels: NDArray[np.bool_]
    source: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Model:
    family: str
    skill: Array
    bias: Array
    prior: float
    own: float
    sure: float
    saturates: bool


class World:
    """Members as ``setting`` has them, over ``classes`` classes; the same for the same ``seed``."""

    def __init__(self, seed: int, task: Task, setting: Setting, classes: int) -> None:
        random = np.random.default_rng(seed)
        self.task, self.setting, self.classes = task, setting, classes
        often = random.permutation(np.arange(1.0, classes + 1) ** -0.7)
        self.frequency = often / often.sum()
        self.kind = random.integers(0, _KINDS, classes)
        lives = np.sqrt(random.dirichlet((1.2, 1.2, 0.5), classes))
        self.evidence = lives * random.normal(3.7, 0.8, (classes, 1)) * 1.35
        self.confusion = [_directions(random, self.kind) for _ in range(3)]
        self.models = [self._model(random, family) for family in setting.families]
        self.shuffled = random.permutation(classes)
        self.loud = np.exp(random.normal(0.3, 0.4, max(1, setting.useless)))

    def _model(self, random: np.random.Generator, family: str) -> _Model:
        size = self.classes
        if self.setting.alike:
            return _Model(family, np.ones(size), 0.15 * random.standard_normal(size), 0.6, 0.4, 1.0, saturates=False)
        skill = np.maximum(0.5, random.normal(1, 0.12)) * np.exp(0.2 * random.standard_normal(size))
        bias, prior = 0.35 * random.standard_normal(size), random.uniform(0.3, 1.0)
        sure = float(np.exp(random.normal(0, 0.35)))
        return _Model(family, skill, bias, prior, random.uniform(0.2, 0.45), sure, saturates=random.random() < 0.25)

    def draw(self, seed: int, clips: int) -> Drawn:
        """``clips`` clips, the same for the same ``seed``."""
        random = np.random.default_rng([seed, 17])
        labels, source = self._labels(random, clips)
        clear = np.exp(0.35 * random.standard_normal(int(source.max()) + 1))[source]
        clear = (clear * np.exp(0.25 * random.standard_normal(clips)))[:, None]
        heard = [
            labels * self.evidence[:, channel] * clear
            + 0.9 * random.standard_normal((clips, _DIRECTIONS)) @ self.confusion[channel]
            + 0.9 * random.standard_normal((clips, self.classes))
            for channel in range(3)
        ]
        prior = np.log(self.frequency * (2.4 if self.task == "multi-label" else 1))
        shared = {
            family: random.standard_normal((clips, self.classes)) for family in dict.fromkeys(self.setting.families)
        }
        scores = [self._said(random, model, heard, shared[model.family], prior) for model in self.models]
        scores += [self._useless(random, number, scores, prior, clips) for number in range(self.setting.useless)]
        return Drawn([np.ascontiguousarray(own, np.float32) for own in scores], labels, source)

    def _said(
        self, random: np.random.Generator, model: _Model, heard: Sequence[Array], shared: Array, prior: Array
    ) -> Array:
        parts = np.array(LISTENS[model.family]) / np.linalg.norm(LISTENS[model.family])
        said = sum((part * channel for part, channel in zip(parts, heard, strict=True)), np.zeros(shared.shape))
        said = said * model.skill + 0.35 * shared + model.own * random.standard_normal(shared.shape)
        said = (said + model.bias + model.prior * prior) * model.sure * 1.4
        return 8 * np.tanh(said / 8) if model.saturates else said

    def _useless(
        self, random: np.random.Generator, number: int, scores: Sequence[Array], prior: Array, clips: int
    ) -> Array:
        noise = random.standard_normal((clips, self.classes))
        if self.setting.pure or number % 4 == 0:
            return 2 * self.loud[number] * noise
        match number % 4:
            case 1:
                return self.loud[number] * prior + 0.1 * noise
            case 2:
                return scores[0][:, self.shuffled]
            case _:
                return 1e-3 * noise

    def _labels(self, random: np.random.Generator, clips: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """One label a clip, or one to eight that go together; half of the clips of a source have its label."""
        source = np.arange(clips) // _CLIPS_A_SOURCE
        main = random.choice(self.classes, int(source.max()) + 1, p=self.frequency)[source]
        keeps = random.random(clips) < (0.5 if self.task == "single-label" else 0.7)
        first = np.where(keeps, main, random.choice(self.classes, clips, p=self.frequency))
        labels = np.zeros((clips, self.classes), bool)
        labels[np.arange(clips), first] = True
        if self.task == "multi-label":
            for clip, more in enumerate(np.minimum(random.geometric(0.45, clips), 7) - 1):
                near = np.flatnonzero(self.kind == self.kind[first[clip]])
                for _ in range(more):
                    anywhere = random.random() > 0.6
                    labels[clip, random.choice(self.classes, p=self.frequency) if anywhere else random.choice(near)] = (
                        True
                    )
        return labels, source


def _directions(random: np.random.Generator, kind: NDArray[np.int64]) -> Array:
    """(directions, C) of length 1 a class; those of a kind are near each other."""
    free = random.standard_normal((_DIRECTIONS, kind.size))
    centres = random.standard_normal((_DIRECTIONS, _KINDS))
    near = free + 1.2 * centres[:, kind]
    return near / np.linalg.norm(near, axis=0)
