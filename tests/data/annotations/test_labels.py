"""Labels that could be read in two ways: from 0 or 1, codes of a split, no class at all; paths that are absolute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinkit.data.annotations.annotation import read_annotation
from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import open_manifest
from tinkit.errors import UserError

THREE = "0 a\n1 b\n2 c\n"


def config(
    root: Path, train: str, categories: str | None = "a\nb\nc\n", dataset: str = "list", **keys: object
) -> DataConfig:
    names = {"list": ("train.txt", "category.txt"), "table": ("train.csv", "classes.txt")}[dataset]
    (root / names[0]).write_text(train)
    if categories is not None:
        (root / names[1]).write_text(categories)
    return DataConfig.model_validate({"dataset": dataset, "root": root, **keys})


def labels(found: DataConfig) -> list:
    assert found.root is not None
    return read_annotation(found, found.root, "train").labels.to_pylist()


def refused(found: DataConfig) -> str:
    with pytest.raises(UserError) as caught:
        labels(found)
    return str(caught.value)


def test_labels_from_1_are_suspected_and_read_when_said(tmp_path: Path) -> None:
    found = config(tmp_path, "x 9 1\ny 9 2\nz 9 3\n")
    message = refused(found)
    assert "train.txt:3: the label 3 is out of range" in message
    assert "may count from 1: if so, set data.first_label = 1" in message
    assert labels(found.model_copy(update={"first_label": 1})) == [[0], [1], [2]]
    assert "the label 0 is out of range\n  expected: 1 to 3" in refused(config(tmp_path, "x 9 0\n", first_label=1))
    for text in ("x 9 0\ny 9 3\n", "x 9 1\ny 9 4\n"):
        assert "first_label" not in refused(config(tmp_path, text))


def test_where_the_category_file_counts_from_1_the_labels_must_show_it(tmp_path: Path) -> None:
    """UCF101: classInd.txt and trainlist01.txt count from 1; the lists of mmaction2 from 0."""
    names = "1 ApplyEyeMakeup\n2 ApplyLipstick\n3 Archery\n"
    for text, expected in (("x 9 1\ny 9 3\n", [[0], [2]]), ("x 9 1\ny 9 0\n", [[1], [0]])):
        assert labels(config(tmp_path, text, names)) == expected
    unclear = config(tmp_path, "x 9 1\ny 9 2\n", names)
    assert "nothing shows whether the labels do, too" in refused(unclear)
    assert labels(unclear.model_copy(update={"first_label": 1})) == [[0], [1]]
    assert labels(unclear.model_copy(update={"first_label": 0})) == [[1], [2]]
    table = "id,path,labels\n1,x,Archery\n2,y,ApplyEyeMakeup\n"
    assert labels(config(tmp_path, table, names, "table")) == [[2], [0]]


def test_a_count_takes_the_place_of_a_missing_category_file(tmp_path: Path) -> None:
    found = config(tmp_path, "x 9 1\ny 9 2\n", None, num_classes=3)
    assert labels(found) == [[1], [2]]
    assert open_manifest(found, "train").classes == ("0", "1", "2")
    from_one = found.model_copy(update={"first_label": 1})
    assert labels(from_one) == [[0], [1]]
    assert open_manifest(from_one, "train").classes == ("1", "2", "3")
    assert "category.txt" in refused(found.model_copy(update={"num_classes": None}))
    assert "names.txt" in refused(found.model_copy(update={"categories": "names.txt"}))
    (tmp_path / "category.txt").write_text("a\nb\n")
    assert "the file names 2 classes" in refused(found)


def split_codes(count: int = 24) -> str:
    codes = np.random.default_rng(0).integers(0, 3, count)
    return "".join(f"clip{number}.avi {code}\n" for number, code in enumerate(codes))


def test_the_codes_of_a_split_are_not_classes(tmp_path: Path) -> None:
    """HMDB51: 1 for training, 2 for testing, 0 for neither, in a file a class."""
    names = "".join(f"class {number}\n" for number in range(51))
    found = config(tmp_path, split_codes(), names, columns="path labels")
    assert "look like the codes of a split" in refused(found)
    labels(found.model_copy(update={"first_label": 0}))
    (tmp_path / "wave_test_split1.txt").write_text("a.avi 1\nb.avi 1\n")
    assert "codes of a split" in refused(found.model_copy(update={"train": "wave_test_split1.txt"}))


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"clip{n}.avi {n // 20}\n" for n in range(50)),  # the head of a list that goes by class
        "".join(f"class{n % 3}/clip{n}.avi {n % 3}\n" for n in range(50)),  # a folder a class
        "".join(f"clip{n}.avi {n % 4}\n" for n in range(50)),
        "a.avi 1\nb.avi 0\nc.avi 2\n",
    ],
)
def test_few_classes_are_not_codes(tmp_path: Path, text: str) -> None:
    names = "".join(f"class {number}\n" for number in range(51))
    found = labels(config(tmp_path, text, names, columns="path labels"))
    assert [row[0] for row in found] == [int(line.split()[1]) for line in text.splitlines()]


def test_clips_of_no_class(tmp_path: Path) -> None:
    from tinkit.data.clips.item import _labels
    from tinkit.metrics import sample_map

    found = config(tmp_path, "id,path,labels\n1,x,a;c\n2,y,\n", dataset="table")
    assert "set data.negatives = true if clips may belong to no class" in refused(found)
    found = found.model_copy(update={"negatives": True})
    assert labels(found) == [[0, 2], []]
    nobody = config(tmp_path, "id,path,labels\n1,x,\n2,y,\n", dataset="table", negatives=True)
    assert "no row has a label" in refused(nobody)
    found = config(tmp_path, "id,path,labels\n1,x,a;c\n2,y,\n", dataset="table", negatives=True)
    manifest = open_manifest(found, "train")
    assert manifest.labelled
    assert manifest.row(1).labels == ()
    assert manifest.labels_a_clip().tolist() == [1, 0, 1]
    assert torch.equal(_labels(manifest, manifest.row(1)), torch.zeros(3))
    assert sample_map(np.eye(2, 3), np.array([[1, 0, 0], [0, 0, 0]])) == 1.0
    with pytest.raises(ValueError, match="multi-label"):
        config(tmp_path, "x 9 1\n", negatives=True)


def test_absolute_paths_below_the_clips_folder_are_taken(tmp_path: Path) -> None:
    """PySlowFast's csv."""
    root = tmp_path / "set"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    for named in (root, tmp_path / "link"):
        found = config(root, f"{named}/videos/a/1.mp4 0\nb/2.mp4 1\n", columns="path labels", media_folder="videos")
        found = found.model_copy(update={"root": named})
        manifest = open_manifest(found, "train")
        assert manifest.table.column("path").to_pylist() == ["videos/a/1.mp4", "videos/b/2.mp4"]
        assert manifest.ids == ["a/1.mp4", "b/2.mp4"]
    elsewhere = config(root, f"{root}/other/1.mp4 0\n", columns="path labels", media_folder="videos")
    assert "set data.media_folder = ''" in refused(elsewhere)
    for path in ("/elsewhere/1.mp4", f"{root}2/1.mp4", f"{root}/../1.mp4"):
        assert "is not below" in refused(config(root, f"{path} 0\n", columns="path labels"))


