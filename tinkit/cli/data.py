"""``tinkit data``: the manifests of data sets, what is in them, and their optical flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.data_export import EPILOG as EXPORT_EPILOG
from tinkit.cli.data_export import export
from tinkit.cli.data_flow import EPILOG as FLOW_EPILOG
from tinkit.cli.data_flow import flow
from tinkit.cli.data_new import EPILOG as NEW_EPILOG
from tinkit.cli.data_new import new
from tinkit.cli.data_options import data_config
from tinkit.cli.data_prepare import EPILOG as PREPARE_EPILOG
from tinkit.cli.data_prepare import prepare, summary_of
from tinkit.cli.options import DataOption, DatasetArgument, JsonOption, SetOption, SplitOption
from tinkit.cli.parser import examples
from tinkit.errors import UserError
from tinkit.terminal import print_json, print_line, print_table

if TYPE_CHECKING:
    from tinkit.data.layouts.layout import DatasetLayout
    from tinkit.data.manifest.manifest import Manifest

app = typer.Typer(
    no_args_is_help=True,
    help="Data sets: begin one of your own, build manifests, look into them, compute optical flow.",
    epilog=examples(
        "tinkit data new videos",
        "tinkit data list",
        "tinkit data prepare mmit --data data/mmit",
        "tinkit data show mmit_r50 --split val --data data/mmit",
        "tinkit data stats mmit --data data/mmit",
        "tinkit data flow mmit --data data/mmit",
        "tinkit data export mmit --data data/mmit --format tsn --out lists",
    ),
)
app.command("prepare", epilog=PREPARE_EPILOG)(prepare)
app.command("new", epilog=NEW_EPILOG)(new)
app.command("flow", epilog=FLOW_EPILOG)(flow)
app.command("export", epilog=EXPORT_EPILOG)(export)


@app.command("list", epilog=examples("tinkit data list", "tinkit data list --json"))
def list_layouts(*, as_json: JsonOption = False) -> None:
    """List the layouts that tinkit reads, and where it looks for their files."""
    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.layouts.catalogue import LAYOUTS
    from tinkit.data.layouts.layout import SPLITS

    layouts = {name: DataConfig(dataset=name).layout for name in LAYOUTS}

    if as_json:
        print_json([_layout_values(name, layout) for name, layout in layouts.items()])
        return
    rows = [
        {
            "dataset": name,
            "title": layout.title,
            "rows": layout.rows,
            "files": " ".join([*(layout.places(split)[0] for split in SPLITS), layout.categories[0]]),
            "clips": f"{layout.media_folder or '.'}/ ({layout.media})",
            "task": layout.task,
        }
        for name, layout in layouts.items()
    ]
    print_table("Layouts (files relative to the data set's folder)", rows)


@app.command("show", epilog=examples("tinkit data show mmit --split val -n 5", "tinkit data show mmit --id a/b_1.mp4"))
def show(
    what: DatasetArgument,
    *,
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitOption = "train",
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many rows.")] = 10,
    start: Annotated[int, typer.Option(min=0, help="The first row, from 0.")] = 0,
    clip_id: Annotated[str | None, typer.Option("--id", help="Show the clip of this id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show rows of a split: ids, paths, class names."""
    from tinkit.data.manifest.manifest import open_manifest

    manifest = open_manifest(data_config(what, data, overrides), split)
    if clip_id is None:
        indices = range(start, min(start + count, len(manifest)))
    else:
        at = _index_of(manifest, clip_id)
        indices = range(at, at + 1)
    rows = [_row(manifest, index) for index in indices]
    print_table(f"{split} of {manifest.root}, {len(manifest)} clips", rows, as_json=as_json)


@app.command("stats", epilog=examples("tinkit data stats mmit --split val", "tinkit data stats mmit --json"))
def stats(
    what: DatasetArgument,
    *,
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitOption = "train",
    as_json: JsonOption = False,
) -> None:
    """Count labels: how many clips have each class, how many labels a clip has."""
    from tinkit.data.manifest.manifest import open_manifest

    manifest = open_manifest(data_config(what, data, overrides), split)
    summary = summary_of(manifest)
    counts = manifest.label_counts()
    classes = [
        {"index": index, "class": name, "clips": int(clips), "percent": 100 * int(clips) / max(len(manifest), 1)}
        for index, (name, clips) in enumerate(zip(manifest.classes, counts, strict=True))
    ]
    a_clip = [{"labels": n, "clips": int(clips)} for n, clips in enumerate(manifest.labels_a_clip()) if clips]
    if as_json:
        print_json({**summary, "labels_a_clip": a_clip, "per_class": classes})
        return
    print_table(f"{split} of {manifest.root}", [summary])
    if not manifest.labelled:
        print_line("the labels of this split are unknown")
        return
    print_table("Labels a clip", a_clip)
    print_table("Clips a class", sorted(classes, key=lambda row: -int(row["clips"])))


def _layout_values(name: str, layout: DatasetLayout) -> dict[str, Any]:
    return {
        "dataset": name,
        "title": layout.title,
        "rows": layout.rows,
        "train": layout.train[0],
        "val": layout.val[0],
        "test": layout.test[0],
        "categories": layout.categories[0],
        "clips": f"{layout.media_folder or '.'}/ ({layout.media})",
        "task": layout.task,
        "class order": layout.class_order,
    }


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
