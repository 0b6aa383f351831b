"""Every layout that tinkit reads, a row each: ``data.dataset`` and ``tinkit data`` take their choices from here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from tinkit.data.layouts.layout import DatasetLayout, beside_or_in_folder

LAYOUTS: Mapping[str, DatasetLayout] = MappingProxyType(
    {
        "mmit": DatasetLayout(
            title="Multi-Moments in Time",
            rows="folder/clip.mp4,LABEL[,LABEL...]",
            reader="tinkit.data.layouts.mmit:read_mmit",
            train=("annotations/trainingSet.csv",),
            val=("annotations/validationSet.csv",),
            test=("annotations/testSet.csv",),
            categories=("annotations/moments_categories.txt", "annotations/categories.txt", "annotations/category.txt"),
            media_folder="videos",
            task="multi-label",
            numbered=True,
            separator=",",
        ),
        "sthv1": DatasetLayout(
            title="Something-Something V1",
            rows="ID;label text",
            reader="tinkit.data.layouts.something:read_something_v1",
            train=beside_or_in_folder("something-something-v1-train.csv"),
            val=beside_or_in_folder("something-something-v1-validation.csv"),
            test=beside_or_in_folder("something-something-v1-test.csv"),
            categories=beside_or_in_folder("something-something-v1-labels.csv"),
            media_folder="20bn-something-something-v1",
            media="frames",
            class_order="alphabetical",
            min_frames=3,
            separator=";",
        ),
        "sthv2": DatasetLayout(
            title="Something-Something V2",
            rows='{"id": ..., "template": ...}',
            reader="tinkit.data.layouts.something:read_something_v2",
            train=beside_or_in_folder("something-something-v2-train.json"),
            val=beside_or_in_folder("something-something-v2-validation.json"),
            test=beside_or_in_folder("something-something-v2-test.json"),
            categories=beside_or_in_folder("something-something-v2-labels.json"),
            media_folder="20bn-something-something-v2",
            frame_template="{:06d}.jpg",
            min_frames=3,
        ),
        "jester": DatasetLayout(
            title="Jester V1",
            rows="ID;label text",
            reader="tinkit.data.layouts.something:read_something_v1",
            train=beside_or_in_folder("jester-v1-train.csv"),
            val=beside_or_in_folder("jester-v1-validation.csv"),
            test=beside_or_in_folder("jester-v1-test.csv"),
            categories=beside_or_in_folder("jester-v1-labels.csv"),
            media_folder="20bn-jester-v1",
            media="frames",
            class_order="alphabetical",
            min_frames=3,
            separator=";",
        ),
        "list": DatasetLayout(
            title="Lists of TSN, TSM and mmaction2",
            rows="PATH [START] [FRAMES] LABEL[,LABEL...]",
            reader="tinkit.data.layouts.lists:read_list",
            train=beside_or_in_folder("train.txt", "train_videofolder.txt"),
            val=beside_or_in_folder("val.txt", "val_videofolder.txt"),
            test=beside_or_in_folder("test.txt", "test_videofolder.txt"),
            categories=beside_or_in_folder("category.txt"),
            media="frames",
            min_frames=3,
            numbered=True,
            split_codes=True,
            keys=frozenset({"columns", "delimiter"}),
        ),
        "table": DatasetLayout(
            title="Your own csv or Parquet",
            rows="columns id, path, labels[, source]",
            reader="tinkit.data.layouts.table:read_table",
            train=beside_or_in_folder("train.csv", "train.parquet"),
            val=beside_or_in_folder("val.csv", "val.parquet"),
            test=beside_or_in_folder("test.csv", "test.parquet"),
            categories=beside_or_in_folder("classes.txt"),
            task="multi-label",
            keys=frozenset({"delimiter"}),
        ),
    }
)

if TYPE_CHECKING:
    LayoutName = str
else:
    LayoutName = Literal[tuple(LAYOUTS)]
