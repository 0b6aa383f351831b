"""``tinkit data``: the manifests of data sets, what is in them, and their optical flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from tinkit.cli.data_bench import EPILOG as BENCH_EPILOG
from tinkit.cli.data_bench import bench
from tinkit.cli.data_export import EPILOG as EXPORT_EPILOG
from tinkit.cli.data_export import export
from tinkit.cli.data_flow import EPILOG as FLOW_EPILOG
from tinkit.cli.data_flow import flow
from tinkit.cli.data_frames import EPILOG as FRAMES_EPILOG
from tinkit.cli.data_frames import frames
from tinkit.cli.data_new import EPILOG as NEW_EPILOG
from tinkit.cli.data_new import new
from tinkit.cli.data_prepare import EPILOG as PREPARE_EPILOG
from tinkit.cli.data_prepare import prepare
from tinkit.cli.data_reencode import EPILOG as REENCODE_EPILOG
from tinkit.cli.data_reencode import reencode
from tinkit.cli.data_show import EPILOG as SHOW_EPILOG
from tinkit.cli.data_show import show
from tinkit.cli.data_stats import EPILOG as STATS_EPILOG
from tinkit.cli.data_stats import stats
from tinkit.cli.options import JsonOption
from tinkit.cli.parser import examples
from tinkit.terminal import print_json, print_table

if TYPE_CHECKING:
    from tinkit.data.layouts.layout import DatasetLayout

app = typer.Typer(
    no_args_is_help=True,
    help="Data sets: begin one of your own, build manifests, look into them, pack frames, compute optical flow.",
    epilog=examples(
        "tinkit data new videos",
        "tinkit data layouts",
        "tinkit data prepare mmit --data data/mmit",
        "tinkit data show mmit_r50 --split val --data data/mmit",
        "tinkit data show mmit_r50 --data data/mmit --html clips.html",
        "tinkit data stats mmit --data data/mmit",
        "tinkit data frames mmit --data data/mmit",
        "tinkit data reencode mmit --data data/mmit --out data/mmit-small",
        "tinkit data flow mmit --data data/mmit",
        "tinkit data export mmit --data data/mmit --format tsn --out lists",
        "tinkit data bench mmit_r50 --data data/mmit",
    ),
)
app.command("prepare", epilog=PREPARE_EPILOG)(prepare)
app.command("new", epilog=NEW_EPILOG)(new)
app.command("show", epilog=SHOW_EPILOG)(show)
app.command("stats", epilog=STATS_EPILOG)(stats)
app.command("frames", epilog=FRAMES_EPILOG)(frames)
app.command("reencode", epilog=REENCODE_EPILOG)(reencode)
app.command("flow", epilog=FLOW_EPILOG)(flow)
app.command("export", epilog=EXPORT_EPILOG)(export)
app.command("bench", epilog=BENCH_EPILOG)(bench)


@app.command("layouts", epilog=examples("tinkit data layouts", "tinkit data layouts --json"))
def layouts(*, as_json: JsonOption = False) -> None:
    """List the layouts that tinkit reads, and where it looks for their files."""
    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.layouts.catalogue import LAYOUTS
    from tinkit.data.layouts.layout import SPLITS

    found = {name: DataConfig(dataset=name).layout for name in LAYOUTS}

    if as_json:
        print_json([_layout_values(name, layout) for name, layout in found.items()])
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
        for name, layout in found.items()
    ]
    print_table("Layouts (files relative to the data set's folder)", rows)


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
