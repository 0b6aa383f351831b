"""The families of timm's backbones, and before which module of each block a temporal module belongs, and why.

One rule stands behind all rows: features move at the start of a block's residual branch, so that the shortcut sees
them where they were. That is the published place in ResNet (TSM, arXiv 1811.08383, section 3: "residual shift"; TIN,
arXiv 2001.06499, section 3). Without a shortcut, a channel that moves would lose what it held of its own frame.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinkit.errors import UserError, did_you_mean
from tinkit.timm_import import import_timm


@dataclass(frozen=True)
class Family:
    """One row of the table.

    ``timm_modules`` are the modules of timm that make such backbones. ``stages`` name what holds the blocks, in order;
    ``*`` is any one part of a name between dots. ``places`` are names inside a block, and the first that a block has
    is taken; ``why`` gives the reason. Blocks whose attribute ``shortcut`` is false have none and are left alone.
    A shift goes into every second block only, where ``alternate`` (a stage) has ``alternate_from`` blocks or more.
    """

    name: str
    timm_modules: tuple[str, ...]
    stages: tuple[str, ...]
    places: tuple[str, ...]
    why: str
    shortcut: str = ""
    alternate: str = ""
    alternate_from: int = 0


RESNET = Family(
    name="ResNet",
    timm_modules=("resnet", "res2net", "resnest", "sknet", "senet"),
    stages=("layer1", "layer2", "layer3", "layer4"),
    places=("conv1",),
    why="the published place of TSM and TIN: the first convolution of the residual branch",
    alternate="layer3",
    alternate_from=23,  # n_round in the TSM repository: ResNet-101 and deeper
)
FAMILIES = (
    RESNET,
    Family(
        name="ResNet-v2",
        timm_modules=("resnetv2",),
        stages=("stages.*.blocks",),
        places=("conv1",),
        why="as in ResNet; the shortcut's projection reads the same normalised features, where they were",
    ),
    Family(
        name="NFNet",
        timm_modules=("nfnet",),
        stages=("stages.*",),
        places=("conv1",),
        why="as in ResNet-v2",
    ),
    Family(
        name="RegNet",
        timm_modules=("regnet",),
        stages=("s1", "s2", "s3", "s4"),
        places=("conv1.conv", "conv1"),
        why="as in ResNet; some kinds wrap convolution and norm in one module",
    ),
    Family(
        name="EfficientNet, MobileNet",
        timm_modules=("efficientnet", "mobilenetv3"),
        stages=("blocks.*",),
        places=("conv_pw", "conv_exp", "pw_exp.conv", "conv", "norm"),
        why="the convolution that widens, or else the one that mixes channels, or the norm before attention; as the "
        "TSM repository has it for MobileNetV2, only in blocks with a shortcut",
        shortcut="has_skip",
    ),
    Family(
        name="ConvNeXt",
        timm_modules=("convnext",),
        stages=("stages.*.blocks",),
        places=("conv_dw",),
        why="the depthwise convolution begins the residual branch, and the norm behind it sees what has moved",
    ),
    Family(
        name="DenseNet",
        timm_modules=("densenet",),
        stages=("features.denseblock*",),
        places=("conv1",),
        why="a layer adds channels to those before it, which stay where they were: the shortcut is a concatenation",
    ),
    Family(
        name="ViT, DeiT, BEiT, EVA",
        timm_modules=("vision_transformer", "vision_transformer_relpos", "deit", "beit", "eva"),
        stages=("blocks",),
        places=("attn", "in_norm"),
        why="attention then compares patches of neighbouring frames (where it and the MLP run side by side, both see "
        "them); class and register tokens belong to no pixel and stay",
    ),
    Family(
        name="Swin",
        timm_modules=("swin_transformer",),
        stages=("layers.*.blocks",),
        places=("norm1",),
        why="the last module that sees whole frames: attention itself gets windows",
    ),
    Family(
        name="Swin-v2",
        timm_modules=("swin_transformer_v2",),
        stages=("layers.*.blocks",),
        places=("mlp",),
        why="its norms come after the branch, so that nothing before the windows of attention is a module: "
        "the other residual branch",
    ),
    Family(
        name="MetaFormer",
        timm_modules=("metaformer",),
        stages=("stages.*.blocks",),
        places=("token_mixer",),
        why="as ConvNeXt where tokens are mixed by convolution or pooling, as ViT where by attention",
    ),
)


def family_of(backbone: str) -> Family:
    """The family of a timm model's name. Raises :class:`~tinkit.errors.UserError` for one that is not in the table."""
    check_known(backbone)
    timm_module = import_timm().model_entrypoint(backbone.split(".")[0]).__module__.rsplit(".", 1)[-1]
    for family in FAMILIES:
        if timm_module in family.timm_modules:
            return family
    raise UserError(
        f"backbone {backbone!r} (timm's module {timm_module}) is not of a supported family",
        expected=", ".join(family.name for family in FAMILIES),
        fix="name the modules whose input moves, '*' for any one part of a name: place = 'blocks.*.attn'",
    )


def check_known(backbone: str) -> None:
    """Raise :class:`~tinkit.errors.UserError` unless timm has a model of this name."""
    timm = import_timm()
    if not timm.is_model(backbone):
        known = timm.list_models()
        raise UserError(
            f"backbone {backbone!r} is not a model that timm knows{did_you_mean(backbone, known)}",
            expected=f"one of timm's {len(known)} models",
            fix="timm.list_models('*net*') lists names",
        )
