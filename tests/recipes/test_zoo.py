"""The recipes against the tables and files that they follow, written out here a second time."""

from __future__ import annotations

import pytest

from tinkit.files.shipped import shipped_names
from tinkit.recipe import Recipe, load_recipe

# X-Temporal's ModelZoo.md, row by row: recipe, network, frames that it sees, pixels, one view, 10 x 3 views.
MODEL_ZOO = [
    ("mmit_tsn_r101", "resnet101 tsn", 5, 224, 58.9, 60.7),
    ("k600_tsn_r50", "resnet50 tsn", 8, 224, 67.5, 70.0),
    ("mmit_r50", "resnet50 tin", 8, 224, 62.2, 62.8),
    ("mmit_r50_16f", "resnet50 tin", 16, 224, 62.5, 62.9),
    ("mmit_r101", "resnet101 tin", 8, 224, 62.2, 63.0),
    ("sthv1_tin_r50_x_temporal", "resnet50 tin", 8, 224, 46.0, 47.1),
    ("k700_tin_r101", "resnet101 tin", 8, 224, 61.9, 64.3),
    ("k700_slowfast_101", "slowfast_101 3d", 32, 112, None, 65.2),
    ("mmit_slowfast_101", "slowfast_101 3d", 32, 112, 59.9, 61.5),
    ("k600_slowfast_50", "slowfast_50 3d", 32, 112, 70.0, 77.5),
    ("k600_slowfast_50_224", "slowfast_50 3d", 32, 224, 72.3, 79.8),
]  # fmt: skip

# mit-han-lab's README: recipe, published numbers by (views, crop).
TSM = [
    ("k400_tsn_r50", {("1x1", 224): 68.8, ("1x10", 224): 69.9, ("10x3", 256): 70.6}),
    ("k400_tsm_r50", {("1x1", 224): 71.2, ("1x10", 224): 72.8}),
    ("k400_tsm_r50_16f", {("1x1", 224): 72.6, ("1x10", 224): 73.7}),
    ("k400_tsm_r50_dense", {("10x3", 256): 74.1}),
    ("k400_tsm_r50_nl", {("10x3", 256): 75.6}),
    ("k400_tsm_mobilenetv2", {("10x3", 256): 69.5}),
    ("sthv1_tsm_r50", {("1x1", 224): 45.6, ("2x3", 256): 47.2}),
    ("sthv1_tsm_r50_16f", {("1x1", 224): 47.2, ("2x3", 256): 48.4}),
    ("sthv1_tsm_r101", {("1x1", 224): 46.9, ("2x3", 256): 48.7}),
    ("sthv2_tsm_r50", {("2x3", 256): 61.2}),
    ("sthv2_tsm_r50_16f", {("2x3", 256): 63.1}),
    ("sthv2_tsm_r101", {("2x3", 256): 63.3}),
]  # fmt: skip

# mmaction2's README, "efficient / accurate": recipe, top-1 and top-5 by (views, crop).
AUGMENTED = {
    ("1x1", 224, "top1"): 47.85,
    ("2x3", 256, "top1"): 50.31,
    ("1x1", 224, "top5"): 76.78,
    ("2x3", 256, "top5"): 78.18,
}

BENCHMARKS = {"sthv1", "sthv2", "k400", "k600", "k700", "ucf101", "hmdb51", "mmit", "jester"}
TRAINING = ("optim.", "schedule.")


def recipe_of(name: str) -> Recipe:
    return load_recipe(name).recipe


@pytest.mark.parametrize(("name", "network", "frames", "size", "one", "many"), MODEL_ZOO)
def test_x_temporals_zoo(name: str, network: str, frames: int, size: int, one: float | None, many: float) -> None:
    recipe = recipe_of(name)
    assert f"{recipe.model.backbone} {recipe.model.temporal}" == network
    assert (recipe.clip.num_segments, recipe.clip.size) == (frames, size)
    found = {entry.views: entry for entry in recipe.published if "ModelZoo" in entry.source}
    assert {views: entry.number for views, entry in found.items()} == {
        views: number for views, number in (("1x1", one), ("10x3", many)) if number is not None
    }
    dense = recipe.model.is_3d
    for entry in found.values():
        assert entry.metric == ("sample_map" if recipe.data.dataset == "mmit" else "top1")
        assert entry.crop == size
        assert entry.views == "1x1" or (entry.sampling, entry.average) == ("dense" if dense else "random", "logits")


