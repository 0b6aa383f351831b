"""Official data sets whose labels come in a form of their own: actions with times, two sets, votes, answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.official_sets import opened, put, rows
from tinkit.errors import UserError


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


def test_moments_without_a_column_of_labels_take_the_folder(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "moments_categories.txt": "applauding,0\nclapping,1\n",
            "trainingSet.csv": "clapping/a.mp4\napplauding/b.mp4\n",
        },
    )
    assert [labels for *_, labels in rows(opened("moments", tmp_path))] == [["clapping"], ["applauding"]]
    put(tmp_path, {"trainingSet.csv": "clapping/a.mp4,claping,3,0\n"})
    with pytest.raises(UserError, match="'claping' is not a class"):
        opened("moments", tmp_path)


def test_multi_moments_v2_at_the_root_with_its_own_classes(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "category_multi_momentsv2.txt": "stroking/petting\nadult+female+singing\n",
            "trainingSet.csv": "adult+female+singing/x_1.mp4,0,1\nstroking/y_2.mp4,1\n",
        },
    )
    assert rows(opened("mmit", tmp_path)) == [
        (
            "adult+female+singing/x_1.mp4",
            "videos/adult+female+singing/x_1.mp4",
            ["stroking/petting", "adult+female+singing"],
        ),
        ("stroking/y_2.mp4", "videos/stroking/y_2.mp4", ["adult+female+singing"]),
    ]


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
        truth = [("8", ["Pushing something"]), ("9", ["Holding something"])]
        assert [(row[0], row[2]) for row in rows(answered)] == truth
        put(tmp_path, {"labels/test-answers.csv": "8;Pushing [something]\n9;Holding [something]\n7;Other\n"})
        assert [(row[0], row[2]) for row in rows(opened("sthv2", tmp_path, "test", unlabelled=[]))] == truth

    def test_something_v1(self, tmp_path: Path) -> None:
        put(tmp_path, {"labels/labels.csv": "Pushing a\nHolding; a\n", "labels/train.csv": "1;Holding; a\n"})
        assert rows(opened("sthv1", tmp_path)) == [("1", "20bn-something-something-v1/1", ["Holding; a"])]

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
