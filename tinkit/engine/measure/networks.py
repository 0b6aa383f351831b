"""`tinkit models`: what the networks cost, how fast they are here, and what was published for them.

A network is described by a recipe's tables ``[model]`` and ``[clip]``. Those of the shipped recipes are joined with
every temporal module in one backbone of each family of :mod:`tinkit.models.backbones.families`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from tinkit.architectures import ARCHS
from tinkit.data.config.dataset import DataConfig
from tinkit.data.config.views import ClipConfig, image_shape
from tinkit.engine.measure.cost import Cost, cost_of
from tinkit.engine.runtime.build import build_model
from tinkit.engine.runtime.device import choose_device, limit_threads
from tinkit.errors import UsageError, did_you_mean
from tinkit.files.shipped import shipped_names
from tinkit.models import Classifier
from tinkit.models.batch_norm import merge_batch_norm
from tinkit.models.modality import pixels_of
from tinkit.recipe import Published, Recipe, load_recipe
from tinkit.recipe.model import ModelConfig
from tinkit.recipe.training import OptimConfig
from tinkit.temporal import CHOICES, TEMPORAL_MODULES
from tinkit.timm_import import import_timm

CLASSES = 400
"""Those of Kinetics-400, in every network of the table."""

BACKBONES = (
    *("resnet18", "resnet50", "resnet101", "resnet50d", "resnetv2_50", "resnext50_32x4d", "wide_resnet50_2"),
    *("seresnet50", "ecaresnet50t", "res2net50_26w_4s", "regnety_008", "densenet121"),
    *("efficientnet_b0", "tf_efficientnet_lite0", "mobilenetv2_100", "mobilenetv3_large_100"),
    *("convnext_tiny", "convnextv2_tiny", "vit_small_patch16_224", "swin_tiny_patch4_window7_224"),
)
_SHOWN_IN = "resnet50"  # a temporal module that not every backbone takes
# What makes two networks of the same backbone and module different ones.
_SETTINGS = (
    *("backbone", "temporal", "place", "shift_place", "temporal_pool", "non_local", "non_local_subsample"),
    *("non_local_places", "consensus", "backbone_kwargs", "variant", "speed_ratio", "lateral_kernel", "stem_pool"),
)


@dataclass(frozen=True)
class NetworkRow:
    """A network and the recipes that train it: ``published`` are those recipes' numbers, by recipe."""

    model: ModelConfig
    clip: ClipConfig
    published: dict[str, tuple[Published, ...]] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The temporal module and what else is in the network, in words: ``tsm, non-local``."""
        model = self.model
        parts = (
            model.temporal,
            f"{model.variant}'s" if model.variant else "",
            f"alpha {model.speed_ratio}" if model.speed_ratio else "",
            model.shift_place if model.shift_place != "blockres" else "",
            "temporal pool" if model.temporal_pool else "",
            "non-local" if model.non_local else "",
            model.consensus if model.consensus != "avg" else "",
            self.clip.modality if self.clip.modality != "rgb" else "",
        )
        return ", ".join(part for part in parts if part)

    @property
    def input(self) -> str:
        """Frames (of flow and sound: segments) and pixels of a clip: ``8 x 224``, or of sound ``8 x 128x128``."""
        height, width = image_shape(self.clip)
        return f"{self.clip.num_segments} x " + (f"{width}x{height}" if self.clip.modality == "audio" else f"{width}")

    def build(self, device: str = "meta") -> Classifier:
        """The network with random weights, for testing. On ``meta``, the default, it has shapes only."""
        recipe = Recipe(
            name="network",
            data=DataConfig.model_validate({"dataset": "list", "media": "video"}),
            clip=self.clip,
            model=self.model,
            optim=OptimConfig(lr=0.01, batch=1, epochs=2),
        )
        with torch.device(device):
            return build_model(recipe, CLASSES, pretrained=False).eval()

    def video(self, network: Classifier, device: str = "meta") -> Tensor:
        """One clip of its size: (1, T, C, H, W), channels_last as the engine gives it, on ``meta`` without values."""
        channels = len(pixels_of(network).mean)
        images = torch.randn(self.clip.num_segments, channels, *image_shape(self.clip), device=device)
        return images.contiguous(memory_format=torch.channels_last).unsqueeze(0)

    def cost(self) -> Cost:
        """What one forward pass costs. Raises :class:`~tinkit.errors.UserError` for a network that cannot be."""
        model = self.build()
        return cost_of(model, self.video(model))


def networks(patterns: Sequence[str] = (), temporals: Sequence[str] = ()) -> list[NetworkRow]:
    """The table's networks: of backbones whose names fit one of ``patterns`` and with one of ``temporals``; () is all.

    First every module in one backbone of each family, 8 frames of 224 pixels, then what else the shipped recipes train.
    A name of timm that is not in the table is taken as one that is. Raises :class:`~tinkit.errors.UsageError` where
    nothing fits.
    """
    for temporal in temporals:
        if temporal not in CHOICES:
            raise UsageError(
                f"no temporal module is called {temporal!r}{did_you_mean(temporal, CHOICES)}",
                expected=", ".join(CHOICES),
            )
    recipes = {name: load_recipe(name).recipe for name in shipped_names("recipes")}
    real = {name: recipe for name, recipe in recipes.items() if recipe.data.version != "synthetic"}
    published: dict[str, dict[str, tuple[Published, ...]]] = {}
    for name, recipe in real.items():
        if recipe.published and not recipe.departs:  # else they are numbers of another training, or network
            published.setdefault(_key(_of_recipe(recipe)), {})[name] = recipe.published
    found = {_key(network): network for network in [*_product(patterns), *map(_of_recipe, real.values())]}
    chosen = [
        replace(network, published=published.get(key, {}))
        for key, network in found.items()
        if (not patterns or any(fnmatchcase(network.model.backbone, pattern) for pattern in patterns))
        and (not temporals or network.model.temporal in temporals)
    ]
    if not chosen:
        names = sorted({network.model.backbone for network in found.values()})
        wanted = " ".join([*patterns, *temporals])
        raise UsageError(f"no network fits {wanted}{did_you_mean(wanted, names)}", expected=", ".join(names))
    return chosen


def clips_per_second(network: NetworkRow, seconds: float = 3.0) -> float:
    """How many clips a second this machine tests, one at a time, as `tinkit test` runs them in float32.

    The median of passes that take about ``seconds``, three at least, after one to warm up.
    """
    limit_threads()
    device = choose_device()
    torch.manual_seed(0)
    model = network.build("cpu").to(device)
    merge_batch_norm(model)
    video = network.video(model, "cpu").to(device)
    times: list[float] = []
    with torch.inference_mode():
        while len(times) < 4 or sum(times) < seconds:
            started = time.perf_counter()
            model(video)
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
    return 1 / statistics.median(times[1:])


def row_of(network: NetworkRow, cost: Cost, speed: float | None = None) -> dict[str, Any]:
    """A row of the table; ``published`` is the list of the recipes' entries, each with its recipe."""
    entries = [
        {"recipe": recipe, **entry.model_dump(exclude_none=True)}
        for recipe, published in network.published.items()
        for entry in published
    ]
    return {
        "backbone": network.model.backbone,
        "temporal": network.words,
        "input": network.input,
        "parameters": round(cost.parameters, 2),
        "gflops": round(cost.giga_products, 2),
        "clips_per_s": None if speed is None else round(speed, 3),
        "published": entries,
    }


