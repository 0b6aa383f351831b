"""Networks of clips that other code bases have and this one has not: known by their names, to be called by their own.

Names are without ``module.`` and ``model.`` in front. A row is a name that no network before it in the table has, and
the number of its dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_ROWS: tuple[tuple[str, str, int], ...] = (
    ("mmaction2's CSN", r"backbone\.layer\d\.\d+\.conv2\.conv\.[01]\.weight", 5),
    ("mmaction2's R(2+1)D", r"backbone\.layer\d\.\d+\.conv1\.conv\.conv_s\.weight", 5),
    ("mmaction2's X3D", r"backbone\.conv1_s\.conv\.weight", 5),
    ("mmaction2's C3D", r"backbone\.conv1a\.conv\.weight", 5),
    ("mmaction2's TPN", r"neck\.temporal_modulation_ops\..*weight", 5),
    ("PySlowFast's X3D", r"s1\.pathway0_stem\.conv_xy\.weight", 5),
    ("PyTorchVideo's SlowFast", r"blocks\.0\.multipathway_blocks\.0\.conv\.weight", 5),
    ("PyTorchVideo's X3D", r"blocks\.0\.conv\.conv_t\.weight", 5),
    ("PyTorchVideo's ResNet", r"blocks\.1\.res_blocks\.0\.branch2\.conv_a\.weight", 5),
    ("torchvision's S3D", r"features\.0\.0\.0\.weight", 5),
    ("I3D (Inception)", r"(?:.*\.)?Mixed_3b\.b0\.conv3d\.weight", 5),
    ("a R(2+1)D of the 3D-ResNets repository", r"conv1_s\.weight", 5),
    ("C3D", r"conv1a?\.weight", 5),
)
_TRANSFORMERS: tuple[tuple[str, str], ...] = (
    ("TimeSformer", r"(?:.*\.)?(?:time_embed|time_embeddings|blocks\.\d+\.temporal_attn\..*)"),
    ("Video Swin", r"(?:.*\.)?(?:layers|features)\.\d+\.(?:blocks\.)?\d+\.attn\.relative_position_bias_table"),
    ("MViT", r"(?:.*\.)?blocks\.\d+\.attn\.(?:pool_[qkv]\..*|norm_[qkv]\..*|rel_pos_[thw])"),
    ("UniFormer", r"(?:.*\.)?patch_embed1\.proj\.weight"),
    ("VideoMAE", r"(?:.*\.)?(?:blocks\.\d+\.attn\.[qv]_bias|videomae\..*)"),
    ("ViViT", r"(?:.*\.)?vivit\..*"),
)
_ATTENTION = re.compile(r"(?:.*\.)?(?:attn|attention|attentions|self_attention)\.\S+")


def network_elsewhere(shapes: Mapping[str, Sequence[int]]) -> str | None:
    """What the file's network is, where it is one of clips: ``mmaction2's SlowOnly, a 3D network``; else None.

    ``shapes`` are those of the file's tensors. Files of networks that are known here are asked for before.
    """
    convolutions = [name for name, shape in shapes.items() if len(shape) == 5]
    if all(tuple(shapes[name][2:]) == (1, 1, 1) for name in convolutions):
        convolutions = []  # non-local blocks, which image networks have too
    attentive = any(_ATTENTION.fullmatch(name) for name in shapes)
    frames = any(re.fullmatch(_TRANSFORMERS[0][1], name) for name in shapes)
    if frames or (convolutions and attentive):
        kind = next((kind for kind, names in _TRANSFORMERS if any(re.fullmatch(names, name) for name in shapes)), None)
        return f"{kind}, a video transformer" if kind else "a video transformer"
    if not convolutions:
        return None
    for kind, names, ndim in _ROWS:
        if any(len(shapes[name]) == ndim and re.fullmatch(names, name) for name in convolutions):
            return f"{kind}, a 3D network"
    return f"{_inflated(shapes)}a 3D network"


def _inflated(shapes: Mapping[str, Sequence[int]]) -> str:
    """Which of two that share their names, one of whose first convolutions looks at a single frame."""
    for who, stem, block in (
        ("mmaction2's", "backbone.conv1.conv.weight", r"backbone\.layer1\.0\.conv1\.conv\.weight"),
        ("PySlowFast's", "s1.pathway0_stem.conv.weight", r"s2\.pathway0_res0\.branch2\.a\.weight"),
    ):
        shape = shapes.get(stem, ())
        if len(shape) == 5 and any(re.fullmatch(block, name) for name in shapes):
            return f"{who} {'SlowOnly' if shape[2] == 1 else 'I3D'}, "
    return ""
