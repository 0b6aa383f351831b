"""Kinetics, UCF101 and HMDB51 in miniature, with the traps of the real ones: rows, paths on disk, labels, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.helpers.official_sets import clips, opened, put, rows
from tests.helpers.video_files import write_video
from tinkit.cli.app import app
from tinkit.errors import UserError


class TestKinetics:
    HEAD = "label,youtube_id,time_start,time_end,split\n"

    def test_padded_plain_and_bare_names_in_folders_of_classes_or_none(self, tmp_path: Path) -> None:
        text = self.HEAD + (
            '"playing ""bones""",-abc_efg_ij,5,15,train\nabseiling,_0123456789,83,93,train\n'
            "zumba,AAAAAAAAAAA,0,10,train\nabseiling,lost0000000,7,17,train\nzumba,bare0000000,7,17,train\n"
        )
        put(tmp_path, {"annotations/train.csv": text})
        clips(
            tmp_path,
            "train/abseiling/_0123456789_000083_000093.mp4",
            "train/playing bones/-abc_efg_ij_5_15.mkv",
            "train/AAAAAAAAAAA_000000_000010.mp4",
            "train/AAAAAAAAAAA_000400_000410.mp4",
            "train/bare0000000.webm",
            "train/README.txt",
        )
        manifest = opened("kinetics400", tmp_path)
        assert manifest.classes == ("abseiling", 'playing "bones"', "zumba")
        assert rows(manifest) == [
            ("-abc_efg_ij", "train/playing bones/-abc_efg_ij_5_15.mkv", ['playing "bones"']),
            ("_0123456789", "train/abseiling/_0123456789_000083_000093.mp4", ["abseiling"]),
            ("AAAAAAAAAAA", "train/AAAAAAAAAAA_000000_000010.mp4", ["zumba"]),
            ("lost0000000", "train/lost0000000_000007_000017.mp4", ["abseiling"]),
            ("bare0000000", "train/bare0000000.webm", ["zumba"]),
        ]
        assert manifest.table.column("source").to_pylist() == manifest.ids

    def test_replacements_win_and_columns_may_stand_anywhere(self, tmp_path: Path) -> None:
        text = "split,is_cc,time_end,time_start,youtube_id,label\nvalidate,0,10.0,0.0,AAAAAAAAAAA,yoga\n"
        put(tmp_path, {"k400_train.csv": self.HEAD + "yoga,B1234567890,0,10,train\nclay,C1234567890,0,10,train\n"})
        put(tmp_path, {"k400_val.csv": text})
        clips(
            tmp_path,
            "videos_val/AAAAAAAAAAA_000000_000010.mp4",
            "replacement/replacement_for_corrupted_k400/AAAAAAAAAAA_000000_000010.mp4",
        )
        assert rows(opened("kinetics400", tmp_path, "val")) == [
            ("AAAAAAAAAAA", "replacement/replacement_for_corrupted_k400/AAAAAAAAAAA_000000_000010.mp4", ["yoga"])
        ]

    def test_a_test_list_has_no_labels_and_frames_are_folders(self, tmp_path: Path) -> None:
        put(tmp_path, {"train.csv": self.HEAD + "yoga,B1234567890,0,10,train\n"})
        put(tmp_path, {"test.csv": "youtube_id,time_start,time_end,split\nA_234567890,1,11,test\n"})
        clips(tmp_path, "rawframes_train/yoga/B1234567890_000000_000010/img_00001.jpg")
        assert rows(opened("kinetics600", tmp_path, "test")) == [
            ("A_234567890", "test/A_234567890_000001_000011.mp4", [])
        ]
        framed = opened("kinetics600", tmp_path, media="frames")
        assert rows(framed) == [("B1234567890", "rawframes_train/yoga/B1234567890_000000_000010", ["yoga"])]

    def test_clips_that_no_row_names_and_rows_of_other_splits_are_told(self, tmp_path: Path) -> None:
        text = self.HEAD + "yoga,B1234567890,0,10,train\nclay,C1234567890,0,10,validate\n"
        put(tmp_path, {"annotations/kinetics-600_train.csv": text})
        clips(tmp_path, "train/yoga/B1234567890_0_10.mp4", "train/yoga/D1234567890_0_10.mp4")
        manifest = opened("kinetics600", tmp_path)
        assert manifest.ids == ["B1234567890"]
        assert manifest.classes == ("clay", "yoga")
        others, unlisted = manifest.skipped
        assert others == "1 rows of kinetics-600_train.csv are of other splits"
        assert unlisted.startswith("1 clips in train are in no row of kinetics-600_train.csv, such as train/yoga/D12")
        both = opened("kinetics600", tmp_path, "val", val="annotations/kinetics-600_train.csv")
        assert both.ids == ["C1234567890"]
        with pytest.raises(UserError, match="no row is of split 'test'"):
            opened("kinetics600", tmp_path, "test", test="annotations/kinetics-600_train.csv")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("label,youtube,time_start,time_end\nyoga,a,1,2\n", "no column 'youtube_id'"),
            (HEAD + "yoga,B1234567890,soon,10,train\n", "line 2|'soon' is not a time"),
            (HEAD + "yoga,B1234567890,inf,10,train\n", "is not a time"),
            (HEAD + "yoga,B1234567890,1,10\n", "the row has 4 fields"),
            (HEAD + '"yoga,B1234567890,1,10,train\n', "not csv"),
            (HEAD, "no rows"),
            (HEAD + "yoga,../../../etc,1,10,train\n", "below the data set's folder"),
            (HEAD + "yoga,B1234567890,1,9,train\nyoga,B1234567890,1,9,train\n", "line 2 already|every clip once"),
        ],
    )
    def test_what_is_wrong_is_refused_with_its_line(self, tmp_path: Path, text: str, words: str) -> None:
        put(tmp_path, {"train.csv": text})
        with pytest.raises(UserError, match=words) as caught:
            opened("kinetics700", tmp_path)
        assert "train.csv" in str(caught.value)

    def test_another_number_of_classes_is_refused(self, tmp_path: Path) -> None:
        put(tmp_path, {"train.csv": self.HEAD + "yoga,B1234567890,0,10,train\n"})
        with pytest.raises(UserError, match="names 1 classes"):
            opened("kinetics400", tmp_path, num_classes=400)


