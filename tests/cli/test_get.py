"""`tinkit get`: the list, a checkpoint from a mirror to converted weights, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file
from typer.testing import CliRunner

from tinkit.cli.app import app
from tinkit.cli.get import complete_released
from tinkit.engine.exchange.convert import convert, source_of
from tinkit.engine.runtime.build import build_model
from tinkit.errors import UsageError, UserError
from tinkit.models.foreign.save import to_foreign
from tinkit.recipe import load_recipe
from tinkit.released.table import find_released, released
from tinkit.timm_import import import_timm

NAME = "k400_tsm_mobilenetv2-tsm"
FILE = find_released(NAME).file


def tinkit(*words: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A folder with a checkpoint as the TSM repository releases it, and its weights in tinkit's names."""
    folder = tmp_path_factory.mktemp("mirror")
    model = build_model(load_recipe("k400_tsm_mobilenetv2").recipe, 400, pretrained=False)
    named = {f"module.{name}": value for name, value in to_foreign(model, "tsm").items()}
    torch.save({"state_dict": named, "epoch": 100, "arch": "mobilenetv2", "best_prec1": 69.5}, folder / FILE)
    return folder, model.state_dict()


def test_the_list_is_the_table() -> None:
    rows = json.loads(tinkit("get", "--list", "--json").stdout)
    assert [row["name"] for row in rows] == [row.name for row in released()]
    assert {"address", "mib", "sha256", "licence", "recipe", "number", "resumes"} <= set(rows[0])
    shown = tinkit("get", "--list", "x_temporal").stdout
    assert all(row.name in shown for row in released() if row.code_base == "x_temporal"), "a name is not broken"
    assert "resnet50-torchvision" not in shown


def test_a_checkpoint_is_fetched_and_converted(mirror: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    folder, weights = mirror
    words: list[Any] = ["get", NAME, "--mirror", folder, "--folder", tmp_path, "--json"]
    (row,) = json.loads(tinkit(*words).stdout)
    assert Path(row["file"]).read_bytes() == (folder / FILE).read_bytes()
    found = load_file(row["converted"])
    assert set(found) == set(weights)
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    again = tinkit("get", NAME, "--folder", tmp_path)  # from nowhere: it is there
    assert "is there already; verified by the SHA-256 recorded on" in again.stderr
    assert again.stdout == f"{row['converted']}\n"
    files = {path.name for path in (tmp_path / NAME).iterdir()}
    assert files == {FILE, f"{FILE}.origin.json", f"{NAME}.safetensors", f"{NAME}.safetensors.json"}


def test_download_only_converts_nothing(mirror: tuple[Path, Any], tmp_path: Path) -> None:
    said = tinkit("get", NAME, "--mirror", mirror[0].as_uri(), "--folder", tmp_path, "--download-only")
    assert "nothing was known of it" in said.stderr
    assert said.stdout == f"{tmp_path / NAME / FILE}\n"
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_is_no_checkpoint_stays_and_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a checkpoint at all")
    with pytest.raises(UserError, match=r"cannot be read as a checkpoint|checkpoint") as caught:
        tinkit("get", NAME, "--mirror", tmp_path, "--folder", tmp_path / "out")
    assert caught.value.exit_code == 1
    assert (tmp_path / "out" / NAME / FILE).is_file()


def test_wrong_use() -> None:
    for words, said in (
        (["get"], "no checkpoint is named"),
        (["get", "mmit_r50-xtemporal"], "did you mean 'mmit_r50-x_temporal'"),
        (["get", "--list", "zzz"], "no released checkpoint fits"),
        (["get", NAME, "resnet50-torchvision", "--sha256", "0" * 64], "--sha256 is of one file"),
    ):
        with pytest.raises(UsageError, match=said):
            CliRunner().invoke(app, words, catch_exceptions=False)


def test_names_are_completed() -> None:
    assert complete_released("mmit_r50-") == ["mmit_r50-x_temporal"]
    assert len(complete_released("")) == len(released())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mc3_18", "r3d_18", "r2plus1d_18"])
def test_the_rows_of_torchvision_convert(name: str, tmp_path: Path) -> None:
    import_timm()
    from torchvision.models import video

    row = find_released(f"{name}-torchvision")
    network = getattr(video, name)(weights=None)
    torch.save(network.state_dict(), tmp_path / row.file)
    recipe = load_recipe(row.recipe, row.settings).recipe
    report = convert(source_of(str(tmp_path / row.file), None, tmp_path), recipe, tmp_path / "a.safetensors").report
    assert (report.new, report.dropped) == ((), {})