@pytest.mark.parametrize(("name", "numbers"), TSM)
def test_mit_han_labs_tables(name: str, numbers: dict[tuple[str, int], float]) -> None:
    recipe = recipe_of(name)
    published = [entry for entry in recipe.published if entry.source.startswith("mit-han-lab")]
    assert {(entry.views, entry.crop): entry.number for entry in published} == numbers
    tested = {entry.num_segments or recipe.test.num_segments or recipe.clip.num_segments for entry in published}
    assert tested == {16 if name.endswith("16f") else 8}
    for entry in published:
        if entry.views == "10x3":  # 64 frames in a row, at full resolution
            assert (entry.sampling, entry.stride, entry.scale) == ("dense", 8, 256)


def test_the_flow_model_of_mit_han_lab() -> None:
    recipe = recipe_of("k400_tsm_r50_flow")
    assert (recipe.clip.modality, recipe.clip.flow_length, recipe.clip.scales) == ("flow", 5, (1.0, 0.875, 0.75))
    assert {entry.metric: entry.number for entry in recipe.published} == {"top1": 55.7, "top5": 79.5}


def test_every_benchmark_has_a_tin() -> None:
    """The paper's, with Jester beside them."""
    recipes = [recipe_of(name) for name in shipped_names("recipes")]
    tins = {
        recipe.data.name or recipe.data.dataset
        for recipe in recipes
        if recipe.model.temporal == "tin" and recipe.data.version != "synthetic"
    }
    assert tins == BENCHMARKS


def test_every_kind_of_network_has_a_recipe() -> None:
    models = [recipe_of(name).model for name in shipped_names("recipes")]
    assert {model.temporal for model in models} == {"tin", "tsm", "tsn", "rtcn", "3d", "tsm_online", "tin_online"}
    assert {model.backbone.split("_")[0] for model in models if model.is_3d} == {"slowfast", "r3d", "r2plus1d"}
    assert {model.consensus for model in models} == {"avg", "trn_multiscale"}
    assert {model.non_local for model in models} == {None, "embedded_gaussian"}
    assert {recipe_of(name).clip.modality for name in shipped_names("recipes")} == {"rgb", "flow", "rgb_diff", "audio"}


def test_x_temporals_slowfast_file() -> None:
    recipe = recipe_of("k600_slowfast_50")
    assert (recipe.optim.lr, recipe.optim.batch, recipe.optim.epochs) == (0.4, 8 * 32, 120)
    assert (recipe.optim.weight_decay, recipe.optim.nesterov, recipe.optim.groups) == (5e-4, True, "single")
    schedule = recipe.schedule
    assert (schedule.kind, schedule.warmup, schedule.warmup_epochs, schedule.t_max) == (
        "cosine", "exponential", 10, 120,
    )  # fmt: skip
    assert schedule.warmup_start == 1 / recipe.optim.batch
    assert (recipe.clip.sampling, recipe.clip.stride, recipe.model.dropout) == ("dense", 2, 0.5)
    assert (recipe.test.scale, recipe.test.crop, recipe.train.val_every) == (128, 112, 5)


def test_x_temporals_r3d_files() -> None:
    flat, parted = recipe_of("ucf101_r3d_18"), recipe_of("ucf101_r2plus1d_18")
    assert (flat.optim.lr, flat.optim.weight_decay, flat.clip.stride, flat.test.stride) == (0.2, 0.01, 1, 1)
    assert (flat.schedule.milestones, flat.schedule.factor, flat.schedule.warmup_epochs) == ((50, 80, 100), 0.15, 20)
    assert (parted.optim.lr, parted.optim.weight_decay, parted.clip.stride) == (0.4, 5e-4, 2)
    assert (parted.schedule.t_max, parted.schedule.warmup_epochs, parted.model.stem_pool) == (120, 10, True)
    for recipe in (flat, parted):
        assert (recipe.clip.num_segments, recipe.clip.size, recipe.model.dropout) == (16, 112, 0)
        assert recipe.schedule.warmup_start == 1 / recipe.optim.batch == 1 / 256


def test_mmaction2s_slowfast_files() -> None:
    eight, four, deep = (recipe_of(f"k400_slowfast_{name}") for name in ("50", "50_4x16", "101"))
    for recipe in (eight, four, deep):
        assert (recipe.optim.lr, recipe.optim.batch, recipe.optim.epochs, recipe.optim.clip_grad) == (0.1, 64, 256, 40)
        assert (recipe.model.variant, recipe.clip.num_segments, recipe.clip.stride) == ("mmaction2", 32, 2)
        assert {entry.average for entry in recipe.published} == {"probabilities"}
    assert (eight.model.speed_ratio, four.model.speed_ratio) == (None, 8)
    numbers = [[entry.number for entry in recipe.published] for recipe in (eight, four, deep)]
    assert numbers == [[76.80, 92.99], [75.55, 92.35], [78.65, 93.88]]