@pytest.mark.parametrize(
    ("dataset", "text", "advice"),
    [
        ("table", "id;path;labels\n1;a;b\n", 'data.delimiter = ";"'),
        ("table", "id\tpath\tlabels\n1\ta\tb\n", r'data.delimiter = "\t"'),
        ("list", "a/1.mp4,30,1\nb/2.mp4,30,2\n", 'data.delimiter = ","'),
        ("list", "a/1.mp4;30;1\n", 'data.delimiter = ";"'),
        ("list", "a/1.mp4\nb/2.mp4\n", "data.unlabelled"),
        ("list", "a/1.mp4 30\nb/2.mp4 40\n", "data.columns = 'path labels'"),
    ],
)
def test_files_of_another_form_name_the_key(tmp_path: Path, dataset: str, text: str, advice: str) -> None:
    assert "fix: " in (message := refused(config(tmp_path, text, dataset=dataset)))
    assert advice in message


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        ("list", "x" * 3_000_000 + " 9 1\n"),
        ("list", "x 9 " + "9" * 5000 + "\n"),
        ("list", "x " + "9" * 5000 + " 1\n"),
        ("list", "x 9 1000000000\n"),
        ("list", "x 9 -1\n"),
        ("list", "x 9 1e9\n"),
        ("table", ",".join(f"c{number}" for number in range(1_000_000)) + "\n1\n"),
        ("table", "id,path,labels" + ",x" * 100_000 + "\n1,2,3\n"),
        ("table", "id,path,labels\n1," + "y" * 200_000 + ",a\n"),
        ("table", 'id,path,labels\n"1\n2",y,a\n'),
        ("table", "id,path,labels\n1,y," + ";".join(["a"] * 50_000) + ";zz\n"),
    ],
)
def test_hostile_lists_end_in_one_short_message(tmp_path: Path, dataset: str, text: str) -> None:
    message = refused(config(tmp_path, text, dataset=dataset))
    assert len(message) < 45_000
    assert "train." in message


def test_halves_of_characters_in_official_json(tmp_path: Path) -> None:
    (tmp_path / "something-something-v2-labels.json").write_text('{"a": "0"}')
    (tmp_path / "something-something-v2-train.json").write_text('[\n{"id": "1\\ud800", "template": "a"}]')
    found = DataConfig(dataset="sthv2", root=tmp_path)
    assert "train.json:2: not text" in refused(found)


@pytest.mark.parametrize(
    ("dataset", "text", "mark"), [("mmit", "a/1.mp4;0\n", "','"), ("sthv1", "100,Doing nothing\n", "';'")]
)
def test_official_files_with_another_delimiter(tmp_path: Path, dataset: str, text: str, mark: str) -> None:
    (tmp_path / "t").write_text(text)
    (tmp_path / "c").write_text("Doing nothing\nx\n")
    found = DataConfig.model_validate({"dataset": dataset, "root": tmp_path, "train": "t", "categories": "c"})
    assert f"id and label separated by {mark}" in refused(found)
