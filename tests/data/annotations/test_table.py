"""Tables as annotation files, CSV and Parquet: what is read, and what the message says."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.annotation_files import read, refused, sources
from tinkit.data.config.dataset import DataConfig


class TestTable:
    CLASSES = "running\nplaying guitar\nstroking/petting\n"

    def config(self, root: Path, train: str | pa.Table, classes: str | None = None, **keys: object) -> DataConfig:
        (root / "classes.txt").write_text(classes or self.CLASSES)
        if isinstance(train, str):
            (root / "train.csv").write_text(train)
        else:
            pq.write_table(train, root / "train.parquet")
        return DataConfig(dataset="table", root=root, **keys)

    def test_names_and_numbers_between_semicolons_or_spaces(self, tmp_path: Path) -> None:
        text = (
            "id,path,labels\n1,a/1.mp4,running;playing guitar\n2,a/2.mp4,0 2\n3,a/3.mp4,playing guitar\n"
            '4,"a, b/4.mp4",stroking/petting\n5,a/5.mp4,running 1\n6,a/6.mp4,1;\n'
        )
        labels = [[0, 1], [0, 2], [1], [2], [0, 1], [1]]
        rows = read(self.config(tmp_path, text))
        assert [row[2] for row in rows] == labels
        assert rows[3][:2] == ("4", "a, b/4.mp4")

    def test_parquet_with_text_lists_of_names_or_lists_of_numbers(self, tmp_path: Path) -> None:
        for labels in (["running;playing guitar", "2"], [["running", "playing guitar"], ["2"]], [[0, 1], [2]]):
            table = pa.table({"id": [10, 11], "path": ["a", "b"], "labels": labels, "source": ["v", None]})
            config = self.config(tmp_path, table)
            assert read(config) == [("10", "a", [0, 1]), ("11", "b", [2])]
            assert sources(config) == ["v", "11"]

    def test_an_unlabelled_table_needs_no_labels(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, "id,path,labels\n1,a,0\n")
        (tmp_path / "test.csv").write_text("path,id\nx/1.mp4,1\n")
        assert read(config, "test") == [("1", "x/1.mp4", None)]

    def test_another_delimiter_and_a_single_label_task(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, "id\tpath\tlabels\n1\ta\t0\n2\tb\t0;1\n", delimiter="\t", task="single-label")
        message = refused(config)
        assert "train.csv:3: the row has 2 labels: 0, 1" in message
        assert "multi-label" in message

    def test_classes_named_by_their_own_numbers_are_fine_but_other_numbers_could_mean_two_things(
        self, tmp_path: Path
    ) -> None:
        text = "id,path,labels\n1,a,1\n"
        assert read(self.config(tmp_path, text, "0\n1\n2\n"))[0][2] == [1]
        assert "train.csv:2: the label 1 is the name of class 0" in refused(self.config(tmp_path, text, "1\n2\n3\n"))

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("id,path,label\n1,a,0\n", "unknown column 'label'; did you mean 'labels'?"),
            ("id,labels\n1,0\n", "no column 'path' among id, labels"),
            ("id,path,labels,id\n1,a,0,1\n", "two columns 'id'"),
            ("id,path,labels\n1,a,0\n2,b,0,1\n", "train.csv:3: the row has 4 fields"),
            ("id,path,labels\n1,a,0\n2,b,\n", "train.csv:3: the row has no label"),
            ("id,path,labels\n1,a,playing gitar\n", "train.csv:2: 'playing' is not a class"),
            ("id,path,labels\n1,a,playing gitar;\n", "did you mean 'playing guitar'?"),
            ("id,path,labels\n1,a,3\n", "train.csv:2: the label 3 is out of range"),
            ("id,path,labels\n1,../a,0\n", "train.csv:2: the path '../a' is not below"),
            ('id,path,labels\n1,"a"b,0\n', "train.csv:2: not csv"),
            ("id,path,labels\n", "the table has no rows"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, text: str, problem: str) -> None:
        assert problem in refused(self.config(tmp_path, text))

    def test_parquet_with_lists_of_a_fixed_size(self, tmp_path: Path) -> None:
        labels = pa.array([[0, 1], [2, 0]], pa.list_(pa.int64(), 2))
        table = pa.table({"id": ["a", "b"], "path": ["a.mp4", "b.mp4"], "labels": labels})
        assert [row[2] for row in read(self.config(tmp_path, table))] == [[0, 1], [2, 0]]

    def test_a_parquet_row_is_named_by_its_number(self, tmp_path: Path) -> None:
        table = pa.table({"id": ["1", "2"], "path": ["a", "b"], "labels": [["running"], [None]]})
        assert "train.parquet: row 2: '' is not a class" in refused(self.config(tmp_path, table))
        (tmp_path / "train.parquet").write_bytes(b"PAR1 but not quite")
        assert "not a Parquet file" in refused(DataConfig(dataset="table", root=tmp_path))


class TestColumnsOfClasses:
    HEAD = "id,path,run,Jump,source\n"

    def config(self, root: Path, text: str, **keys: object) -> DataConfig:
        (root / "classes.txt").write_text("Jump\nrun\n")
        (root / "train.csv").write_text(text)
        return DataConfig.model_validate({"dataset": "table", "root": root} | keys)

    def test_ones_are_labels_whatever_the_order_of_the_columns(self, tmp_path: Path) -> None:
        text = self.HEAD + "1,a,1,0,v\n2,b,0,1,v\n3,c,1.0,TRUE,w\n"
        assert read(self.config(tmp_path, text)) == [("1", "a", [1]), ("2", "b", [0]), ("3", "c", [1, 0])]
        assert sources(self.config(tmp_path, text)) == ["v", "v", "w"]
        alone = self.config(tmp_path, self.HEAD + "1,a,1,0,v\n2,b,0,1,v\n", task="single-label")
        assert read(alone) == [("1", "a", [1]), ("2", "b", [0])]

    def test_negatives_need_their_key(self, tmp_path: Path) -> None:
        text = self.HEAD + "1,a,1,0,v\n2,b,0,0,v\n"
        assert "train.csv:3: the row has no label" in refused(self.config(tmp_path, text))
        assert read(self.config(tmp_path, text, negatives=True)) == [("1", "a", [1]), ("2", "b", [])]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("id,path,run\n1,a,1\n", "columns for 1 of 2 classes; there is none for 'Jump'"),
            ("id,path,run,Jump,labels\n1,a,1,0,run\n", "the columns 'labels' and 'run'"),
            ("id,path,run,jump\n1,a,1,0\n", "unknown column 'jump'"),
            ("id,path,run,Jump\n1,a,1,2\n", "train.csv:2: '2' in the column 'Jump'"),
            ("id,path,run,Jump\n1,a,1,\n", "train.csv:2: '' in the column 'Jump'"),
            ("id;path;run;Jump\n1;a;1;0\n", "the columns are separated by ';', not ','"),
        ],
    )
    def test_what_is_neither_is_refused(self, tmp_path: Path, text: str, words: str) -> None:
        assert words in refused(self.config(tmp_path, text))

    def test_parquet_holds_truth_values_or_numbers(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, "")
        (tmp_path / "train.csv").unlink()
        for run, jump in (([True, False], [False, True]), ([1, 0], [0, 1]), ([1.0, 0.0], [0.0, 1.0])):
            columns = {"id": [7, 8], "path": ["a", "b"], "run": run, "Jump": jump}
            pq.write_table(pa.table(columns), tmp_path / "train.parquet")
            assert read(config) == [("7", "a", [1]), ("8", "b", [0])]
        pq.write_table(pa.table(columns | {"run": [1.0, None]}), tmp_path / "train.parquet")
        assert "row 2: None in the column 'run'" in refused(config)