def test_mmaction2s_trn_files() -> None:
    first, second = recipe_of("sthv1_trn_r50"), recipe_of("sthv2_trn_r50")
    for recipe in (first, second):
        assert (recipe.optim.lr, recipe.optim.batch, recipe.optim.epochs) == (0.002, 128, 50)
        assert (recipe.schedule.milestones, recipe.optim.fc_lr5, recipe.model.partial_bn) == ((30, 45), False, True)
        assert (recipe.clip.flip, recipe.data.class_order) == (True, "file")
    assert first.clip.flip_labels == ((2, 4), (30, 41), (52, 66))
    assert second.clip.flip_labels == ((86, 87), (93, 94), (166, 167))
    assert [entry.number for entry in first.published] == [31.60, 60.15, 33.65, 62.22]
    assert [entry.number for entry in second.published] == [47.65, 76.27, 51.20, 78.42]


def test_mmaction2s_mmit_file() -> None:
    """tsn_r101_1x1x5_50e_mmit_rgb and the schedule that it is based on, key by key."""
    resolved = load_recipe("mmit_tsn_r101_mmaction2")
    recipe = resolved.recipe
    optim, schedule, clip, test = recipe.optim, recipe.schedule, recipe.clip, recipe.test
    assert (optim.name, optim.nesterov, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", False, 0.01, 0.9, 1e-4)
    assert (optim.batch, optim.epochs, optim.clip_grad) == (8 * 16, 50, 20)
    assert (optim.groups, optim.fc_lr5) == ("published", True)
    assert (schedule.kind, schedule.milestones, schedule.factor, schedule.warmup_epochs) == ("step", (20, 40), 0.1, 0)
    assert (recipe.loss.name, recipe.loss.reduction, recipe.loss.weight) == ("bce", "mean", 160)
    assert (recipe.model.dropout, recipe.model.classifier_std, recipe.model.partial_bn) == (0.5, 0.01, False)
    assert (clip.num_segments, clip.scales, clip.size, clip.flip) == (5, (1.0, 0.875, 0.75, 0.66), 224, True)
    assert (test.views, test.scale, test.crop) == ("1x1", 256, 256)
    marks = {key: resolved.origins[key].mark.split(":")[0] for key in ("optim.lr", "loss.weight", "clip.crop")}
    assert marks == {"optim.lr": "published", "loss.weight": "published", "clip.crop": "assumed"}


def test_tin_takes_the_same_training_and_says_that_nobody_did() -> None:
    resolved, parent = load_recipe("mmit_r50_mmaction2"), recipe_of("mmit_tsn_r101_mmaction2")
    recipe = resolved.recipe
    for table in ("optim", "schedule", "loss", "mix", "ema", "train", "test", "data"):
        assert getattr(recipe, table) == getattr(parent, table), table
    assert recipe.published == ()
    assert f"{recipe.model.backbone} {recipe.model.temporal} {recipe.clip.num_segments}" == "resnet50 tin 8"
    for key, origin in resolved.origins.items():
        if key.startswith((*TRAINING, "loss.")) and origin.place != "default":
            assert origin.mark.startswith("assumed"), key


@pytest.mark.parametrize("name", ["mmit_slowfast_101", "k700_slowfast_101", "k600_slowfast_50_224", "k600_tsn_r50"])
def test_a_number_without_a_training_has_an_assumed_one(name: str) -> None:
    """X-Temporal's table names results; only SlowFast-50's file has the classes of the data set of its row."""
    for key, origin in load_recipe(name).origins.items():
        if key.startswith(TRAINING) and origin.place != "default":
            assert origin.mark.startswith("assumed"), key


@pytest.mark.parametrize("name", ["hmdb51_tin_r50", "ucf101_tin_r50", "k600_tin_r50", "mmit_trn_r50", "sthv1_rtcn_r50"])
def test_what_nobody_reported_has_no_number(name: str) -> None:
    resolved = load_recipe(name)
    assert resolved.recipe.published == ()
    for key, origin in resolved.origins.items():
        if key.startswith(TRAINING) and origin.place != "default":
            assert origin.mark.startswith("assumed"), key


def test_the_recipe_with_randaugment_is_tsm_s_beside_its_augmentation() -> None:
    resolved = load_recipe("sthv1_tsm_r50_randaugment")
    recipe, plain = resolved.recipe, recipe_of("sthv1_tsm_r50")
    found = {(entry.views, entry.crop, entry.metric): entry.number for entry in recipe.published}
    assert found == AUGMENTED
    assert not recipe.departs
    other = recipe.clip.model_copy(update={"flip": False, "flip_labels": (), "rand_augment": None})
    assert other == plain.clip
    for table in ("data", "model", "optim", "schedule", "loss", "mix", "ema", "train", "test"):
        assert getattr(recipe, table) == getattr(plain, table)
    assert resolved.origins["clip.rand_augment"].mark.startswith("assumed")
    assert resolved.origins["clip.flip"].mark == "published: mmaction2"
