"""timm's backbones: their families, the places in them, and how they lay out features."""
