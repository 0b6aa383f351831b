"""timm's backbones: their families, the places in them, and how they lay out features."""

from tinkit.models.backbones.families import FAMILIES, Family, family_of
from tinkit.models.backbones.feature_layout import NCHW, FeatureLayout
from tinkit.models.backbones.places import Place, blocks_in, places_in

__all__ = ["FAMILIES", "NCHW", "Family", "FeatureLayout", "Place", "blocks_in", "family_of", "places_in"]
