"""What other programs call ids, scores, labels and classes; most telling first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tinkit.scores import Kind

IDS = (
    *("narration_id", "narration_ids", "id", "ids", "clip_id", "clip_ids", "video_id", "video_ids", "videoid", "uid"),
    *("vid", "vids", "clip", "clips", "video", "videos", "filename", "file_name", "filenames", "file_names", "file"),
    *("files", "path", "paths", "video_path", "video_name", "video_names", "name", "names", "key", "keys", "index"),
)
SCORES: Mapping[str, Kind | None] = {
    **dict.fromkeys(("logits", "logit"), "logits"),
    **dict.fromkeys(("probabilities", "probability", "probs", "prob", "softmax", "sigmoid"), "probabilities"),
    **dict.fromkeys(("pred_score", "pred_scores", "scores", "score", "cls_score", "cls_scores", "preds", "pred")),
    **dict.fromkeys(("predictions", "prediction", "outputs", "output", "y_score", "y_pred", "data", "values")),
}
"""Names of scores, with the kind that the name says."""
LABELS = (
    *("gt_label", "gt_labels", "labels", "label", "target", "targets", "gt", "y_true", "ground_truth", "label_id"),
    *("verb_class", "noun_class"),
)
CLASSES = ("classes", "class_names", "categories", "label_names", "class_labels", "columns", "labels")
INSIDE = ("results", "data", "predictions", "outputs", "data_samples", "dataset", "items", "annotations")
"""Keys under which the scores of a larger object may lie."""
_HEAD = re.compile(r"(?P<head>[a-z][a-z0-9]*)_(?:output|outputs|logits|scores?|preds?|probs|probabilities)")
_NUMBER = re.compile(r"(?:.*[^\d.\-+])?(\d{1,9})")
_STEM = re.compile(r"\d{1,9}$")


def word(name: object) -> str:
    """A name as the tables above write it: ``Video ID`` -> ``video_id``."""
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return re.sub(r"[\s\-.]+", "_", text.strip().strip("#").strip().lower())


def named(names: Iterable[object], known: Iterable[str]) -> list[object]:
    """Those of ``names`` that are in ``known``, in the order of ``known``."""
    by_word: dict[str, object] = {}
    for name in names:
        by_word.setdefault(word(name), name)
    return [by_word[text] for text in known if text in by_word]


def heads_of(names: Iterable[object]) -> dict[str, object]:
    """The heads, such as ``verb`` and ``noun``, whose scores have these names; empty for fewer than two of them."""
    found: dict[str, object] = {}
    for name in names:
        text = word(name)
        match = _HEAD.fullmatch(text)
        if match and match["head"] not in ("pred", "cls", "gt", "y"):
            found.setdefault(match["head"], name)
        elif text in ("verb", "noun", "action"):
            found.setdefault(text, name)
    return found if len(found) > 1 else {}


def numbers_of(columns: Sequence[str]) -> list[int] | None:
    """The numbers of columns that are only numbered, ``0, 1`` or ``score_1, score_2``; None for any other."""
    matches = [_NUMBER.fullmatch(name.strip()) for name in columns]
    stems = {_STEM.sub("", name.strip()) for name in columns}
    if len(stems) != 1 or not all(matches):
        return None
    return [int(match[1]) for match in matches if match]
