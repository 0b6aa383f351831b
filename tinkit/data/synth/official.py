"""The annotation files of a synthetic challenge, in the official formats, and the hidden answers of its test split."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinkit.data.layouts.catalogue import LAYOUTS
from tinkit.data.layouts.layout import SPLITS, Split
from tinkit.data.synth.actions import ActionSet
from tinkit.data.synth.imitations import IMITATIONS, SynthLayout
from tinkit.data.synth.scenes import SynthClip

Clips = Mapping[Split, Sequence[SynthClip]]


def official_files(layout: SynthLayout, clips: Clips, actions: ActionSet) -> dict[str, str]:
    """Path relative to the root -> text, of every annotation file; the test split's has ids only.

    Beside the official ones, ``order_classes.txt`` names the classes that only the order of time tells apart.
    """
    style, places = IMITATIONS[layout], LAYOUTS[layout]
    files = {
        places.places(split)[0]: (
            style.test_list(clips[split]) if split == "test" else style.annotation(clips[split], actions)
        )
        for split in SPLITS
    }
    files[places.categories[0]] = style.categories(style.class_names(actions))
    files[str(order_classes_path(Path(), layout))] = "".join(f"{name}\n" for name in style.order_class_names(actions))
    return files


def order_classes_path(root: Path, layout: SynthLayout) -> Path:
    """Where ``order_classes.txt`` lies: beside the category file. It holds a class name a line."""
    return (root / LAYOUTS[layout].categories[0]).with_name("order_classes.txt")


def answers_csv(layout: SynthLayout, clips: Sequence[SynthClip], actions: ActionSet) -> str:
    """``id,labels`` with a header; labels are class indices as the manifest numbers them, between spaces."""
    names = IMITATIONS[layout].class_names(actions)
    order = sorted(names) if LAYOUTS[layout].class_order == "alphabetical" else list(names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "labels"))
    for clip in clips:
        writer.writerow((clip.id, " ".join(str(order.index(names[label])) for label in clip.labels)))
    return text.getvalue()
