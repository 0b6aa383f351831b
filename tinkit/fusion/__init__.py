"""Fusion: the scores of several members become one, fitted on a labelled split and applied to the others. No torch."""

from tinkit.fusion.folder import Fusion, fuse
from tinkit.fusion.mean import combine, equal_weights
from tinkit.fusion.measure import Measured
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.resolve import MemberFiles, members_of, resolve_members
from tinkit.fusion.search import Fitted, fit, search_weights
from tinkit.fusion.spec import EnsembleSpec, MemberSpec, load_spec, make_spec

__all__ = [
    "Aligned",
    "EnsembleSpec",
    "Fitted",
    "Fusion",
    "Measured",
    "Member",
    "MemberFiles",
    "MemberSpec",
    "align",
    "combine",
    "equal_weights",
    "fit",
    "fuse",
    "load_spec",
    "make_spec",
    "members_of",
    "resolve_members",
    "search_weights",
]