def published_words(entries: Sequence[dict[str, Any]]) -> str | None:
    """A row's ``published`` for people: of each recipe the numbers of its first entry's source and metric."""
    first: dict[str, dict[str, Any]] = {}
    numbers: dict[str, list[str]] = {}
    for entry in entries:
        leader = first.setdefault(entry["recipe"], entry)
        if (entry["source"], entry["metric"]) == (leader["source"], leader["metric"]):
            numbers.setdefault(entry["recipe"], []).append(f"{entry['number']:g}")
    return ", ".join(f"{recipe} {' / '.join(found)}" for recipe, found in numbers.items()) or None


def table_rows(
    chosen: Sequence[NetworkRow], seconds: float | None, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """A row a network; with ``seconds`` each is timed for that long. ``say`` is told what comes next."""
    for network in chosen:
        say(f"{network.model.backbone}, {network.words}")
        speed = None if seconds is None else clips_per_second(network, seconds)
        yield row_of(network, network.cost(), speed)


def _product(patterns: Sequence[str]) -> Iterator[NetworkRow]:
    """Every temporal module in each backbone of the table, and in those of ``patterns`` that are names of timm's."""
    named = [pattern for pattern in patterns if not set(pattern) & set("*?[") and pattern not in ARCHS]
    for backbone in dict.fromkeys([*BACKBONES, *named]):
        for row in TEMPORAL_MODULES:
            if not row.any_place and backbone != _SHOWN_IN:
                continue
            model = ModelConfig.model_validate({"backbone": backbone, "temporal": row.name})
            clip = ClipConfig(size=_fixed_size(backbone) or ClipConfig().size)
            yield NetworkRow(model, clip)


def _fixed_size(backbone: str) -> int | None:
    """The only width and height that a model of timm's takes; None where it takes others too, or is not known."""
    known = import_timm().get_pretrained_cfg(backbone)
    return known.input_size[-1] if known is not None and known.fixed_input_size else None


def _of_recipe(recipe: Recipe) -> NetworkRow:
    """The network as the recipe tests it."""
    frames = recipe.test.num_segments or recipe.clip.num_segments
    return NetworkRow(recipe.model, recipe.clip.model_copy(update={"num_segments": frames}))


def _key(network: NetworkRow) -> str:
    """The same for two networks that are one: what is only of training is left out."""
    model = network.model.model_dump(include=set(_SETTINGS))
    shift_div = network.model.shift_div if network.model.moves_channels else None
    clip = network.clip
    seen = (clip.num_segments, clip.modality, image_shape(clip))
    return repr((sorted(model.items()), shift_div, seen))
