"""Official data sets in miniature, with the traps that the real ones set: rows, paths on disk, labels, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.helpers.video_files import write_video
from tinkit.cli.app import app
from tinkit.data.config.dataset import DataConfig
from tinkit.data.manifest.manifest import Manifest, open_manifest
from tinkit.errors import UserError


def put(root: Path, files: dict[str, str]) -> Path:
    """Text files below ``root``."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def clips(root: Path, *names: str) -> None:
    """Files of a clip's name; only their names are asked for."""
    put(root, dict.fromkeys(names, "x"))


def opened(dataset: str, root: Path, split: str = "train", **keys: Any) -> Manifest:
    return open_manifest(DataConfig.model_validate({"dataset": dataset, "root": root} | keys), split)


def rows(manifest: Manifest) -> list[tuple[str, str, list[str]]]:
    """(id, path, names of the labels) of every clip."""
    table = manifest.table.to_pylist()
    return [(row["id"], row["path"], [manifest.classes[label] for label in row["labels"] or []]) for row in table]


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


class TestCharades:
    CLASSES = "c000 Holding some clothes\nc001 Putting clothes somewhere\nc002 Taking some clothes\n"
    HEAD = "id,subject,scene,actions,length\n"

    def test_actions_with_times_are_labels_once_each(self, tmp_path: Path) -> None:
        text = self.HEAD + 'YSKX3,PLQ,"Kitchen, big",c002 11.90 21.20;c000 0.00 12.60;c002 1.0 2.0,30\nAAAAA,P,B,,31\n'
        put(tmp_path, {"Charades_v1_train.csv": text, "Charades_v1_classes.txt": self.CLASSES})
        manifest = opened("charades", tmp_path, negatives=True)
        assert rows(manifest) == [
            ("YSKX3", "Charades_v1_480/YSKX3.mp4", ["Taking some clothes", "Holding some clothes"]),
            ("AAAAA", "Charades_v1_480/AAAAA.mp4", []),
        ]
        with pytest.raises(UserError, match=r"negatives"):
            opened("charades", tmp_path)

    def test_what_is_no_action_is_refused(self, tmp_path: Path) -> None:
        put(
            tmp_path, {"Charades_v1_train.csv": self.HEAD + "A,P,B,92 1 2,3\n", "Charades_v1_classes.txt": self.CLASSES}
        )
        with pytest.raises(UserError, match="'92 1 2' is not an action"):
            opened("charades", tmp_path)


class TestEpicKitchens:
    HEAD = "narration_id,participant_id,video_id,start_frame,stop_frame,narration,verb,verb_class,noun,noun_class\n"

    def make(self, root: Path) -> Path:
        put(
            root,
            {
                "EPIC_100_train.csv": self.HEAD + "P01_01_0,P01,P01_01,8,202,open door,open,1,door,0\n"
                "P01_01_1,P01,P01_01,150,150,take cup,take,0,cup,1\n",
                "EPIC_100_test_timestamps.csv": "narration_id,participant_id,video_id,start_frame,stop_frame\n"
                "P02_103_7,P02,P02_103,1,9\n",
                "EPIC_100_verb_classes.csv": "id,key,instances,category\n0,take,\"['take', 'get']\",retrieve\n"
                "1,open,\"['open']\",access\n",
                "EPIC_100_noun_classes.csv": "id,key,instances,category\n0,door,\"['door']\",a\n1,cup,\"['cup']\",b\n",
            },
        )
        return root

    def test_segments_of_a_video_and_two_sets_of_labels(self, tmp_path: Path) -> None:
        verbs, nouns = (opened(f"epic100-{kind}", self.make(tmp_path)) for kind in ("verbs", "nouns"))
        assert rows(verbs) == [
            ("P01_01_0", "P01/rgb_frames/P01_01", ["open"]),
            ("P01_01_1", "P01/rgb_frames/P01_01", ["take"]),
        ]
        assert [labels for *_, labels in rows(nouns)] == [["door"], ["cup"]]
        assert [(row.start, row.frames, row.source) for row in (verbs.row(0), verbs.row(1))] == [
            (7, 195, "P01_01"),
            (149, 1, "P01_01"),
        ]
        assert opened("epic100-verbs", tmp_path, media="video").row(0).path == "P01/videos/P01_01.MP4"
        assert rows(opened("epic100-nouns", tmp_path, "test")) == [("P02_103_7", "P02/rgb_frames/P02_103", [])]

    @pytest.mark.parametrize("frames", ["0,5", "9,8", "x,5", "1,-2"])
    def test_frames_that_cannot_be_are_refused(self, tmp_path: Path, frames: str) -> None:
        put(self.make(tmp_path), {"EPIC_100_train.csv": self.HEAD + f"a,P01,P01_01,{frames},n,v,0,n,0\n"})
        with pytest.raises(UserError, match="frame"):
            opened("epic100-verbs", tmp_path)


