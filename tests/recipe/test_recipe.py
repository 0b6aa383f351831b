"""Recipes: what is shipped, inheritance, overrides, and errors that point at the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinkit.data.config.views import ViewConfig
from tinkit.errors import UsageError, UserError
from tinkit.files.atomic import shipped_names
from tinkit.files.toml import flatten, read_toml
from tinkit.recipe import load_recipe, save_recipe

MINIMAL = """\
[data]
dataset = "mmit"

[optim]
lr = 0.1
batch = 4
epochs = 2
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_shipped_recipe_resolves_and_marks_every_key_it_sets(name: str) -> None:
    resolved = load_recipe(name)
    for key, origin in resolved.origins.items():
        if key not in ("name", "description", "published", "departs"):
            assert origin.mark.startswith(("published: ", "assumed: ")), (
                f"{key} ({origin.place}) is marked neither published nor assumed"
            )


def test_issue_names_are_shipped() -> None:
    wanted = {
        "mmit_r50", "mmit_r50_16f", "mmit_r101", "mmit_tsn_r101", "mmit_tsm_r50",
        "sthv1_tin_r50", "sthv1_tin_r50_tune", "sthv1_tsm_r50", "sthv1_tsn_r50",
        "sthv2_tin_r50", "sthv2_tsm_r50", "jester_tin_r50", "k400_tin_r50",
        "demo_tsn", "demo_tsm", "demo_tin",
    }  # fmt: skip
    assert wanted <= set(shipped_names("recipes"))


def test_published_training_of_the_paper() -> None:
    recipe = load_recipe("sthv1_tin_r50").recipe
    assert (recipe.optim.lr, recipe.optim.batch, recipe.optim.epochs) == (0.02, 48, 40)
    assert (recipe.optim.momentum, recipe.optim.weight_decay, recipe.optim.clip_grad) == (0.9, 5e-4, 20)
    assert not recipe.optim.nesterov
    assert (recipe.model.dropout, recipe.model.shift_div, recipe.clip.num_segments) == (0.8, 4, 8)
    assert recipe.model.partial_bn
    assert not recipe.clip.flip
    tune = load_recipe("sthv1_tin_r50_tune").recipe
    assert (tune.optim.lr, tune.schedule.kind, tune.schedule.milestones) == (0.008, "step", (10, 20, 30))
    assert tune.optim.batch == 48


@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_published_protocols_can_be_run(name: str) -> None:
    """What an entry leaves out is taken from [test]; together they are views that tinkit knows."""
    recipe = load_recipe(name).recipe
    for entry in recipe.published:
        stated = entry.model_dump(
            include={"views", "average", "sampling", "stride", "scale", "crop", "num_segments"}, exclude_none=True
        )
        config = ViewConfig.model_validate(recipe.test.model_dump() | stated)
        views = config.parsed
        # what the rules differ in shows with several temporal samples only, what averages differ in with several views
        assert views.temporal == 1 or entry.sampling, entry.number
        assert views.count == 1 or entry.average, entry.number
        assert entry.crop, entry.number


def test_released_tsm_is_tested_at_full_resolution_twice() -> None:
    for name, number in (("sthv1_tsm_r50", 47.2), ("sthv2_tsm_r50", 61.2)):
        (entry,) = (entry for entry in load_recipe(name).recipe.published if entry.number == number)
        assert (entry.views, entry.sampling, entry.scale, entry.crop) == ("2x3", "twice", 256, 256)


@pytest.mark.parametrize("name", ["mmit_tsm_r50", "mmit_tsn_r101"])
def test_x_temporals_tsn_and_tsm_files(name: str) -> None:
    recipe = load_recipe(name).recipe
    schedule = recipe.schedule
    assert (schedule.kind, schedule.warmup, schedule.warmup_epochs, schedule.t_max) == ("cosine", "exponential", 5, 30)
    assert schedule.warmup_start == 1 / recipe.optim.batch == 1 / 64
    assert (recipe.optim.lr, recipe.optim.epochs, recipe.optim.nesterov) == (0.01, 30, True)
    assert recipe.optim.groups == "single"
    # 0.5 and then 0.8: a tenth of the features passes, ten times as large
    assert recipe.model.dropout == pytest.approx(1 - (1 - 0.5) * (1 - 0.8))


def test_mmaction2s_kinetics_training() -> None:
    recipe = load_recipe("k400_tin_r50").recipe
    assert (recipe.schedule.kind, recipe.schedule.milestones, recipe.schedule.warmup_epochs) == ("step", (20, 40), 0)
    assert (recipe.optim.lr, recipe.optim.epochs, recipe.optim.weight_decay) == (0.01, 50, 1e-4)
    assert (recipe.optim.clip_grad, recipe.model.dropout, recipe.model.partial_bn) == (40, 0.5, False)
    assert recipe.clip.flip


def test_multi_moments_schedule_is_assumed() -> None:
    origins = load_recipe("mmit_r50").origins
    for key, origin in origins.items():
        if key.startswith(("optim.", "schedule.")) and origin.place != "default":
            assert origin.mark.startswith("assumed"), key
    assert origins["model.backbone"].mark.startswith("published")


