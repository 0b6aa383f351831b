"""Every layout that tinkit reads, a row each: ``data.dataset`` and ``tinkit data`` take their choices from here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from tinkit.data.layouts.layout import DatasetLayout, beside_or_in_folder, in_folder_or_beside

_HMDB51 = ("testTrainMulti_7030_splits/", "annotations/testTrainMulti_7030_splits/", "annotations/")


def _ucf101(name: str) -> tuple[str, ...]:
    return (f"ucfTrainTestlist/{name}", *beside_or_in_folder(name))


def _kinetics(title: str, *names: str) -> DatasetLayout:
    """A release of Kinetics, whose csv files are called after the split alone, or after ``names`` and the split."""

    def places(*splits: str) -> tuple[str, ...]:
        return beside_or_in_folder(
            *(f"{split}.csv" for split in splits),
            *(f"{name}_{split}.csv" for name in names for split in splits),
            *(f"{name}/{split}.csv" for name in names for split in splits),
        )

    return DatasetLayout(
        title=title,
        rows="csv with label, youtube_id, time_start, time_end",
        reader="tinkit.data.layouts.kinetics:read_kinetics",
        train=places("train"),
        val=places("val", "validate"),
        test=places("test"),
        categories=beside_or_in_folder("classes.txt", "kinetics_label_map.txt", f"{names[-1]}_label_map.txt"),
        class_reader="tinkit.data.layouts.kinetics:kinetics_classes",
        lists_clips=True,
    )


def _epic(kind: str, reader: str) -> DatasetLayout:
    return DatasetLayout(
        title=f"EPIC-Kitchens-100, {kind}s",
        rows=f"csv with narration_id, video_id, start_frame, stop_frame, {kind}_class",
        reader=f"tinkit.data.layouts.epic_kitchens:{reader}",
        train=beside_or_in_folder("EPIC_100_train.csv"),
        val=beside_or_in_folder("EPIC_100_validation.csv"),
        test=beside_or_in_folder("EPIC_100_test_timestamps.csv"),
        categories=beside_or_in_folder(f"EPIC_100_{kind}_classes.csv"),
        media="frames",
        frame_template="frame_{:010d}.jpg",
        numbered=True,
    )


LAYOUTS: Mapping[str, DatasetLayout] = MappingProxyType(
    {
        "mmit": DatasetLayout(
            title="Multi-Moments in Time",
            rows="folder/clip.mp4,LABEL[,LABEL...]",
            reader="tinkit.data.layouts.mmit:read_mmit",
            train=in_folder_or_beside("trainingSet.csv"),
            val=in_folder_or_beside("validationSet.csv"),
            test=in_folder_or_beside("testSet.csv"),
            categories=in_folder_or_beside(
                "moments_categories.txt", "categories.txt", "category.txt", "category_multi_momentsv2.txt"
            ),
            media_folder="videos",
            task="multi-label",
            numbered=True,
            separator=",",
        ),
        "sthv1": DatasetLayout(
            title="Something-Something V1",
            rows="ID;label text",
            reader="tinkit.data.layouts.something:read_something_v1",
            train=beside_or_in_folder("something-something-v1-train.csv", "labels/train.csv"),
            val=beside_or_in_folder("something-something-v1-validation.csv", "labels/validation.csv"),
            test=beside_or_in_folder("something-something-v1-test.csv", "labels/test.csv"),
            categories=beside_or_in_folder("something-something-v1-labels.csv", "labels/labels.csv"),
            beside=("test-answers.csv",),
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
            train=beside_or_in_folder("something-something-v2-train.json", "labels/train.json"),
            val=beside_or_in_folder("something-something-v2-validation.json", "labels/validation.json"),
            test=beside_or_in_folder("something-something-v2-test.json", "labels/test.json"),
            categories=beside_or_in_folder("something-something-v2-labels.json", "labels/labels.json"),
            beside=("test-answers.csv",),
            media_folder="20bn-something-something-v2",
            frame_template="{:06d}.jpg",
            min_frames=3,
        ),
        "jester": DatasetLayout(
            title="Jester V1",
            rows="ID;label text",
            reader="tinkit.data.layouts.something:read_something_v1",
            train=beside_or_in_folder("jester-v1-train.csv", "labels/train.csv"),
            val=beside_or_in_folder("jester-v1-validation.csv", "labels/validation.csv"),
            test=beside_or_in_folder("jester-v1-test.csv", "labels/test.csv"),
            categories=beside_or_in_folder("jester-v1-labels.csv", "labels/labels.csv"),
            beside=("test-answers.csv",),
            media_folder="20bn-jester-v1",
            media="frames",
            class_order="alphabetical",
            min_frames=3,
            separator=";",
        ),
        "moments": DatasetLayout(
            title="Moments in Time",
            rows="category/clip.mp4,category,AGREED,DISAGREED",
            reader="tinkit.data.layouts.moments:read_moments",
            train=beside_or_in_folder("trainingSet.csv"),
            val=beside_or_in_folder("validationSet.csv"),
            test=beside_or_in_folder("testingSet.csv", "testSet.csv"),
            categories=beside_or_in_folder("moments_categories.txt"),
            separator=",",
        ),
        "kinetics400": _kinetics("Kinetics-400", "kinetics_400", "kinetics-400", "kinetics400", "k400"),
        "kinetics600": _kinetics("Kinetics-600", "kinetics_600", "kinetics-600", "kinetics600", "k600"),
        "kinetics700": _kinetics(
            "Kinetics-700", "kinetics_700", "kinetics-700", "kinetics700", "kinetics700_2020", "k700"
        ),
        "ucf101": DatasetLayout(
            title="UCF101",
            rows="Class/clip.avi NUMBER",
            reader="tinkit.data.layouts.ucf_hmdb:read_ucf101",
            train=_ucf101("trainlist{part:02d}.txt"),
            val=_ucf101("testlist{part:02d}.txt"),
            test=_ucf101("testlist{part:02d}.txt"),
            categories=_ucf101("classInd.txt"),
            media_folder="UCF-101",
            lists_clips=True,
            keys=frozenset({"part"}),
        ),
        "hmdb51": DatasetLayout(
            title="HMDB51",
            rows="clip.avi CODE, a file a class",
            reader="tinkit.data.layouts.ucf_hmdb:read_hmdb51",
            train=_HMDB51,
            val=_HMDB51,
            test=_HMDB51,
            categories=beside_or_in_folder("classes.txt"),
            class_reader="tinkit.data.layouts.ucf_hmdb:hmdb51_classes",
            media_folder="hmdb51_org",
            lists_clips=True,
            keys=frozenset({"part"}),
        ),
        "charades": DatasetLayout(
            title="Charades",
            rows="csv with id and actions (c092 11.90 21.20;...)",
            reader="tinkit.data.layouts.charades:read_charades",
            train=beside_or_in_folder("Charades_v1_train.csv", "Charades/Charades_v1_train.csv"),
            val=beside_or_in_folder("Charades_v1_test.csv", "Charades/Charades_v1_test.csv"),
            test=beside_or_in_folder("Charades_vu1_test.csv", "Charades_v1_test.csv"),
            categories=beside_or_in_folder("Charades_v1_classes.txt", "Charades/Charades_v1_classes.txt"),
            media_folder="Charades_v1_480",
            task="multi-label",
            numbered=True,
        ),
        "epic100-verbs": _epic("verb", "read_verbs"),
        "epic100-nouns": _epic("noun", "read_nouns"),
        "pyslowfast": DatasetLayout(
            title="Lists of PySlowFast",
            rows="PATH LABEL",
            reader="tinkit.data.layouts.lists:read_pyslowfast",
            train=beside_or_in_folder("train.csv"),
            val=beside_or_in_folder("val.csv"),
            test=beside_or_in_folder("test.csv"),
            categories=beside_or_in_folder("classes.txt", "category.txt"),
            numbered=True,
            keys=frozenset({"delimiter"}),
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
