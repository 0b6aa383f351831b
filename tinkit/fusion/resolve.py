"""From what a person names (an ensemble's members, runs, score files) to one score file a member and split."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinkit.errors import UsageError, UserError, did_you_mean
from tinkit.files.shipped import shipped_names
from tinkit.files.text import is_text
from tinkit.fusion.record import RECORD, read_record
from tinkit.fusion.spec import MemberSpec
from tinkit.run_folder import SCORES, find_folder, run_names, score_files
from tinkit.scores import ScoreInfo, read_info

# what all splits of a member have in common
_FACTS = (
    *("run", "views", "view", "protocol", "weights", "average"),
    *("kind", "task", "classes", "dataset", "dataset_version"),
)


@dataclass(frozen=True)
class MemberFiles:
    """A member's name and, by split, its score file and what that file says of itself."""

    name: str
    files: dict[str, Path]
    infos: dict[str, ScoreInfo]


def resolve_members(specs: Sequence[MemberSpec], splits: Sequence[str], runs: Path) -> list[MemberFiles]:
    """The score file of every member for each of ``splits``; runs are looked up under ``runs``.

    Raises UserError when a file is missing (with the command that makes it), when several could be meant (with the
    list), and when a member's files were not made by the same model.
    """
    chosen = [_from_run(spec, splits, runs) if spec.run else _from_files(spec, splits) for spec in specs]
    names = _names(specs, chosen)
    members = [
        MemberFiles(name, {split: path for split, (path, _) in own.items()}, {s: info for s, (_, info) in own.items()})
        for name, own in zip(names, chosen, strict=True)
    ]
    for member in members:
        _check_one_model(member)
    return members


def members_of(words: Sequence[str], runs: Path, views: str | None, weights: str | None) -> list[MemberSpec]:
    """Members from the command line: runs (names or folders) and ``.arrow`` files, which are grouped by their model.

    A file's model is its run or, where it names none, its checkpoint (each with views, weights and average); where that
    is not known either, files of one folder belong together when their names differ in the split's name only.
    """
    members: list[MemberSpec] = []
    groups: dict[tuple[str, ...], dict[str, Path]] = {}
    for word in words:
        path = Path(word)
        if path.suffix != ".arrow":
            folder = find_folder(word, runs, scores=True)
            if folder is None and (path / RECORD).is_file():
                members.append(_from_fusion(path))
                continue
            if folder is None:
                raise _no_member(word, runs)
            if not is_text(str(folder)):
                raise UsageError(f"the name of the folder {str(folder)!r} is not text", fix="rename it")
            members.append(MemberSpec(run=str(folder), views=views, weights=weights))
            continue
        info = read_info(path)
        model = _model_of(path, info)
        files = groups.setdefault(model, {})
        if info.split in files:
            raise UsageError(
                f"{path} and {files[info.split]} are both of split {info.split!r} and of {' '.join(model[1:]).strip()}",
                fix="leave one out, or name them in a toml of [[members]] with a `name` each",
            )
        files[info.split] = path
    return [*members, *(MemberSpec(scores=files) for files in groups.values())]


def _from_fusion(folder: Path) -> MemberSpec:
    """The fusion in ``folder``, with every split that it has written."""
    outputs = read_record(folder / RECORD).outputs
    files = {split: folder / Path(one.path).name for split, one in outputs.items()}
    return MemberSpec(scores=files, name=folder.resolve().name)


def _model_of(path: Path, info: ScoreInfo) -> tuple[str, ...]:
    """What the files of one model have in common, whatever their split; the first word says by what it is known."""
    view = () if info.view is None else (f"view {info.view}",)
    made = (info.views, info.weights, info.average, json.dumps(info.protocol, sort_keys=True), *view)
    if info.run:
        return ("run", info.run, *made)
    if checkpoint := info.hashes.get("checkpoint"):
        return ("checkpoint", checkpoint, *made)
    return ("name", str(path.parent.resolve() / starred(path, info.split)))


def starred(path: Path, split: str) -> str:
    """The file's name without its ending and with a star for the (last) word that is the split's name."""
    return re.sub(rf"^(.*)(?<![^\W_]){re.escape(split)}(?![^\W_])", r"\1*", path.stem)


def _no_member(word: str, runs: Path) -> UsageError:
    known = run_names(runs, scores=True)
    nearest = did_you_mean(word, [*known, *shipped_names("ensembles")])
    return UsageError(
        f"{word!r} is neither a run under {runs} nor a run's folder, an .arrow file or an ensemble{nearest}",
        expected=f"a run ({', '.join(known) or 'there are none yet'}), or one of the built-in ensembles: "
        f"{', '.join(shipped_names('ensembles'))}",
    )