def test_origins_tell_file_parent_default_and_command(tmp_path: Path) -> None:
    parent = write(tmp_path, MINIMAL, "parent.toml")
    child = write(tmp_path, 'extends = "parent"\n\n[optim]\nlr = 0.2\n', "child.toml")
    resolved = load_recipe(child, ["optim.momentum=0.5"])
    assert resolved.recipe.optim.lr == 0.2
    assert resolved.recipe.optim.momentum == 0.5
    assert resolved.recipe.optim.batch == 4
    assert resolved.recipe.name == "child"
    origins = resolved.origins
    assert origins["optim.lr"].place == f"{child}:4"
    assert origins["optim.batch"].place == f"{parent}:6"
    assert origins["optim.momentum"].place == "--set"
    assert origins["optim.momentum"].mark == "changed"
    assert (origins["optim.nesterov"].place, origins["optim.nesterov"].mark) == ("default", "assumed: the default")


def test_saved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    for name in shipped_names("recipes"):
        recipe = load_recipe(name, data_root=tmp_path).recipe
        path = tmp_path / f"{name}-saved.toml"
        save_recipe(recipe, path)
        assert load_recipe(str(path)).recipe == recipe


def test_override_values_are_toml_or_text() -> None:
    overrides = ["optim.lr=0.5", "model.pretrained=false", "schedule.kind=step", "schedule.milestones=[3, 5.5]"]
    recipe = load_recipe("mmit_r50", overrides).recipe
    assert recipe.optim.lr == 0.5
    assert recipe.model.pretrained is False
    assert recipe.schedule.milestones == (3, 5.5)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (MINIMAL + "momentun = 0.9\n", 8, ["optim.momentun", "momentum"]),
        (MINIMAL + "[optimm]\nlr = 1\n", 8, ["optimm", "optim"]),
        (MINIMAL.replace("0.1", '"fast"'), 5, ["optim.lr", "fast"]),
        (MINIMAL.replace("= 0.1", "= = 0.1"), 5, ["TOML"]),
        (MINIMAL.replace("batch = 4", "batch = 0"), 6, ["optim.batch", "0"]),
        (MINIMAL.replace("mmit", "mmmit"), 2, ["data.dataset", "mmmit"]),
        (
            MINIMAL + '[[published]]\nnumber = 1\nmetric = "top1"\nviews = "1x1"\nsource = "x"\nsauce = 1\n',
            13,
            ["sauce"],
        ),
        (MINIMAL + "warmup = 1\n[schedule]\nkind = 'step'\n", 8, ["optim.warmup"]),
        (MINIMAL + '[sources]\n"optim.*" = "guessed"\n', 8, ["guessed", "assumed"]),
    ],
)
def test_errors_name_file_line_key_and_nearest(tmp_path: Path, text: str, line: int, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as error:
        load_recipe(path)
    assert f"{path}:{line}:" in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_missing_key_says_where_to_add_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"optim.lr.*missing"):
        load_recipe(write(tmp_path, MINIMAL.replace("lr = 0.1\n", "")))
    with pytest.raises(UserError, match=r"mine\.toml:4: 'optim\.lr' is missing"):  # where its table begins
        load_recipe(write(tmp_path, MINIMAL.replace("lr = 0.1\n", "")), ["optim.momentum=0.5"])


def test_circular_and_unknown_parents(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "b"\n', "a.toml")
    write(tmp_path, 'extends = "a"\n', "b.toml")
    with pytest.raises(UserError, match="circle"):
        load_recipe(str(tmp_path / "a.toml"))
    with pytest.raises(UserError, match="mmit_r50") as error:
        load_recipe(write(tmp_path, '\nextends = "mmit_r5"\n'))
    assert "mine.toml:2:" in str(error.value)


def test_unknown_recipe_and_bad_override() -> None:
    with pytest.raises(UsageError, match="mmit_r50"):
        load_recipe("mmit_r55")
    with pytest.raises(UsageError, match=r"optim.lrr.*did you mean 'lr'"):
        load_recipe("mmit_r50", ["optim.lrr=1"])
    with pytest.raises(UsageError, match="KEY=VALUE"):
        load_recipe("mmit_r50", ["optim.lr"])
    for override, words in (
        ("extends=sthv1_tin_r50", "named in its file"),
        ("name=../elsewhere", "one folder"),
        ("optim.lr=inf", "finite"),
    ):
        with pytest.raises(UsageError, match=words):
            load_recipe("mmit_r50", [override])
    with pytest.raises(UsageError, match="warmup_epochs"):
        load_recipe("mmit_r50", ["optim.epochs=1"])


def test_binary_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_bytes(b"a = 1\n\xff\xfe\n")
    with pytest.raises(UserError, match="UTF-8") as error:
        load_recipe(str(path))
    assert error.value.line == 2
    with pytest.raises(UserError, match="no such file"):
        load_recipe(str(tmp_path / "none.toml"))


def test_path_to_a_shipped_recipe_works_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("recipes/mmit_r50.toml").recipe.name == "mmit_r50"


def test_lines_of_every_form_of_key(tmp_path: Path) -> None:
    text = 'a = 1\nb.c = 2\n"d" . e = 3\n[t]\nx = [\n  1,\n]\n[t.u]\ny = 1\n[[l]]\nz = 1\n[[l]]\nz = 2\n'
    file = read_toml(Path(write(tmp_path, text)))
    wanted = {"a": 1, "b.c": 2, "d.e": 3, "t": 4, "t.x": 5, "t.u": 8, "t.u.y": 9, "l.0.z": 11, "l.1.z": 13}
    assert {key: file.line(key) for key in wanted} == wanted
    assert flatten(file.values)["t.u.y"] == 1
