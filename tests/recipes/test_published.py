"""Every number that was read off other projects' tables, written out here, beside the recipes' published entries.

The tables: mmaction2's metafiles and read-mes (0.x and 1.x), X-Temporal's model zoo, mit-han-lab's read-me, arXiv
2003.05837. ``test_zoo.py`` holds the protocols of most of them.
"""

from __future__ import annotations

import pytest

from tinkit.files.shipped import shipped, shipped_names
from tinkit.fusion import load_spec
from tinkit.recipe import load_recipe

# recipe; (number, metric, views), and what the source begins with
NUMBERS = """
mmit_r50                    62.2 sample_map 1x1    X-Temporal
mmit_r50                    62.8 sample_map 10x3   X-Temporal
mmit_r50_16f                62.5 sample_map 1x1    X-Temporal
mmit_r50_16f                62.9 sample_map 10x3   X-Temporal
mmit_r101                   62.2 sample_map 1x1    X-Temporal
mmit_r101                   63.0 sample_map 10x3   X-Temporal
mmit_tsn_r101               58.9 sample_map 1x1    X-Temporal
mmit_tsn_r101               60.7 sample_map 10x3   X-Temporal
mmit_slowfast_101           59.9 sample_map 1x1    X-Temporal
mmit_slowfast_101           61.5 sample_map 10x3   X-Temporal
mmit_tsn_r101_mmaction2     61.09 sample_map 1x1   mmaction2
sthv1_tin_r50               46.0 top1 1x1          X-Temporal
sthv1_tin_r50               47.1 top1 10x3         X-Temporal
sthv1_tin_r50               44.04 top1 1x1         mmaction2
sthv1_tin_r50               72.72 top5 1x1         mmaction2
sthv1_tin_r50               39.68 top1 1x1         mmaction2
sthv1_tin_r50               68.55 top5 1x1         mmaction2
sthv1_tin_r50               44.25 top1 1x1         mmaction2
sthv1_tin_r50               73.94 top5 1x1         mmaction2
sthv2_tin_r50               56.48 top1 1x1         mmaction2
sthv2_tin_r50               83.45 top5 1x1         mmaction2
sthv2_tin_r50               54.78 top1 1x1         mmaction2
sthv2_tin_r50               82.18 top5 1x1         mmaction2
sthv2_tin_r50               56.70 top1 1x1         mmaction2
sthv2_tin_r50               83.62 top5 1x1         mmaction2
k400_tin_r50                71.86 top1 1x1         mmaction2
k400_tin_r50                90.44 top5 1x1         mmaction2
k400_tin_r50                70.89 top1 1x1         mmaction2
k400_tin_r50                89.89 top5 1x1         mmaction2
k700_tin_r101               61.9 top1 1x1          X-Temporal
k700_tin_r101               64.3 top1 10x3         X-Temporal
sthv1_tsm_r50               45.6 top1 1x1          mit-han-lab
sthv1_tsm_r50               47.2 top1 2x3          mit-han-lab
sthv1_tsm_r50               45.58 top1 1x1         mmaction2
sthv1_tsm_r50               47.70 top1 2x3         mmaction2
sthv1_tsm_r50_16f           47.2 top1 1x1          mit-han-lab
sthv1_tsm_r50_16f           48.4 top1 2x3          mit-han-lab
sthv1_tsm_r50_16f           47.77 top1 1x1         mmaction2
sthv1_tsm_r50_16f           49.03 top1 2x3         mmaction2
sthv1_tsm_r101              46.9 top1 1x1          mit-han-lab
sthv1_tsm_r101              48.7 top1 2x3          mit-han-lab
sthv1_tsm_r101              46.09 top1 1x1         mmaction2
sthv1_tsm_r101              48.59 top1 2x3         mmaction2
sthv1_tsm_r50_randaugment   47.85 top1 1x1         mmaction2
sthv1_tsm_r50_randaugment   50.31 top1 2x3         mmaction2
sthv2_tsm_r50               61.2 top1 2x3          mit-han-lab
sthv2_tsm_r50               59.11 top1 1x1         mmaction2
sthv2_tsm_r50               61.82 top1 2x3         mmaction2
sthv2_tsm_r50               62.72 top1 2x3         mmaction2
sthv2_tsm_r50_16f           63.1 top1 2x3          mit-han-lab
sthv2_tsm_r50_16f           64.16 top1 2x3         mmaction2
sthv2_tsm_r101              63.3 top1 2x3          mit-han-lab
sthv2_tsm_r101              63.70 top1 2x3         mmaction2
k400_tsn_r50                68.8 top1 1x1          mit-han-lab
k400_tsn_r50                69.9 top1 1x10         mit-han-lab
k400_tsm_r50                71.2 top1 1x1          mit-han-lab
k400_tsm_r50                72.8 top1 1x10         mit-han-lab
k600_slowfast_50            70.0 top1 1x1          X-Temporal
k600_slowfast_50            77.5 top1 10x3         X-Temporal
k600_slowfast_50_224        72.3 top1 1x1          X-Temporal
k600_slowfast_50_224        79.8 top1 10x3         X-Temporal
k600_tsn_r50                67.5 top1 1x1          X-Temporal
k600_tsn_r50                70.0 top1 10x3         X-Temporal
k600_tsn_r50                74.8 top1 1x3          mmaction2
k700_slowfast_101           65.2 top1 10x3         X-Temporal
k700_tsn_r50                61.7 top1 1x3          mmaction2
moments_tsn_r50             26.84 top1 1x3         mmaction2
moments_tsn_r50             51.6 top5 1x3          mmaction2
sthv1_tsn_r50               18.55 top1 1x10        mmaction2
sthv1_tsn_r50               44.8 top5 1x10         mmaction2
jester_tsm_r50              96.5 top1 1x1          mmaction2
jester_tsm_r50              97.2 top1 2x3          mmaction2
ucf101_tsm_r50              94.50 top1 1x1         mmaction2
ucf101_tsm_r50              99.58 top5 1x1         mmaction2
hmdb51_tsm_r50              72.68 top1 1x1         mmaction2
hmdb51_tsm_r50              92.03 top5 1x1         mmaction2
"""