class TestUcf101:
    def make(self, root: Path) -> Path:
        put(
            root,
            {
                "ucfTrainTestlist/classInd.txt": "1 ApplyEyeMakeup\n2 HandstandPushups\n",
                "ucfTrainTestlist/trainlist01.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\n"
                "HandstandPushups/v_HandStandPushups_g08_c02.avi 2\r\n",
                "ucfTrainTestlist/testlist01.txt": "HandstandPushups/v_HandStandPushups_g01_c01.avi\n",
                "ucfTrainTestlist/trainlist03.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 1\n",
            },
        )
        return root

    def test_numbers_from_1_and_the_class_whose_case_differs(self, tmp_path: Path) -> None:
        self.make(tmp_path)
        clips(tmp_path, "UCF-101/HandstandPushups/v_HandstandPushups_g08_c02.avi")
        manifest = opened("ucf101", tmp_path)
        assert rows(manifest) == [
            (
                "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
                "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
                ["ApplyEyeMakeup"],
            ),
            (
                "HandstandPushups/v_HandStandPushups_g08_c02.avi",
                "UCF-101/HandstandPushups/v_HandstandPushups_g08_c02.avi",
                ["HandstandPushups"],
            ),
        ]
        assert manifest.row(0).source == "ApplyEyeMakeup/v_ApplyEyeMakeup_g08"
        assert [labels for *_, labels in rows(opened("ucf101", tmp_path, "val"))] == [["HandstandPushups"]]

    def test_parts_are_chosen_and_kept_apart(self, tmp_path: Path) -> None:
        self.make(tmp_path)
        assert opened("ucf101", tmp_path, part=3).ids == ["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"]
        assert len(opened("ucf101", tmp_path, part=1)) == 2
        with pytest.raises(UserError, match=r"trainlist02\.txt"):
            opened("ucf101", tmp_path, part=2)

    def test_folders_of_images_and_clips_in_one_folder(self, tmp_path: Path) -> None:
        self.make(tmp_path)
        clips(tmp_path, "frames/v_ApplyEyeMakeup_g08_c01/img_00001.jpg", "flat/v_ApplyEyeMakeup_g08_c01.mp4")
        framed = opened("ucf101", tmp_path, media="frames", media_folder="frames")
        assert framed.row(0).path == "frames/v_ApplyEyeMakeup_g08_c01"
        assert opened("ucf101", tmp_path, media_folder="flat").row(0).path == "flat/v_ApplyEyeMakeup_g08_c01.mp4"

    def test_a_line_that_names_no_clip_is_refused(self, tmp_path: Path) -> None:
        put(self.make(tmp_path), {"ucfTrainTestlist/trainlist01.txt": "ApplyEyeMakeup/a.avi 1\njust words\n"})
        with pytest.raises(UserError, match=r"is not a clip"):
            opened("ucf101", tmp_path)

    def test_a_number_that_is_another_folders_is_refused(self, tmp_path: Path) -> None:
        put(self.make(tmp_path), {"ucfTrainTestlist/trainlist01.txt": "ApplyEyeMakeup/a.avi 2\n"})
        with pytest.raises(UserError, match="the number 2 is not that of 'ApplyEyeMakeup'"):
            opened("ucf101", tmp_path)


