"""Foreign checkpoints: read safely, recognised, renamed, accounted for, and written back."""

from tinkit.models.foreign.classes import reorder_classes, rows_by_name
from tinkit.models.foreign.files import read_checkpoint, read_file
from tinkit.models.foreign.load import ForeignReport, classes_in, load_foreign
from tinkit.models.foreign.save import to_foreign

__all__ = [
    "ForeignReport",
    "classes_in",
    "load_foreign",
    "read_checkpoint",
    "read_file",
    "reorder_classes",
    "rows_by_name",
    "to_foreign",
]