# of retrainings by others, which the notes of the recipes have
RETRAINED = [("mmit_r50", "57"), ("mmit_r50", "61.8"), ("mmit_tsn_r101", "59.7")]


def rows() -> list[tuple[str, float, str, str, str]]:
    lines = (line.split() for line in NUMBERS.strip().splitlines())
    return [(recipe, float(number), metric, views, source) for recipe, number, metric, views, source in lines]


@pytest.mark.parametrize("recipe", sorted({row[0] for row in rows()}))
def test_the_recipe_has_its_numbers(recipe: str) -> None:
    published = load_recipe(recipe).recipe.published
    found = [(entry.number, entry.metric, entry.views, entry.source) for entry in published]
    for _, number, metric, views, source in filter(lambda row: row[0] == recipe, rows()):
        fits = [entry for entry in found if entry[:3] == (number, metric, views) and entry[3].startswith(source)]
        assert len(fits) == 1, (recipe, number, metric, views, source)


def test_a_retraining_stands_in_a_note() -> None:
    for recipe, number in RETRAINED:
        assert any(number in entry.note for entry in load_recipe(recipe).recipe.published), (recipe, number)


def test_the_winners_numbers_are_the_ensembles() -> None:
    spec = load_spec(shipped("ensembles") / "mmit_winners.toml")
    assert [(entry.number, entry.split) for entry in spec.published] == [(67.22, "val"), (60.77, "test")]


def test_no_number_is_there_twice() -> None:
    for name in shipped_names("recipes"):
        protocols = [entry.model_dump(exclude={"note"}) for entry in load_recipe(name).recipe.published]
        assert all(protocols.count(entry) == 1 for entry in protocols), name
