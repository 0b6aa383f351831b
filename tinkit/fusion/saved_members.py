"""The members of a fusion that was made before, as its record describes them, and their score files of other splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from tinkit.errors import UserError
from tinkit.fusion.members import Missing
from tinkit.fusion.resolve import starred
from tinkit.metrics import Task
from tinkit.scores import Kind, ScoreInfo, read_info


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class SavedScores(_Frozen):
    """A member's score file, and what named its content; fusions of an earlier release call that ``sha256``."""

    path: str
    digest: str = Field(validation_alias=AliasChoices("digest", "sha256"))


class SavedMember(_Frozen):
    """A member, as ``fusion.json`` describes it: what all its score files have in common, and those that it had."""

    name: str
    run: str
    views: str
    view: int | None
    average: str
    protocol: dict[str, Any]
    checkpoint: str
    hashes: dict[str, str]
    kind: Kind
    scaled_by: float
    scores: dict[str, SavedScores]

    def facts(self) -> dict[str, Any]:
        """What a score file of it must say of itself."""
        own = {name: getattr(self, name) for name in ("run", "views", "view", "average", "protocol", "kind")}
        return own | {"weights": self.checkpoint, "hash": self.hashes.get("checkpoint")}


class SavedFusion(_Frozen):
    """What applying a fusion needs of its ``fusion.json``."""

    name: str
    chosen: str
    takes: Kind
    fit: str | None
    missing: Missing
    task: Task
    dataset: str
    dataset_version: str
    classes: list[str]
    shapes: dict[str, list[int]]
    members: list[SavedMember]


def input_of(member: SavedMember, saved: SavedFusion, split: str, given: Sequence[Path]) -> Path:
    """The member's score file of ``split``: one that is given, or one beside its others."""
    known = [Path(one.path) for one in member.scores.values()]
    own = {(path.parent / path.name).resolve() for path in known}
    folders = list(dict.fromkeys(path.parent for path in known))
    near = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.arrow"))]
    names = {starred(path, at) for at, path in ((at, Path(one.path)) for at, one in member.scores.items())}
    found: list[tuple[Path, ScoreInfo]] = []
    for place in (given, near):
        for path in place:
            if (place is near and path.resolve() in own and split not in member.scores) or not path.is_file():
                continue
            info = read_info(path)
            mine = info.run == member.run if member.run else starred(path, split) in names or place is given
            if info.split == split and mine and (info.views, info.weights) == (member.views, member.checkpoint):
                found.append((path, info))
        if found:
            break
    fitting = [(path, info) for path, info in found if not _unlike(member, saved, info)]
    if not found:
        places = ", ".join(map(str, folders))
        raise UserError(
            f"member {member.name!r} has no scores of split {split!r} with views {member.views!r} and weights "
            f"{member.checkpoint!r} in {places}",
            fix=f"`tinkit test {member.run or 'RUN'} --split {split}`, `tinkit ensemble FUSION --apply {split}` for a "
            "member that is a fusion, or name the file: --with FILE",
        )
    if not fitting:
        path, info = found[0]
        raise UserError(
            f"member {member.name!r}: {_unlike(member, saved, info)}",
            file=path,
            fix=f"test {split!r} with just what the fusion was made from, or make the fusion again",
        )
    if len(fitting) > 1:
        raise UserError(
            f"member {member.name!r} has {len(fitting)} score files of split {split!r}: "
            f"{', '.join(str(path) for path, _ in fitting)}",
            fix="name the one that is meant: --with FILE",
        )
    return fitting[0][0]


def _unlike(member: SavedMember, saved: SavedFusion, info: ScoreInfo) -> str | None:
    """In what a score file is not of the member that was fused; None where it is."""
    whole = {"task": saved.task, "dataset": saved.dataset, "dataset_version": saved.dataset_version}
    for name, wanted in (member.facts() | whole).items():
        found = info.hashes.get("checkpoint") if name == "hash" else getattr(info, name)
        if found != wanted:
            what = "another checkpoint" if name == "hash" else f"{name} {found!r}, not {wanted!r}"
            return f"these scores have {what}, as the fusion was made from"
    if list(info.classes) != saved.classes:
        same = set(info.classes) == set(saved.classes)
        return "these scores have the classes in another order" if same else "these scores have other classes"
    if saved.fit is not None and saved.fit in info.trained_on:
        return f"this model was trained on {saved.fit!r}, which the fusion was fitted on"
    return None
