"""``tinkit data export``: the lists that other kits read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tinkit.cli.data_options import data_config, wanted_splits
from tinkit.cli.options import (
    DataOption,
    DatasetArgument,
    ForceOption,
    JsonOption,
    ProcessesOption,
    SetOption,
    SplitsOption,
)
from tinkit.cli.parser import examples
from tinkit.errors import UsageError, UserError
from tinkit.terminal import Notices, note, print_json, print_table

if TYPE_CHECKING:
    import pyarrow as pa

    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.export.clips import ClipsToList
    from tinkit.data.export.formats import ListFormat
    from tinkit.data.export.lists import ListOptions
    from tinkit.data.manifest.manifest import Manifest

EPILOG = examples(
    "tinkit data export mmit --data data/mmit --format tsn --out lists",
    "tinkit data export mine.toml --format mmaction2 --out lists --split train --absolute",
    "tinkit data export kinetics400 --data /data/k400 --format pyslowfast --out lists --delimiter ,",
)

_DELIMITERS = " ,;|:\t"


@dataclass(frozen=True)
class _Choice:
    """What of a data set is exported: its manifests, and how their lines are written."""

    config: DataConfig
    manifests: list[Manifest]
    form: ListFormat
    options: ListOptions


def export(
    what: DatasetArgument,
    *,
    kit: Annotated[Literal["tsn", "mmaction2", "pyslowfast"], typer.Option("--format", help="Whose lists.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder that the lists are written into.")],
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitsOption = None,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Write absolute paths; else relative to the data set.")
    ] = False,
    delimiter: Annotated[
        str, typer.Option("--delimiter", metavar="C", help="What separates fields, where the kit can be told.")
    ] = " ",
    placeholder: Annotated[
        int | None, typer.Option("--placeholder", min=0, metavar="N", help="Written where labels are unknown.")
    ] = None,
    workers: ProcessesOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write lists of a data set's clips for another kit: TSN, mmaction2 or PySlowFast.

    Clips that are missing or cannot be read are left out, and counted. Where a list holds numbers of frames, clips
    that were never probed are opened, as `tinkit data prepare` does.
    """
    from tinkit.data.export.lists import list_texts, needs_offset, write_lists

    choice = _choose(data_config(what, data, overrides), split, kit, out, absolute, delimiter, placeholder)
    splits = [_clips(choice, manifest, workers) for manifest in choice.manifests]
    texts = list_texts(choice.form, splits, choice.options)
    write_lists(out, texts, choice.form, choice.manifests[0].classes, force=force)
    _tell(out, choice, splits, needs_offset(choice.form, splits), as_json=as_json)


def _choose(
    config: DataConfig,
    split: list[str] | None,
    kit: Literal["tsn", "mmaction2", "pyslowfast"],
    out: Path,
    absolute: bool,  # noqa: FBT001 - an option handed on
    delimiter: str,
    placeholder: int | None,
) -> _Choice:
    """What the command's options mean. Raises for those that do not go together."""
    from tinkit.data.config.dataset import resolve_root
    from tinkit.data.export.formats import format_of
    from tinkit.data.export.lists import ListOptions
    from tinkit.data.manifest.manifest import open_manifest

    form = format_of(kit, config.layout.media)
    if len(delimiter) != 1 or delimiter not in _DELIMITERS:
        raise UsageError(f"--delimiter {delimiter!r}", expected="a comma, semicolon, colon, bar, tab or space")
    if delimiter != " " and form.delimiter_key is None:
        raise UsageError(f"{form.title} reads fields between spaces only", fix="leave --delimiter out")
    root = resolve_root(config)
    names = list(dict.fromkeys(wanted_splits(config, root, split)))
    manifests = [open_manifest(config, name) for name in names]
    unlabelled = [manifest for manifest in manifests if not manifest.labelled and placeholder is None]
    for manifest in unlabelled:
        fix = "--placeholder N writes N in place of unknown labels"
        if split:
            raise UserError(f"the labels of {manifest.split!r} are not known", fix=fix)
        note(f"{manifest.split}: left out, since its labels are not known; {fix}")
    kept = [manifest for manifest in manifests if manifest not in unlabelled]
    if not kept:
        raise UserError("there is no split whose labels are known", file=root)
    return _Choice(config, kept, form, ListOptions(root if absolute else None, delimiter, placeholder))


def _clips(choice: _Choice, manifest: Manifest, workers: int | None) -> ClipsToList:
    """The clips of a split that can be listed, opened first where their frames must be known."""
    from tinkit.data.export.clips import clips_to_list
    from tinkit.data.probe.survey import read_probes

    manifest.require_media()
    probes = _opened(choice.config, manifest, workers) if choice.form.frames else read_probes(manifest)
    found = clips_to_list(manifest, probes)
    if not found.clips:
        raise UserError(f"{manifest.split}: not one of {len(manifest)} clips can be read", file=manifest.root)
    return found


def _opened(config: DataConfig, manifest: Manifest, workers: int | None) -> pa.Table:
    """What is known of the clips once those were opened that never were, or have changed."""
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.probe.clip import HowToProbe, crashed
    from tinkit.data.probe.survey import survey
    from tinkit.spread.engine import Engine

    how = HowToProbe(str(manifest.root), manifest.media, manifest.frame_template, DecodeSettings.of(config))
    notices = Notices()
    total = len(manifest.paths)
    with notices.bar(f"frames of {manifest.split}", total, shown=notices.is_terminal) as bar:
        return survey(manifest, how, lambda function: Engine(workers).spread(function, crashed), on_probed=bar.advance)


def _tell(out: Path, choice: _Choice, splits: list[ClipsToList], offset: bool, *, as_json: bool) -> None:  # noqa: FBT001
    """What was written, what was left out, and what the other kit must be told."""
    rows: list[dict[str, Any]] = [
        {
            "split": one.split,
            "file": str(out / choice.form.file.format(split=one.split)),
            "clips": len(one.clips),
            "left out": one.left_out.total(),
        }
        for one in splits
    ]
    if as_json:
        print_json([row | {"why": dict(one.left_out)} for row, one in zip(rows, splits, strict=True)])
    else:
        print_table(f"Lists of {choice.form.title}, class names in {out / choice.form.classes}", rows)
    for manifest, one in zip(choice.manifests, splits, strict=True):
        for line in manifest.skipped:
            note(f"{one.split}: {line}")
        if one.left_out:
            why = ", ".join(f"{count} {word}" for word, count in sorted(one.left_out.items()))
            note(f"{one.split}: left out {one.left_out.total()} clips ({why}), such as {one.example}")
        if one.unopened:
            note(f"{one.split}: {one.unopened} clips were not opened, only their files looked for (data prepare does)")
    first = choice.manifests[0]
    note(
        f"{choice.form.title} is told: "
        + choice.form.settings.format(
            prefix="" if choice.options.prefix else str(first.root),
            template=first.frame_template,
            delimiter=choice.options.delimiter,
            offset=offset,
            multi=first.task == "multi-label",
        )
    )
