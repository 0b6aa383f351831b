"""Average precision of the rows of a score matrix: by comparing positives, or, where they are many, by sorting rows."""

from tinkit.average_precision.compiled import compared_ap
from tinkit.average_precision.rows import row_ap

__all__ = ["compared_ap", "row_ap"]
