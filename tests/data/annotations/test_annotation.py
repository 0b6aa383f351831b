"""Annotation files of the layouts of known data sets, right and wrong: what is read, and what the message says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.annotation_files import read, refused, sources
from tinkit.data.annotations.annotation import read_annotation
from tinkit.data.config.dataset import DataConfig, resolve_root
from tinkit.errors import UserError

CATEGORIES = "stroking/petting,0\nadult+female+singing,1\nwashing, wiping,2\nrunning,3\n"


def mmit(root: Path, train: str | bytes, categories: str = CATEGORIES) -> DataConfig:
    (root / "annotations").mkdir()
    (root / "annotations/moments_categories.txt").write_text(categories)
    (root / "annotations/trainingSet.csv").write_bytes(train if isinstance(train, bytes) else train.encode())
    return DataConfig(dataset="mmit", root=root)


class TestMmit:
    def test_ragged_rows_with_slashes_plus_signs_crlf_bom_and_blank_lines(self, tmp_path: Path) -> None:
        text = "\ufeffadult+female+singing/yt-zx_QfALnTdfc_56.mp4,1\r\n\r\na/getty-x-id163936215_13.mp4,0,3,2\r\n"
        config = mmit(tmp_path, text)
        assert read(config) == [
            ("adult+female+singing/yt-zx_QfALnTdfc_56.mp4",) * 2 + ([1],),
            ("a/getty-x-id163936215_13.mp4",) * 2 + ([0, 3, 2],),
        ]
        annotation = read_annotation(config, tmp_path, "train")
        assert annotation.classes == ("stroking/petting", "adult+female+singing", "washing, wiping", "running")
        assert sources(config) == ["yt-zx_QfALnTdfc", "getty-x-id163936215"]
        assert annotation.rows.lines.tolist() == [1, 3]

    def test_an_id_of_another_form_is_its_own_source(self, tmp_path: Path) -> None:
        assert sources(mmit(tmp_path, "a/clip.mp4,1\nb/x_y.mp4,2\n")) == ["a/clip.mp4", "b/x_y.mp4"]

    def test_a_label_said_twice_counts_once_and_padding_commas_are_nothing(self, tmp_path: Path) -> None:
        assert read(mmit(tmp_path, "a/1.mp4,3,1,3,,\n")) == [("a/1.mp4", "a/1.mp4", [3, 1])]

    def test_a_quoted_path_may_hold_a_comma(self, tmp_path: Path) -> None:
        assert read(mmit(tmp_path, '"a/one, two.mp4",1,2\nb/3.mp4,0\n')) == [
            ("a/one, two.mp4", "a/one, two.mp4", [1, 2]),
            ("b/3.mp4", "b/3.mp4", [0]),
        ]

    @pytest.mark.parametrize("row", ['"unclosed.mp4,1', '"a"b.mp4,1'])
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_quotes_that_do_not_pair_are_the_fault_that_is_named(self, tmp_path: Path, row: str, split: str) -> None:
        config = mmit(tmp_path, f"a/1.mp4,1\n{row}\n")
        (tmp_path / "annotations" / "testSet.csv").write_text(f"a/1.mp4\n{row}\n")
        message = refused(config, split)
        assert ".csv:2: an unclosed quote" in message

    def test_a_test_list_of_paths_and_one_with_made_up_labels(self, tmp_path: Path) -> None:
        config = mmit(tmp_path, "a/1.mp4,1\n")
        test = tmp_path / "annotations/testSet.csv"
        for text in ("b/1.mp4\nb/2.mp4\n", "b/1.mp4,0\nb/2.mp4,-1\n"):
            test.write_text(text)
            assert read(config, "test") == [("b/1.mp4", "b/1.mp4", None), ("b/2.mp4", "b/2.mp4", None)]

    def test_a_test_list_that_is_declared_labelled_is_read_and_judged(self, tmp_path: Path) -> None:
        config = mmit(tmp_path, "a/1.mp4,1\n").model_copy(update={"unlabelled": ()})
        (tmp_path / "annotations/testSet.csv").write_text("b/1.mp4,2\nb/2.mp4,-1\n")
        message = refused(config, "test")
        assert "testSet.csv:2: the label -1 is out of range" in message
        assert "data.unlabelled" in message

    def test_frames_of_videos_lie_in_folders_without_the_ending(self, tmp_path: Path) -> None:
        config = mmit(tmp_path, "a/1.mp4,1\n").model_copy(update={"media": "frames"})
        assert read(config) == [("a/1.mp4", "a/1", [1])]

    @pytest.mark.parametrize(
        ("text", "line", "problem"),
        [
            ("a/1.mp4,1\n\na/2.mp4,4\n", 3, "the label 4 is out of range"),
            ("a/1.mp4,99999999999999999999999\n", 1, "'99999999999999999999999' is not a class"),
            ("a/1.mp4,1.0\n", 1, "'1.0' is not a class"),
            ("a/1.mp4,runing\n", 1, "'runing' is not a class; did you mean 'running'?"),
            ("a/1.mp4,1\na/2.mp4\n", 2, "the row has no label"),
            ("a/1.mp4,1\nb/2.mp4,2\n\na/1.mp4,3\n", 4, "the id 'a/1.mp4' occurs on line 1 already"),
            ("../a/1.mp4,1\n", 1, "the path '../a/1.mp4' is not below"),
            ("a/1.mp4,1\na/../../b.mp4,1\n", 2, "is not below"),
            ("/etc/passwd,1\n", 1, "the path '/etc/passwd' is not below"),
            ("a/1\x00.mp4,1\n", 1, "holds zero bytes"),
            ("a/1\x01.mp4,1\n", 1, r"the path 'a/1\x01.mp4' is not below"),
            (",1\n", 1, "the row has no id"),
        ],
    )
    def test_a_bad_row_is_named_by_its_line(self, tmp_path: Path, text: str, line: int, problem: str) -> None:
        message = refused(mmit(tmp_path, text))
        assert f"trainingSet.csv:{line}: " in message
        assert problem in message
        assert "expected: " in message

    def test_dots_within_a_name_are_no_escape(self, tmp_path: Path) -> None:
        assert read(mmit(tmp_path, "a..b/..c...mp4,1\n"))[0][0] == "a..b/..c...mp4"

    def test_bytes_that_are_not_utf8_are_named_by_their_line(self, tmp_path: Path) -> None:
        message = refused(mmit(tmp_path, b"a/1.mp4,1\na/caf\xe9.mp4,1\n"))
        assert "trainingSet.csv:2: byte 0xe9 is not UTF-8" in message
        assert "'a/café.mp4,1' in Windows-1252" in message
        assert "iconv" not in message

    def test_an_empty_file_and_a_missing_one(self, tmp_path: Path) -> None:
        config = mmit(tmp_path, "\n\n")
        assert "the file is empty" in refused(config)
        message = refused(config, "val")
        assert str(tmp_path / "annotations/validationSet.csv") in message
        assert "data.val" in message

    def test_the_count_of_classes_must_be_the_recipes(self, tmp_path: Path) -> None:
        config = mmit(tmp_path, "a/1.mp4,1\n").model_copy(update={"num_classes": 313})
        message = refused(config)
        assert "moments_categories.txt: the file names 4 classes" in message
        assert "313" in message


class TestSomethingV1:
    LABELS = 'Pushing something\nDoing nothing\nHolding something; then "dropping" it\n'

    def config(self, root: Path, train: str, **keys: object) -> DataConfig:
        (root / "something-something-v1-labels.csv").write_text(self.LABELS)
        (root / "something-something-v1-train.csv").write_text(train)
        (root / "something-something-v1-test.csv").write_text("300\n301\n")
        return DataConfig(dataset="sthv1", root=root, **keys)

    def test_classes_are_alphabetical_unless_told_otherwise(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, "100;Pushing something\n101;Doing nothing\n")
        assert read(config) == [("100", "100", [2]), ("101", "101", [0])]
        in_file_order = config.model_copy(update={"class_order": "file"})
        assert read(in_file_order) == [("100", "100", [0]), ("101", "101", [1])]

    def test_a_label_with_semicolon_and_quotes_as_csv_writes_it_and_bare(self, tmp_path: Path) -> None:
        quoted = '100;"Holding something; then ""dropping"" it"\n101;Holding something; then "dropping" it\n'
        assert read(self.config(tmp_path, quoted)) == [("100", "100", [1]), ("101", "101", [1])]

    def test_the_test_list_has_ids_only(self, tmp_path: Path) -> None:
        assert read(self.config(tmp_path, "1;Doing nothing\n"), "test") == [("300", "300", None), ("301", "301", None)]

    def test_an_unknown_label_names_the_nearest(self, tmp_path: Path) -> None:
        message = refused(self.config(tmp_path, "1;Doing nothing\n2;Pushing somthing\n"))
        assert "something-something-v1-train.csv:2: 'Pushing somthing' is not a class" in message
        assert "did you mean 'Pushing something'?" in message

    def test_the_files_may_lie_in_annotations_and_videos_may_take_the_place_of_images(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, "1;Doing nothing\n", media="video")
        (tmp_path / "annotations").mkdir()
        for file in tmp_path.glob("*.csv"):
            file.rename(tmp_path / "annotations" / file.name)
        assert read(config) == [("1", "1.webm", [0])]

    def test_jester_has_files_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "jester-v1-labels.csv").write_text("Swiping Left\nDoing other things\n")
        (tmp_path / "jester-v1-validation.csv").write_text("34870;Doing other things\n56557;Swiping Left\n")
        config = DataConfig(dataset="jester", root=tmp_path)
        assert read(config, "val") == [("34870", "34870", [0]), ("56557", "56557", [1])]


class TestSomethingV2:
    LABELS = '{"Holding something next to something": "1", "Approaching something with your camera": "0"}'

    def config(self, root: Path, train: object) -> DataConfig:
        (root / "something-something-v2-labels.json").write_text(self.LABELS)
        text = train if isinstance(train, str) else json.dumps(train, indent=0)
        (root / "something-something-v2-train.json").write_text(text)
        (root / "something-something-v2-test.json").write_text('[{"id": "1420"}, {"id": "42326"}]')
        return DataConfig(dataset="sthv2", root=root)

    def entry(self, clip: object, template: object) -> dict[str, object]:
        return {"id": clip, "label": "holding it", "template": template, "placeholders": ["it"]}

    def test_the_class_is_the_template_without_brackets(self, tmp_path: Path) -> None:
        template = "Holding [something] next to [something]"
        assert read(self.config(tmp_path, [self.entry("78687", template)])) == [("78687", "78687.webm", [1])]

    def test_test_entries_have_only_an_id(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, [])
        assert read(config, "test") == [("1420", "1420.webm", None), ("42326", "42326.webm", None)]

    def test_an_error_names_the_line_of_the_entry(self, tmp_path: Path) -> None:
        good = self.entry("1", "Approaching [something] with your camera")
        message = refused(self.config(tmp_path, [good, self.entry("2", "Aproaching [something] with your camera")]))
        line = (tmp_path / "something-something-v2-train.json").read_text().split('"2"')[0].count("\n") + 1
        assert f"train.json:{line}: 'Aproaching something with your camera' is not a class; did you mean" in message

    @pytest.mark.parametrize("bad", [{"label": "x"}, "78687", {"id": ["1"]}, {"id": "1", "template": 3}])
    def test_an_entry_of_another_form_is_shown(self, tmp_path: Path, bad: object) -> None:
        assert "entry 1 is " + json.dumps(bad) in refused(self.config(tmp_path, [bad]))

    def test_what_is_not_json_is_named_by_line(self, tmp_path: Path) -> None:
        assert "train.json:3: not valid JSON" in refused(self.config(tmp_path, '[\n{"id": "1"},\n}'))
        assert "not a list of clips" in refused(self.config(tmp_path, "{}"))


class TestRoot:
    def test_named_by_the_recipe_or_by_the_variable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "kinetics").mkdir()
        monkeypatch.setenv("TINKIT_DATA", str(tmp_path))
        assert resolve_root(DataConfig(dataset="list", name="kinetics")) == tmp_path / "kinetics"
        assert resolve_root(DataConfig(dataset="list", root=tmp_path)) == tmp_path

    def test_the_error_says_how(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TINKIT_DATA", raising=False)
        with pytest.raises(UserError, match=r"--data DIR.*\$TINKIT_DATA/mmit"):
            resolve_root(DataConfig(dataset="mmit"))
        with pytest.raises(UserError, match="no such folder"):
            resolve_root(DataConfig(dataset="mmit", root=tmp_path / "nowhere"))

    @pytest.mark.parametrize(
        "keys",
        [
            {"dataset": "mmit", "class_order": "alphabetical"},
            {"dataset": "mmit", "delimiter": ","},
            {"dataset": "table", "columns": "path labels"},
            {"dataset": "sthv1", "frame_template": "{}/{}.jpg"},
            {"dataset": "sthv1", "frame_template": "image.jpg"},
            {"dataset": "list", "name": "../other"},
            {"dataset": "mmit", "media_folder": "../videos"},
            {"dataset": "mmit", "media_folder": "/videos"},
            {"dataset": "mmit", "catgories": "c.txt"},
        ],
    )
    def test_keys_that_do_not_go_together_are_refused(self, keys: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="validation error"):
            DataConfig.model_validate(keys)
