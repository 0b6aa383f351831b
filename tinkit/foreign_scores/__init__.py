"""Foreign scores: read safely from what other programs write, matched with a split's clips and classes. No torch."""

from tinkit.foreign_scores.convert import Imported, converted
from tinkit.foreign_scores.facts import classes_of, kind_of, with_names
from tinkit.foreign_scores.found import Found, Hints
from tinkit.foreign_scores.read import read_foreign

__all__ = ["Found", "Hints", "Imported", "classes_of", "converted", "kind_of", "read_foreign", "with_names"]
