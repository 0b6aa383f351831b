"""The annotation files of a synthetic challenge, in the official formats, and the hidden answers of its test split."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinkit.data.layouts.catalogue import LAYOUTS
from tinkit.data.layouts.layout import SPLITS, Split
from tinkit.data.synth.actions import ACTIONS, SynthLayout, class_names, order_class_names
from tinkit.data.synth.clips import SynthClip

Clips = Mapping[Split, Sequence[SynthClip]]


def official_files(layout: SynthLayout, clips: Clips) -> dict[str, str]:
    """Path relative to the root -> text, of every annotation file; the test split's has ids only.

    Beside the official ones, ``order_classes.txt`` names the classes that only the order of time tells apart.
    """
    files = {LAYOUTS[layout].places(split)[0]: _annotation(layout, split, clips[split]) for split in SPLITS}
    names = class_names(layout)
    match layout:
        case "mmit":
            categories = "".join(f"{name},{index}\n" for index, name in enumerate(names))
        case "sthv1":
            categories = "".join(f"{name}\n" for name in names)
        case "sthv2":
            categories = json.dumps({name: str(index) for index, name in enumerate(names)}, indent=0) + "\n"
    files[LAYOUTS[layout].categories[0]] = categories
    files[str(order_classes_path(Path(), layout))] = "".join(f"{name}\n" for name in order_class_names(layout))
    return files


def order_classes_path(root: Path, layout: SynthLayout) -> Path:
    """Where ``order_classes.txt`` lies: beside the category file. It holds a class name a line."""
    return (root / LAYOUTS[layout].categories[0]).with_name("order_classes.txt")


def answers_csv(layout: SynthLayout, clips: Sequence[SynthClip]) -> str:
    """``id,labels`` with a header; labels are class indices as the manifest numbers them, between spaces."""
    names = class_names(layout)
    order = sorted(names) if LAYOUTS[layout].class_order == "alphabetical" else list(names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "labels"))
    for clip in clips:
        writer.writerow((clip.id, " ".join(str(order.index(names[label])) for label in clip.labels)))
    return text.getvalue()


def _annotation(layout: SynthLayout, split: Split, clips: Sequence[SynthClip]) -> str:
    labelled = split != "test"
    match layout:
        case "mmit":
            rows = (",".join((clip.id, *(map(str, clip.labels) if labelled else ()))) for clip in clips)
        case "sthv1":
            rows = (f"{clip.id};{ACTIONS[clip.labels[0]].name(layout)}" if labelled else clip.id for clip in clips)
        case "sthv2":
            entries = (_v2_entry(clip) if labelled else {"id": clip.id} for clip in clips)
            return json.dumps(list(entries), indent=0) + "\n"
    return "".join(f"{row}\n" for row in rows)


def _v2_entry(clip: SynthClip) -> dict[str, object]:
    template, thing = ACTIONS[clip.labels[0]].template, f"a {clip.digit_name}"
    label = template.replace("[something]", thing)
    return {"id": clip.id, "label": label, "template": template, "placeholders": [thing]}
