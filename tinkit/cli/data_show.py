"""``tinkit data show``: rows of a split as a table, and its clips as the model is given them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.data_options import data_config
from tinkit.cli.options import DataOption, DatasetArgument, JsonOption, SetOption, SplitOption, ViewsOption
from tinkit.cli.parser import examples
from tinkit.errors import UsageError, UserError
from tinkit.terminal import Notices, note, print_table

if TYPE_CHECKING:
    from tinkit.data.look.clips import About, ShownClip
    from tinkit.data.manifest.manifest import Manifest
    from tinkit.recipe import Recipe

EPILOG = examples(
    "tinkit data show mmit --split val -n 5",
    "tinkit data show mmit --id a/b_1.mp4",
    "tinkit data show mmit_r50 --html clips.html",
    "tinkit data show mmit_r50 --epoch 2 --seed 1 --count 20 --png clips.png",
    "tinkit data show mmit_r50 --split val --views 2x3 --html views.html",
)


@dataclass(frozen=True)
class _Sheets:
    """The contact sheets that were asked for: where to, and of what."""

    png: Path | None
    html: Path | None
    epoch: int | None
    views: str | None
    side: int | None

    def __bool__(self) -> bool:
        return self.png is not None or self.html is not None


def show(
    what: DatasetArgument,
    *,
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitOption = "train",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many clips.")] = 10,
    start: Annotated[int | None, typer.Option(min=0, help="The first row, from 0.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Show random clips: each seed draws others.")] = None,
    clip_id: Annotated[
        list[str] | None, typer.Option("--id", help="Show the clip of this id. May be repeated.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a contact sheet: one HTML file.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a contact sheet: one PNG file.")] = None,
    epoch: Annotated[
        int | None, typer.Option(min=1, help="Draw the clips as this epoch trains on them; 1 for train.")
    ] = None,
    views: ViewsOption = None,
    side: Annotated[
        int | None,
        typer.Option(min=16, max=1024, help="The longest side of a drawn frame, in pixels; 112 if not given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show clips of a split: ids, paths, class names; with --html or --png also what the model is given.

    A contact sheet has the frames of each clip after sampling, crop and mirroring: of train as an epoch of the
    recipe's training reads them, of val and test, or with
    --views, every view of a test. Clips that cannot be read are
    marked with the reason. Of optical flow the hue is the direction and white is still; of RGB differences grey is no
    change; of a segment's stack the middle one is drawn. Of sound the spectrogram is drawn.
    """
    from tinkit.data.manifest.manifest import open_manifest

    sheets = _Sheets(png, html, epoch, views, side)
    recipe = _check_sheets(sheets, what, data, overrides)
    manifest = open_manifest(recipe.data if recipe else data_config(what, data, overrides), split)
    indices = _indices(manifest, count, start, seed, clip_id or [])
    rows = [_row(manifest, index) for index in indices]
    print_table(f"{split} of {manifest.root}, {len(manifest)} clips", rows, as_json=as_json)
    if recipe is not None:
        _write_sheets(sheets, recipe, manifest, indices)


def _check_sheets(sheets: _Sheets, what: str, data: Path | None, overrides: list[str] | None) -> Recipe | None:
    """The recipe to make sheets of, None where none was asked for. Raises UsageError for options that do not fit."""
    from tinkit.data.layouts.catalogue import LAYOUTS
    from tinkit.files.atomic import check_place
    from tinkit.recipe.load import load_recipe

    if not sheets:
        given = {"--epoch": sheets.epoch, "--views": sheets.views, "--side": sheets.side}
        for option in (name for name, value in given.items() if value is not None):
            raise UsageError(f"{option} is about a contact sheet", fix="add --html FILE or --png FILE")
        return None
    if sheets.epoch is not None and sheets.views is not None:
        raise UsageError("--epoch draws clips as training reads them, --views as a test does", fix="leave one out")
    if what in LAYOUTS:
        raise UsageError(
            f"{what!r} is a layout, which does not say what a model is given",
            expected="a recipe",
            fix="name one: see `tinkit recipes`",
        )
    if sheets.png is not None and sheets.html is not None and sheets.png.absolute() == sheets.html.absolute():
        raise UsageError("--png and --html name the same file", fix="name two")
    for file in filter(None, (sheets.png, sheets.html)):
        check_place(file)
    return load_recipe(what, overrides or (), data).recipe