def test_moments_in_time_has_a_label_and_votes(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "moments_categories.txt": "adult+female+singing,1\nclapping,0\n",
            "trainingSet.csv": "clapping/a_1.mp4,clapping,3,0\nadult+female+singing/b_2.mp4,adult+female+singing,2,1\n",
        },
    )
    (tmp_path / "training").mkdir()
    manifest = opened("moments", tmp_path)
    assert rows(manifest) == [
        ("clapping/a_1.mp4", "training/clapping/a_1.mp4", ["clapping"]),
        ("adult+female+singing/b_2.mp4", "training/adult+female+singing/b_2.mp4", ["adult+female+singing"]),
    ]
    assert manifest.classes == ("clapping", "adult+female+singing")


def test_lists_of_pyslowfast(tmp_path: Path) -> None:
    put(tmp_path, {"classes.txt": "a\nb\n", "train.csv": f"{tmp_path}/v/x y.mp4 1\nv/z.mp4 0\n"})
    assert rows(opened("pyslowfast", tmp_path)) == [("v/x y.mp4", "v/x y.mp4", ["b"]), ("v/z.mp4", "v/z.mp4", ["a"])]
    put(tmp_path, {"train.csv": "v/x.mp4,1\nv/z.mp4,0\n"})
    assert [labels for *_, labels in rows(opened("pyslowfast", tmp_path, delimiter=","))] == [["b"], ["a"]]


class TestTodaysNames:
    """Something-Something V2 and Jester as they are downloaded today: ``labels/``, and the answers of the test."""

    def test_something_v2(self, tmp_path: Path) -> None:
        entries = [{"id": "7", "label": "x", "template": "Holding [something]"}]
        put(
            tmp_path,
            {
                "labels/labels.json": json.dumps({"Holding something": "0", "Pushing something": "1"}),
                "labels/train.json": json.dumps(entries),
                "labels/validation.json": json.dumps(entries),
                "labels/test.json": json.dumps([{"id": "8"}, {"id": "9"}]),
                "labels/test-answers.csv": "9;Holding something\n8;Pushing something\n",
            },
        )
        assert rows(opened("sthv2", tmp_path)) == [("7", "20bn-something-something-v2/7.webm", ["Holding something"])]
        assert rows(opened("sthv2", tmp_path, "test"))[0][2] == []
        answered = opened("sthv2", tmp_path, "test", unlabelled=[])
        assert [(row[0], row[2]) for row in rows(answered)] == [
            ("8", ["Pushing something"]),
            ("9", ["Holding something"]),
        ]

    def test_jester(self, tmp_path: Path) -> None:
        put(
            tmp_path,
            {
                "labels/labels.csv": "Swiping Left\nDoing other things\n",
                "labels/train.csv": "1;Swiping Left\n",
                "labels/test.csv": "2\n3\n",
                "labels/test-answers.csv": "2;Doing other things\n",
            },
        )
        assert rows(opened("jester", tmp_path)) == [("1", "20bn-jester-v1/1", ["Swiping Left"])]
        with pytest.raises(UserError, match="the row has no label"):  # of clip 3 nobody knows it
            opened("jester", tmp_path, "test", unlabelled=[])


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
