"""The layouts that a synthetic challenge can imitate, a row each: ids, class names, files of clips and annotations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from tinkit.data.synth.actions import Action, ActionSet
from tinkit.data.synth.media import Sound, write_jpg_folder, write_mp4, write_webm
from tinkit.data.synth.scenes import SynthClip

SynthLayout = Literal["mmit", "sthv1", "sthv2"]


@dataclass(frozen=True)
class ClipName:
    """What ids are made of: a number of the challenge's own, the source video and the place in it, the digit."""

    number: int
    video: str
    second: int
    digit: str


@dataclass(frozen=True)
class Imitation:
    """How a challenge in one layout is written."""

    clip_id: Callable[[ClipName], str]
    class_name: Callable[[Action], str]
    write_clip: Callable[[Path, np.ndarray, Sound | None], None]
    """Writes (F, H, W, 3) uint8 RGB, with sound or without, as the file, or folder, of a clip."""
    categories: Callable[[Sequence[str]], str]
    """The text of the file of class names."""
    annotation: Callable[[Sequence[SynthClip], ActionSet], str]
    """The text of an annotation with labels."""
    test_list: Callable[[Sequence[SynthClip]], str]
    """The text of an annotation without labels."""
    suffix: str = ""
    """What the file of a clip has behind its id."""

    def class_names(self, actions: ActionSet) -> tuple[str, ...]:
        """The names of the classes in the order of the category file."""
        return tuple(map(self.class_name, actions))

    def order_class_names(self, actions: ActionSet) -> tuple[str, ...]:
        """The names of the classes that only the order of time tells apart."""
        return tuple(self.class_name(actions[index]) for index in actions.order_classes)


def _lines(rows: Sequence[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def _mmit_categories(names: Sequence[str]) -> str:
    return _lines([f"{name},{index}" for index, name in enumerate(names)])


def _mmit_annotation(clips: Sequence[SynthClip], _actions: ActionSet) -> str:
    return _lines([",".join((clip.id, *map(str, clip.labels))) for clip in clips])


def _sthv1_annotation(clips: Sequence[SynthClip], actions: ActionSet) -> str:
    return _lines([f"{clip.id};{actions[clip.labels[0]].plain}" for clip in clips])


def _id_lines(clips: Sequence[SynthClip]) -> str:
    return _lines([clip.id for clip in clips])


def _json(value: object) -> str:
    return json.dumps(value, indent=0) + "\n"


def _sthv2_categories(names: Sequence[str]) -> str:
    return _json({name: str(index) for index, name in enumerate(names)})


def _sthv2_annotation(clips: Sequence[SynthClip], actions: ActionSet) -> str:
    return _json([_sthv2_entry(clip, actions) for clip in clips])


def _sthv2_entry(clip: SynthClip, actions: ActionSet) -> dict[str, object]:
    template, thing = actions[clip.labels[0]].template, f"a {clip.digit_name}"
    label = template.replace("[something]", thing)
    return {"id": clip.id, "label": label, "template": template, "placeholders": [thing]}


IMITATIONS: Mapping[SynthLayout, Imitation] = MappingProxyType(
    {
        "mmit": Imitation(
            # Folders are named by what is shown, and so tell nothing of the action.
            clip_id=lambda name: f"number+{name.digit}/yt-{name.video}_{name.second}.mp4",
            class_name=lambda action: action.mmit,
            write_clip=write_mp4,
            categories=_mmit_categories,
            annotation=_mmit_annotation,
            test_list=_id_lines,
        ),
        "sthv1": Imitation(
            clip_id=lambda name: str(name.number),
            class_name=lambda action: action.plain,
            write_clip=write_jpg_folder,
            categories=_lines,
            annotation=_sthv1_annotation,
            test_list=_id_lines,
        ),
        "sthv2": Imitation(
            clip_id=lambda name: str(name.number),
            class_name=lambda action: action.plain,
            write_clip=write_webm,
            categories=_sthv2_categories,
            annotation=_sthv2_annotation,
            test_list=lambda clips: _json([{"id": clip.id} for clip in clips]),
            suffix=".webm",
        ),
    }
)
