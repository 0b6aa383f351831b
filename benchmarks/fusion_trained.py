"""Really trained members for the benchmark of fusion: small models of the handwritten digits that scikit-learn has.

1,797 real images of 8 x 8 pixels (Alpaydin and Kaynak 1998). Every draw trains the models anew on other images: some
see a part of the image only, one has learned from shuffled labels. What they say of images that none has seen is fused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fusion_worlds import Drawn

_TRAINED_ON = 300
_LEAST = 1e-6  # probability: some models say 0
_LEFT, _TOP = np.arange(64) % 8 < 4, np.arange(64) < 32


class Digits:
    """Models that are trained on images of their own; each draw hands out images that no draw before had."""

    def __init__(self, seed: int) -> None:
        from sklearn.datasets import load_digits

        images, self._truth = load_digits(return_X_y=True)
        self._images = images / 16  # of 0 to 16
        self._left = list(np.random.default_rng(seed).permutation(len(self._truth)))
        own = self._next(_TRAINED_ON)
        self._models = [model.fit(self._images[own][:, part], labels) for model, part, labels in self._ways(own, seed)]
        self._parts = [part for _, part, _ in self._ways(own, seed)]

    def draw(self, clips: int) -> Drawn:
        """``clips`` images, each a source of its own, with the models' log-probabilities."""
        rows = self._next(clips)
        scores = [
            np.log(np.maximum(model.predict_proba(self._images[rows][:, part]), _LEAST)).astype(np.float32)
            for model, part in zip(self._models, self._parts, strict=True)
        ]
        return Drawn(scores, np.eye(10, dtype=bool)[self._truth[rows]], np.arange(clips))

    def _ways(self, rows: NDArray[np.int64], seed: int) -> list[tuple[Any, NDArray[np.bool_], NDArray[np.int64]]]:
        """Each model, not yet trained, the pixels that it sees, and the labels that it learns from."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.linear_model import LogisticRegression
        from sklearn.naive_bayes import GaussianNB
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.neural_network import MLPClassifier

        labels, every = self._truth[rows], np.ones(64, bool)
        mixed = np.random.default_rng([seed, 1]).permutation(labels)
        return [
            (LogisticRegression(max_iter=200), _LEFT, labels),
            (LogisticRegression(max_iter=200), _TOP, labels),
            (LinearDiscriminantAnalysis(), ~_LEFT, labels),
            (MLPClassifier((16,), max_iter=1000, alpha=0.1, random_state=seed), every, labels),
            (GaussianNB(var_smoothing=1e-2), every, labels),
            (KNeighborsClassifier(5), ~_TOP, labels),
            (LogisticRegression(max_iter=200), every, mixed),
        ]

    def _next(self, count: int) -> NDArray[np.int64]:
        taken, self._left = self._left[:count], self._left[count:]
        if len(taken) < count:
            raise ValueError(f"only {len(taken)} images are left, not {count}")
        return np.array(taken)
