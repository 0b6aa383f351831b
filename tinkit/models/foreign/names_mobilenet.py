"""What other code bases call the entries of a MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, table 2).

Theirs count the layers of a block, here (in timm) each has a name of its own. The first block has no layer that widens.

================ ======================= ======================= ==================== ====================
layer            here                    TSM repository          torchvision          mmaction2
================ ======================= ======================= ==================== ====================
widens           ``conv_pw``, ``bn1``    ``conv.0``, ``conv.1``  ``conv.0.0``, ``.1`` ``conv.0.conv``, ``.bn``
of each channel  ``conv_dw``, ``bn2``    ``conv.3``, ``conv.4``  ``conv.1.0``, ``.1`` ``conv.1.conv``, ``.bn``
narrows          ``conv_pwl``, ``bn3``   ``conv.6``, ``conv.7``  ``conv.2``, ``.3``   ``conv.2.conv``, ``.bn``
================ ======================= ======================= ==================== ====================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tinkit.models.foreign.names import MMACTION2_HEADS, TSN_HEADS, Names, Pairs

_DEPTHS = (1, 2, 3, 4, 3, 3, 1)  # blocks of each stage, table 2
_FIRST = ("conv_dw", "bn1", "conv_pw", "bn2")
_LATER = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")


def _counted_blocks(first: tuple[str, ...], later: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The layers of all blocks, where these are counted through: those of the first block, and of every later one."""
    places = [(stage, block) for stage, depth in enumerate(_DEPTHS) for block in range(depth)]
    for number, (stage, block) in enumerate(places, 1):
        own, theirs = (_FIRST, first) if number == 1 else (_LATER, later)
        for name, other in zip(own, theirs, strict=True):
            yield f"backbone.blocks.{stage}.{block}.{name}.", f"backbone.features.{number}.conv.{other}."


def _ends(features: Callable[[int, int], str]) -> Pairs:
    """What comes before and behind the blocks: convolution and norm of feature 0 and of feature 18."""
    ours = (("backbone.conv_stem.", 0, 0), ("backbone.bn1.", 0, 1), ("backbone.conv_head.", 18, 0))
    return tuple((name, features(at, layer)) for name, at, layer in (*ours, ("backbone.bn2.", 18, 1)))


def _feature(at: int, layer: int) -> str:
    return f"backbone.features.{at}.{layer}."


TSN_MOBILENET = Names(
    TSN_HEADS,
    "base_model.",
    (*_counted_blocks(("0", "1", "3", "4"), ("0", "1", "3", "4", "6", "7")), *_ends(_feature)),
)
TORCHVISION_MOBILENET = Names(
    (("classifier.", "classifier.1."),),
    "",
    (*_counted_blocks(("0.0", "0.1", "1", "2"), ("0.0", "0.1", "1.0", "1.1", "2", "3")), *_ends(_feature)),
)


def _mmaction2_blocks() -> Iterator[tuple[str, str]]:
    """Its shift wraps convolution and norm as one, so that the norm has the wrapper too, in front of its own name."""
    for stage, depth in enumerate(_DEPTHS):
        for block in range(depth):
            at, there = f"backbone.blocks.{stage}.{block}", f"backbone.layer{stage + 1}.{block}.conv"
            for index, name in enumerate(_FIRST if stage == 0 else _LATER):
                layer, kind = index // 2, ("conv", "bn")[index % 2]
                if index < 2:
                    yield f"{at}.{name}.net.", f"{there}.{layer}.net.{kind}."
                yield f"{at}.{name}.", f"{there}.{layer}.{kind}."


MMACTION2_MOBILENET = Names(
    MMACTION2_HEADS,
    "backbone.",
    (
        *_mmaction2_blocks(),
        *_ends(lambda at, layer: f"backbone.conv{2 if at else 1}.{('conv', 'bn')[layer]}."),
    ),
)