class TestHmdb51:
    def make(self, root: Path) -> Path:
        folder = "testTrainMulti_7030_splits"
        put(
            root,
            {
                f"{folder}/brush_hair_test_split1.txt": "a#(1)&!;+[x].avi 1 \nb c.avi 2 \nd.avi 0 \n",
                f"{folder}/wave_test_split1.txt": "b c.avi 1 \n",
                f"{folder}/brush_hair_test_split2.txt": "d.avi 1 \n",
                f"{folder}/wave_test_split2.txt": "b c.avi 2 \n",
            },
        )
        return root

    def test_codes_are_not_labels_and_names_hold_anything(self, tmp_path: Path) -> None:
        clips(self.make(tmp_path), "hmdb51_org/brush_hair/a#(1)&!;+[x].avi")
        manifest = opened("hmdb51", tmp_path)
        assert manifest.classes == ("brush_hair", "wave")
        assert rows(manifest) == [
            ("brush_hair/a#(1)&!;+[x].avi", "hmdb51_org/brush_hair/a#(1)&!;+[x].avi", ["brush_hair"]),
            ("wave/b c.avi", "hmdb51_org/wave/b c.avi", ["wave"]),
        ]
        assert rows(opened("hmdb51", tmp_path, "val")) == [
            ("brush_hair/b c.avi", "hmdb51_org/brush_hair/b c.avi", ["brush_hair"])
        ]
        assert opened("hmdb51", tmp_path, part=2).ids == ["brush_hair/d.avi"]

    def test_a_changed_file_makes_the_manifest_anew(self, tmp_path: Path) -> None:
        self.make(tmp_path)
        assert len(opened("hmdb51", tmp_path)) == 2
        put(tmp_path, {"testTrainMulti_7030_splits/wave_test_split1.txt": "b c.avi 1 \nnew.avi 1 \n"})
        assert len(opened("hmdb51", tmp_path)) == 3

    def test_another_code_is_refused(self, tmp_path: Path) -> None:
        put(self.make(tmp_path), {"testTrainMulti_7030_splits/wave_test_split1.txt": "b.avi 3\n"})
        with pytest.raises(UserError, match=r"wave_test_split1\.txt"):
            opened("hmdb51", tmp_path)


def test_classes_out_of_the_training_list_are_read_again_when_it_changes(tmp_path: Path) -> None:
    """The validation list alone is unchanged then, and its numbers mean other classes."""
    put(tmp_path, {"train.csv": TestKinetics.HEAD + "yoga,B1234567890,0,10,train\n"})
    put(tmp_path, {"val.csv": TestKinetics.HEAD + "yoga,C1234567890,0,10,val\n"})
    assert opened("kinetics400", tmp_path, "val").classes == ("yoga",)
    put(tmp_path, {"train.csv": TestKinetics.HEAD + "yoga,B1234567890,0,10,train\nclay,D1234567890,0,10,train\n"})
    found = opened("kinetics400", tmp_path, "val")
    assert found.classes == ("clay", "yoga")
    assert rows(found)[0][2] == ["yoga"]


def test_clips_that_came_later_under_another_name_are_found(tmp_path: Path) -> None:
    _kinetics(tmp_path, lambda name: None)
    words = ["data", "prepare", "kinetics400", "--data", str(tmp_path), "--json", "--no-probe"]
    assert CliRunner().invoke(app, words).exit_code == 1
    for name in ("train/B1234567890_0_10.mp4", "val/yoga/C1234567890_0_10.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        write_video(tmp_path / name, count=4)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert [row["missing"] for row in json.loads(done.stdout)] == [0, 0]


def _kinetics(root: Path, video: Callable[[str], None]) -> None:
    put(root, {"train.csv": TestKinetics.HEAD + "yoga,B1234567890,0,10,train\n"})
    put(root, {"val.csv": TestKinetics.HEAD + "yoga,C1234567890,0,10,val\n"})
    video("train/yoga/B1234567890_000000_000010.mp4")
    video("val/yoga/C1234567890_000000_000010.mp4")


def _ucf101(root: Path, video: Callable[[str], None]) -> None:
    TestUcf101().make(root)
    video("UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi")
    video("UCF-101/HandstandPushups/v_HandstandPushups_g08_c02.avi")
    video("UCF-101/HandstandPushups/v_HandstandPushups_g01_c01.avi")


@pytest.mark.parametrize(("dataset", "make", "clips"), [("kinetics400", _kinetics, 1), ("ucf101", _ucf101, 2)])
def test_the_command_prepares_them(
    tmp_path: Path, dataset: str, make: Callable[[Path, Callable[[str], None]], None], clips: int
) -> None:
    def video(name: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / name, count=4)

    make(tmp_path, video)
    done = CliRunner().invoke(app, ["data", "prepare", dataset, "--data", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    found = {row["split"]: row for row in json.loads(done.stdout)}
    assert found["train"]["clips"] == clips
    assert found["train"]["missing"] == 0
