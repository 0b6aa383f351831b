"""docs/extending/temporal-module.md: its file and its row are enough for a temporal module that everything knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.extended_tree import ExtendedTree

# With the share at its ends the module is the mean over the clip, and nothing: what the page says.
TRUTH = """
import math, torch
from tinkit.models.backbones.feature_layout import FeatureLayout
from tinkit.models.temporal.blend import TemporalBlend

for layout, shape, channel in ((FeatureLayout(), (6, 8, 5, 5), 1), (FeatureLayout("NLC", 1), (6, 10, 8), 2)):
    module, x = TemporalBlend(3, 4, layout), torch.randn(shape)
    module.share_logit.data.fill_(-math.inf)
    assert torch.equal(module(x), x)
    module.share_logit.data.fill_(math.inf)
    moved, rest = module(x).split(4, channel)
    kept = layout.prefix
    mean = x.unflatten(0, (2, 3)).mean(1).repeat_interleave(3, 0).split(4, channel)
    assert torch.equal(rest, x.split(4, channel)[1])
    if kept:
        assert torch.equal(module(x)[:, :kept], x[:, :kept])
        moved, mean = moved[:, kept:], [part[:, kept:] for part in mean]
    torch.testing.assert_close(moved, mean[0])
"""
METADATA = """
import json
from pathlib import Path
from tinkit.engine.exchange.export import read_metadata

(path,) = Path("runs/blend/export").glob("*.onnx")
print(json.dumps(read_metadata(path)))
"""

pytestmark = pytest.mark.slow  # each in a process of its own, which imports everything


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ExtendedTree:
    return ExtendedTree(tmp_path_factory.mktemp("extended"), "temporal-module.md")


def test_it_is_one_file_and_one_row(tree: ExtendedTree) -> None:
    assert tree.changed == ["tinkit/models/temporal/blend.py", "tinkit/temporal.py"]


def test_it_computes_what_the_page_says(tree: ExtendedTree) -> None:
    done = tree.execute(TRUTH)
    assert done.returncode == 0, done.stderr
    (code,) = tree.python()
    assert tree.execute(code).stdout == "torch.Size([2, 5])\n"


@pytest.mark.slow
def test_it_is_listed_trained_tested_and_exported(tree: ExtendedTree) -> None:
    said = {}
    for command in tree.commands():
        done = tree.run(command)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        said[command.split()[1]] = done.stdout
    assert "blend" in said["models"]
    shift_div = next(line for line in said["recipes"].splitlines() if "model.shift_div" in line)
    assert " 2 " in shift_div
    assert "default" in shift_div
    run = tree.folder / "runs" / "blend"
    assert 'temporal = "blend"' in (run / "recipe.toml").read_text()
    assert list((run / "scores").glob("*.arrow"))
    export = tree.execute(METADATA)
    assert json.loads(export.stdout)["temporal"] == "blend"


def test_errors_and_help_name_it(tree: ExtendedTree) -> None:
    help_text = tree.run("tinkit models --help").stdout
    assert "tin_online, blend or 3d" in " ".join(help_text.replace("│", " ").split())
    wrong = tree.run("tinkit models --temporal blen")
    assert wrong.returncode == 2
    assert "did you mean 'blend'" in wrong.stderr
    recipe = tree.run("tinkit recipes demo_tsn --set model.temporal=blen")
    assert recipe.returncode == 2
    assert "'blend'" in recipe.stderr
    refused = tree.run("tinkit recipes demo_tsn --set model.temporal=blend --set model.shift_place=block")
    assert refused.returncode == 2
    assert "shift_place means nothing" in refused.stderr


def test_its_weights_are_not_written_for_programs_that_lack_it(tree: ExtendedTree) -> None:
    code = """
from tinkit.models import VideoClassifier, load_foreign, to_foreign
from tinkit.errors import UserError
model = VideoClassifier("resnet18", temporal="blend", num_classes=3, num_segments=4)
assert load_foreign(to_foreign(model, "tinkit"), model).new == ()
for code_base in ("tsm", "timm", "mmaction2"):
    try:
        to_foreign(model, code_base)
    except UserError as error:
        print(error.problem)
"""
    done = tree.execute(code)
    assert done.stdout.splitlines() == [f"{name} has no place for Blend" for name in ("tsm", "timm", "mmaction2")], (
        done.stderr
    )


def test_the_tree_that_is_tested_has_no_such_module(tmp_path: Path) -> None:
    from tinkit.temporal import NAMES

    assert "blend" not in NAMES