def _indices(manifest: Manifest, count: int, start: int | None, seed: int | None, ids: list[str]) -> list[int]:
    """The rows to show."""
    if sum((start is not None, seed is not None, bool(ids))) > 1:
        raise UsageError("--start, --seed and --id each choose the clips", fix="give one of them")
    if ids:
        return [_index_of(manifest, clip_id) for clip_id in ids]
    if seed is not None:
        from tinkit.data.look.draw import drawn_rows

        return drawn_rows(manifest, count, seed)
    first = start or 0
    return list(range(first, min(first + count, len(manifest))))


def _write_sheets(sheets: _Sheets, recipe: Recipe, manifest: Manifest, indices: list[int]) -> None:
    from tinkit.data.look.page import html_page
    from tinkit.data.look.sheet import png_sheet

    clips, about = _clips(sheets, recipe, manifest, indices)
    notices, faults = Notices(), 0
    with ExitStack() as stack:
        adders: list[Callable[[ShownClip], None]] = []
        if sheets.png is not None:
            adders.append(stack.enter_context(png_sheet(sheets.png, about)))
        if sheets.html is not None:
            adders.append(stack.enter_context(html_page(sheets.html, about)))
        bar = stack.enter_context(notices.bar("clips drawn", len(indices), shown=notices.is_terminal))
        for clip in clips:
            faults += bool(clip.fault)
            for add in adders:
                add(clip)
            bar.advance(1)
    if faults:
        note(f"{faults} of {len(indices)} clips are broken or left out, and marked")
    for file in filter(None, (sheets.png, sheets.html)):
        note(f"wrote {file}")


def _clips(
    sheets: _Sheets, recipe: Recipe, manifest: Manifest, indices: list[int]
) -> tuple[Iterator[ShownClip], About]:
    """The clips as the recipe has them, read one by one, and what they are."""
    from tinkit.data.clips.opening import require_files
    from tinkit.data.clips.testing import TestClips
    from tinkit.data.clips.training import TrainClips
    from tinkit.data.config.views import image_shape, override_views
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.flow.folders import FlowFiles
    from tinkit.data.look.clips import About, as_tested, as_trained

    flow, reading, clip = FlowFiles.of(recipe.data), DecodeSettings.of(recipe.data), recipe.clip
    require_files(manifest, clip, flow)
    training = sheets.epoch is not None or (manifest.split == "train" and sheets.views is None)
    most = sheets.side or 112
    test = override_views(recipe.test, views=sheets.views)
    frames = clip.num_segments if training else test.num_segments or clip.num_segments
    height, width = image_shape(clip, None if training else test)
    title = f"{recipe.name}: {manifest.split} of {manifest.root}"
    way = f"epoch {sheets.epoch or 1} of training" if training else f"views {test.views} of a test"
    facts = f"{len(indices)} of {len(manifest)} clips, {way}; {frames} frames of {width}x{height} pixels"
    about = About(
        title=title,
        facts=facts + ("" if clip.modality == "rgb" else f"; {clip.modality}"),
        clips=len(indices),
        strips=1 if training else test.count,
        frames=frames,
        side=min(most, max(height, width)),
    )
    if training:
        clips = TrainClips(manifest, clip, recipe.train.seed, flow, reading)
        return as_trained(clips, indices, (sheets.epoch or 1) - 1, most), about
    return as_tested(TestClips(manifest, clip, test, flow, reading), indices, most), about


def _index_of(manifest: Manifest, clip_id: str) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    index = pc.index(manifest.table.column("id"), pa.scalar(clip_id)).as_py()
    if index < 0:
        raise UserError(f"no clip of {manifest.split!r} has the id {clip_id!r}", fix="see `tinkit data show`")
    return int(index)


def _row(manifest: Manifest, index: int) -> dict[str, Any]:
    row = manifest.row(index)
    labels = None if row.labels is None else "; ".join(manifest.classes[label] for label in row.labels)
    return {"row": index, "id": row.id, "path": row.path, "frames": row.frames, "labels": labels, "source": row.source}
