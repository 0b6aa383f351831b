"""Fusion: the scores of several members become one, fitted on a labelled split and applied to the others. No torch."""

from tinkit.fusion.arrays import Examples, Options
from tinkit.fusion.choosing.fitting import Fitted, fit
from tinkit.fusion.combine import Combination, combine
from tinkit.fusion.folder import Fusion, fuse
from tinkit.fusion.measure import Measured
from tinkit.fusion.members import Aligned, Member, align
from tinkit.fusion.methods import AUTO, METHODS, FusionMethod
from tinkit.fusion.reapply import Applied, apply_fusion
from tinkit.fusion.resolve import MemberFiles, members_of, resolve_members
from tinkit.fusion.spec import EnsembleSpec, MemberSpec, load_spec, make_spec
from tinkit.fusion.ways.mean import equal_weights
from tinkit.fusion.ways.search import search_weights

__all__ = [
    "AUTO",
    "METHODS",
    "Aligned",
    "Applied",
    "Combination",
    "EnsembleSpec",
    "Examples",
    "Fitted",
    "Fusion",
    "FusionMethod",
    "Measured",
    "Member",
    "MemberFiles",
    "MemberSpec",
    "Options",
    "align",
    "apply_fusion",
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
