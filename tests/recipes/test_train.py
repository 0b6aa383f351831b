"""Every shipped recipe trains a step at small size, on noise laid out as its data set is."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.tiny_runs import QUIET
from tinkit.engine.runs.run import Run
from tinkit.engine.training.start import WHOLE, open_splits, prepare
from tinkit.files.shipped import shipped_names
from tinkit.recipe import Recipe, load_recipe

CLASSES, FRAMES = 174, 12
CLIPS = {"train": ("0001", "0002"), "val": ("0003",)}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that holds three clips of noise, their flow and their sound, and the annotations of every layout."""
    root = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for name in (clip for split in CLIPS.values() for clip in split):
        for folder, names in (("frames", ("",)), ("flow", ("flow_x_", "flow_y_"))):
            (root / folder / name).mkdir(parents=True)
            for number in range(1, FRAMES + 1):
                for prefix in names:
                    shape = (40, 48, 3) if folder == "frames" else (40, 48)
                    image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
                    image.save(root / folder / name / f"{prefix}{number:05d}.jpg")
        (root / "sound").mkdir(exist_ok=True)
        with wave.open(str(root / "sound" / name), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(rng.integers(-999, 1000, 8000, dtype=np.int16).tobytes())
    annotate(root)
    return root


def annotate(root: Path) -> None:
    """The same clips in each layout; the class of clip n is n."""
    labels = [f"class {number:03d}" for number in range(CLASSES)]
    official = {"train": "train", "val": "validation"}
    for stem in ("something-something-v1", "jester-v1"):
        (root / f"{stem}-labels.csv").write_text("\n".join(labels) + "\n")
        for split, clips in CLIPS.items():
            lines = [f"{clip};{labels[int(clip)]}\n" for clip in clips]
            (root / f"{stem}-{official[split]}.csv").write_text("".join(lines))
    numbers = {label: str(number) for number, label in enumerate(labels)}
    (root / "something-something-v2-labels.json").write_text(json.dumps(numbers))
    (root / "category.txt").write_text("\n".join(labels) + "\n")
    (root / "annotations").mkdir()
    (root / "annotations" / "moments_categories.txt").write_text("".join(f"{k},{v}\n" for k, v in numbers.items()))
    for split, clips in CLIPS.items():
        entries = [{"id": clip, "label": labels[int(clip)], "template": labels[int(clip)]} for clip in clips]
        (root / f"something-something-v2-{official[split]}.json").write_text(json.dumps(entries))
        (root / f"{split}.txt").write_text("".join(f"{clip} {FRAMES} {int(clip)}\n" for clip in clips))
        name = {"train": "trainingSet", "val": "validationSet"}[split]
        (root / "annotations" / f"{name}.csv").write_text("".join(f"{clip},{int(clip)},7\n" for clip in clips))
    annotate_folders(root, labels)


def annotate_folders(root: Path, labels: list[str]) -> None:
    """Kinetics, UCF101 and HMDB51, whose clips lie in folders: links to the clips of noise, and the official lists."""
    (root / "classes.txt").write_text("\n".join(labels) + "\n")
    for folder in ("ucfTrainTestlist", "testTrainMulti_7030_splits"):
        (root / folder).mkdir()
    numbered = "".join(f"{number} {label}\n" for number, label in enumerate(labels, 1))
    (root / "ucfTrainTestlist" / "classInd.txt").write_text(numbered)
    for split, clips in CLIPS.items():
        rows, listed = ["label,youtube_id,time_start,time_end,split\n"], []
        for clip in clips:
            label, video = labels[int(clip)], f"clip{clip:0>7}"
            rows.append(f"{label},{video},0,10,{split}\n")
            listed.append(f"{label}/v_{clip}.avi {int(clip) + 1}\n")
            code = 1 if split == "train" else 2
            (root / "testTrainMulti_7030_splits" / f"{label}_test_split1.txt").write_text(f"v_{clip}.avi {code} \n")
            for media in ("frames", "flow"):
                for link in (f"{split}/{video}_000000_000010", f"{label}/v_{clip}"):
                    (root / media / link).parent.mkdir(exist_ok=True)
                    (root / media / link).symlink_to(root / media / clip)
        (root / f"{split}.csv").write_text("".join(rows))
        name = {"train": "trainlist01.txt", "val": "testlist01.txt"}[split]
        (root / "ucfTrainTestlist" / name).write_text("".join(listed))


def small(name: str, root: Path) -> Recipe:
    """The recipe with 32 pixels, at most 8 frames and two clips a step, from random weights."""
    recipe = load_recipe(name).recipe
    listens = recipe.clip.modality == "audio"
    files = ("data.media=video", "data.media_folder=sound", "clip.audio_mels=32", "clip.audio_seconds=0.32")
    changes = [
        *(files if listens else ("data.media=frames", "data.media_folder=frames", "data.frame_template={:05d}.jpg")),
        *("clip.size=32", "test.scale=32", "test.crop=32", "optim.batch=2", "train.workers=0"),
        f"clip.num_segments={min(8, recipe.clip.num_segments)}", "model.pretrained=false",
    ]  # fmt: skip
    return load_recipe(name, changes, root).recipe


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_names("recipes"))
def test_a_recipe_trains_a_step(name: str, noise: Path, tmp_path: Path) -> None:
    recipe = small(name, noise)
    trainer, _ = prepare(Run(tmp_path), recipe, open_splits(recipe, WHOLE, QUIET.reporter), QUIET)
    before = {name: value.detach().clone() for name, value in trainer.learner.model.named_parameters()}
    trainer.train_mode()
    batch = next(iter(trainer.batches()))
    channels = {"rgb": 3, "flow": 2 * 5, "rgb_diff": 3 * 6, "audio": 1}[recipe.clip.modality]
    assert batch["frames"].shape == (2, recipe.clip.num_segments, channels, 32, 32)
    trainer.train_step(batch, 0)
    trained = {name: value for name, value in trainer.learner.model.named_parameters() if value.requires_grad}
    assert all(torch.isfinite(value).all() for value in trained.values())
    assert any(not torch.equal(value, before[name]) for name, value in trained.items() if "classif" in name)
    frozen = sorted(set(before) - set(trained))
    assert bool(frozen) == recipe.model.partial_bn
