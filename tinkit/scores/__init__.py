"""Scores: what a model said of every clip of a split, as a file and in memory. numpy and pyarrow only."""

from tinkit.scores.checks import check_scores
from tinkit.scores.file import OpenScores, open_scores, read_info, read_scores, verified_scores
from tinkit.scores.kinds import to_kind, to_logits, to_probabilities, to_ranks
from tinkit.scores.table import Kind, Labels, ScoreInfo, ScoreTable, label_matrix, mark_labels, take_rows
from tinkit.scores.writing import write_blocks, write_scores

__all__ = [
    "Kind",
    "Labels",
    "OpenScores",
    "ScoreInfo",
    "ScoreTable",
    "check_scores",
    "label_matrix",
    "mark_labels",
    "open_scores",
    "read_info",
    "read_scores",
    "take_rows",
    "to_kind",
    "to_logits",
    "to_probabilities",
    "to_ranks",
    "verified_scores",
    "write_blocks",
    "write_scores",
]
