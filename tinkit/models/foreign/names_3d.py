"""What other code bases call the entries of a 3D network's state dict.

A model's variant is the code base whose choices it follows, and so the layout whose files fit. The names here are
without ``module.`` in front, which data-parallel training adds.
"""

from __future__ import annotations

import re

from tinkit.models.classifier import Classifier

Rules = tuple[tuple[str, str], ...]  # a pattern in our name and what replaces it, one after the other
_STAGES = (1, 2, 3, 4)

_SLOWFAST_X_TEMPORAL: Rules = (
    (r"^backbone\.(slow|fast)\.(conv1|bn1)\.", r"\1_\2."),
    *((rf"^backbone\.(slow|fast)\.layer{stage}\.", rf"\g<1>_res{stage + 1}.") for stage in _STAGES),
    (r"^backbone\.lateral\.0\.conv\.", "lateral_p1."),
    *((rf"^backbone\.lateral\.{stage}\.conv\.", f"lateral_res{stage + 1}.") for stage in _STAGES[:3]),
    (r"^classifier\.", "fc."),
)
_SLOWFAST_MMACTION2: Rules = (
    (r"\.downsample\.0\.", ".downsample.conv."),
    (r"\.downsample\.1\.", ".downsample.bn."),
    (r"\.conv(\d)\.", r".conv\1.conv."),
    (r"\.bn(\d)\.", r".conv\1.bn."),
    (r"^backbone\.(slow|fast)\.", r"backbone.\1_path."),
    (r"^backbone\.lateral\.0\.", "backbone.slow_path.conv1_lateral."),
    (r"^backbone\.lateral\.(\d)\.", r"backbone.slow_path.layer\1_lateral."),
    (r"^classifier\.", "cls_head.fc_cls."),
)
_SLOWFAST_PYSLOWFAST: Rules = (
    (r"\.slow\.", ".pathway0."),
    (r"\.fast\.", ".pathway1."),
    (r"^backbone\.(pathway\d)\.(conv|bn)1\.", r"s1.\1_stem.\2."),
    *((rf"^backbone\.(pathway\d)\.layer{stage}\.(\d+)\.", rf"s{stage + 1}.\1_res\2.") for stage in _STAGES),
    (r"\.downsample\.0\.", ".branch1."),
    (r"\.downsample\.1\.", ".branch1_bn."),
    *((rf"\.conv{index}\.", f".branch2.{letter}.") for index, letter in enumerate("abc", 1)),
    *((rf"\.bn{index}\.", f".branch2.{letter}_bn.") for index, letter in enumerate("abc", 1)),
    *((rf"^backbone\.lateral\.{stage - 1}\.conv\.", f"s{stage}_fuse.conv_f2s.") for stage in _STAGES),
    *((rf"^backbone\.lateral\.{stage - 1}\.bn\.", f"s{stage}_fuse.bn.") for stage in _STAGES),
    (r"^classifier\.", "head.projection."),
)
_RESNET3D_X_TEMPORAL: Rules = (
    (r"^backbone\.", ""),
    (r"\.(spatial|temporal)\.", r".\1_conv."),
    (r"^classifier\.", "fc."),
)
_RESNET3D_TORCHVISION: Rules = (
    (r"^backbone\.conv1\.spatial\.", "stem.0."),
    (r"^backbone\.conv1\.bn\.", "stem.1."),
    (r"^backbone\.conv1\.temporal\.", "stem.3."),
    (r"^backbone\.conv1\.", "stem.0."),
    (r"^backbone\.", ""),
    (r"\.conv(\d)\.spatial\.", r".conv\1.0.0."),
    (r"\.conv(\d)\.bn\.", r".conv\1.0.1."),
    (r"\.conv(\d)\.temporal\.", r".conv\1.0.3."),
    (r"\.conv(\d)\.(weight|bias)$", r".conv\1.0.\2"),
    (r"\.bn(\d)\.", r".conv\1.1."),
    (r"^classifier\.", "fc."),
)
_RULES: dict[tuple[str, str], Rules] = {
    ("slowfast", "x_temporal"): _SLOWFAST_X_TEMPORAL,
    ("slowfast", "mmaction2"): _SLOWFAST_MMACTION2,
    ("slowfast", "pyslowfast"): _SLOWFAST_PYSLOWFAST,
    ("r3d", "x_temporal"): _RESNET3D_X_TEMPORAL,
    ("r2plus1d", "x_temporal"): _RESNET3D_X_TEMPORAL,
    ("r3d", "torchvision"): (*_RESNET3D_TORCHVISION, (r"^bn1\.", "stem.1.")),
    ("mc3", "torchvision"): (*_RESNET3D_TORCHVISION, (r"^bn1\.", "stem.1.")),
    ("r2plus1d", "torchvision"): (*_RESNET3D_TORCHVISION, (r"^bn1\.", "stem.4.")),  # behind the two convolutions
}

# One name of each that no other layout has, all of five dimensions: (code base, family) of its file. The ResNets of
# torchvision share one; so do R3D of X-Temporal and image networks, but for the dimensions.
SIGNATURES_3D: dict[tuple[str, str], str] = {
    ("x_temporal", "slowfast"): r"slow_res2\.0\.conv1\.weight",
    ("mmaction2", "slowfast"): r"backbone\.slow_path\.layer1\.0\.conv1\.conv\.weight",
    ("pyslowfast", "slowfast"): r"s2\.pathway0_res0\.branch2\.a\.weight",
    ("x_temporal", "r2plus1d"): r"conv1\.spatial_conv\.weight",
    ("torchvision", "r3d"): r"stem\.0\.weight",
    ("x_temporal", "r3d"): r"layer1\.0\.conv1\.weight",
}


def foreign_keys(model: Classifier) -> dict[str, str]:
    """``{key in a file of the model's variant: key in the model}``, for every entry of a 3D network's state dict.

    It serves both ways: ``{ours: file[theirs]}`` is loaded with ``load_state_dict``, ``{theirs: own[ours]}`` is saved.
    """
    rules = _RULES[model.family, model.variant]
    return {_rename(key, rules): key for key in model.state_dict()}


def _rename(key: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key