def _from_run(spec: MemberSpec, splits: Sequence[str], runs: Path) -> dict[str, tuple[Path, ScoreInfo]]:
    word = str(spec.run)
    folder = find_folder(word, runs, scores=True)
    options = "".join(
        f" --{name} {value}" for name, value in (("views", spec.views), ("weights", spec.weights)) if value
    )
    if folder is None:
        raise UserError(
            f"member {word!r}: there is no such run under {runs}",
            fix=f"train it with `tinkit train RECIPE --name {Path(word).name}`, then "
            f"`tinkit test {Path(word).name} --split {splits[0]}{options}`; or say where the runs are with --runs",
        )
    found = [(path, read_info(path)) for path in score_files(folder)]
    chosen = {}
    for split in splits:
        fitting = [
            (path, info)
            for path, info in found
            if info.split == split and spec.views in (None, info.views) and spec.weights in (None, info.weights)
        ]
        if not fitting:
            raise UserError(
                f"member {word!r} has no scores of split {split!r}{f' with{options}' if options else ''}",
                file=folder / SCORES,
                expected=f"one file; there are: {_listed(path for path, _ in found)}",
                fix=f"`tinkit test {word} --split {split}{options}`",
            )
        if len(fitting) > 1:
            raise UserError(
                f"member {word!r} has {len(fitting)} score files of split {split!r}: "
                f"{_listed(path for path, _ in fitting)}",
                file=folder / SCORES,
                fix="say --views and --weights, or `views = ...` and `weights = ...` in the ensemble's toml",
            )
        chosen[split] = fitting[0]
    return chosen


def _from_files(spec: MemberSpec, splits: Sequence[str]) -> dict[str, tuple[Path, ScoreInfo]]:
    files = spec.scores or {}
    chosen = {}
    for split in splits:
        if split not in files:
            given = next(iter(files.values()))
            info = read_info(given)
            again = f"{info.run or 'RUN'} --split {split} --views {info.views} --weights {info.weights}"
            fix = f"name the file that `tinkit test {again}` makes"
            if not info.run:
                both = ", ".join(f'{name} = "{files.get(name, "...")}"' for name in splits)
                fix += f", or say in a toml which files are one model's ([[members]] with scores = {{{both}}})"
            raise UserError(
                f"no score file of split {split!r} beside {given}",
                expected=f"a file for each of: {', '.join(splits)}",
                fix=f"{fix}, or leave the split out: --fit none, --apply none",
            )
        info = read_info(files[split])
        if info.split != split:
            raise UserError(f"holds split {info.split!r}, named as {split!r}", file=files[split])
        chosen[split] = files[split], info
    return chosen


def _names(specs: Sequence[MemberSpec], chosen: Sequence[dict[str, tuple[Path, ScoreInfo]]]) -> list[str]:
    """The given name, else the run's or the file's; where two would be called alike, with views and weights or path."""
    short, long = [], []
    for spec, own in zip(specs, chosen, strict=True):
        path, info = next(iter(own.values()))
        run = info.run or (Path(spec.run).name if spec.run else "")
        short.append(run or _file_name(path, info.split))
        long.append(f"{run} {info.views} {info.weights}".strip() if run else str(path.with_suffix("")))
    return [
        spec.name or (brief if short.count(brief) == 1 else full)
        for spec, brief, full in zip(specs, short, long, strict=True)
    ]


def _file_name(path: Path, split: str) -> str:
    """What a file that names no run is called, whatever its split: its name without the split's, or its folder's."""
    words = [word.strip("-_. ") for word in starred(path, split).split("*")]
    return "-".join(word for word in words if word) or path.absolute().parent.name or path.stem


def _check_one_model(member: MemberFiles) -> None:
    """All splits of a member must come from one model: what is fitted on one file would be applied to another."""
    (first_split, first), *others = member.infos.items()
    for split, info in others:
        for fact in _FACTS:
            if getattr(info, fact) != getattr(first, fact):
                raise _two_models(member, first_split, split, fact)
        if info.hashes.get("checkpoint") != first.hashes.get("checkpoint"):
            raise _two_models(member, first_split, split, "checkpoint")


def _two_models(member: MemberFiles, first: str, split: str, fact: str) -> UserError:
    return UserError(
        f"member {member.name!r}: its scores of {split!r} were made with another {fact} than those of {first!r} "
        f"({member.files[first]})",
        file=member.files[split],
        fix="test both splits again with the same checkpoint, views and weights",
    )


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths) or "none"
