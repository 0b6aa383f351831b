"""A miniature of every layout: its files, and which of them is changed."""

from __future__ import annotations

import json

_KINETICS = "label,youtube_id,time_start,time_end,split\n"
_EPIC = "narration_id,participant_id,video_id,start_frame,stop_frame,verb_class,noun_class\n"
_CLASSES = "id,key,instances,category\n0,take,\"['take', 'get']\",a\n1,open,\"['open']\",b\n"

TREES: dict[str, dict[str, str]] = {
    "mmit": {
        "annotations/trainingSet.csv": 'a+b/yt-x_1.mp4,0,1\nc/y_2.mp4,1\n"d,e/z.mp4",0\n',
        "annotations/moments_categories.txt": "stroking/petting,0\nadult+female+singing,1\n",
    },
    "moments": {
        "trainingSet.csv": "clapping/a_1.mp4,clapping,3,0\nsinging/b_2.mp4,singing,2,1\n",
        "moments_categories.txt": "clapping,0\nsinging,1\n",
    },
    "sthv1": {
        "something-something-v1-train.csv": '1;Holding a; b\n2;Pushing "x"\n',
        "something-something-v1-labels.csv": 'Pushing "x"\nHolding a; b\n',
    },
    "sthv2": {
        "labels/train.json": json.dumps([{"id": "7", "label": "x", "template": "Holding [something]"}], indent=1),
        "labels/labels.json": json.dumps({"Holding something": "0", "Pushing something": "1"}),
    },
    "jester": {"labels/train.csv": "1;Swiping Left\n2;No gesture\n", "labels/labels.csv": "Swiping Left\nNo gesture\n"},
    "kinetics400": {
        "train.csv": _KINETICS + '"playing ""bones""",-abc_efg_ij,5,15,train\nyoga,_0123456789,83,93,train\n',
        "train/yoga/_0123456789_000083_000093.mp4": "x",
    },
    "kinetics600": {
        "annotations/train.csv": "label,youtube_id,time_start,time_end,split,is_cc\nyoga,B1234567890,0.0,10,train,0\n"
    },
    "kinetics700": {"train.csv": _KINETICS + "yoga,B1234567890,0,10,train\nclay,C1234567890,0,10,validate\n"},
    "ucf101": {
        "ucfTrainTestlist/trainlist01.txt": "A/v_A_g08_c01.avi 1\nBb/v_BB_g08_c02.avi 2\r\n",
        "ucfTrainTestlist/classInd.txt": "1 A\n2 Bb\n",
    },
    "hmdb51": {
        "testTrainMulti_7030_splits/brush_hair_test_split1.txt": "a#(1)&!;+[x].avi 1 \nb c.avi 2 \n",
        "testTrainMulti_7030_splits/wave_test_split1.txt": "b c.avi 1 \nd.avi 0 \n",
    },
    "charades": {
        "Charades_v1_train.csv": 'id,subject,actions,length\nAB,"S, x",c001 0.0 1.0;c000 1 2,30.0\nCD,S,c000 0 1,9\n',
        "Charades_v1_classes.txt": "c000 Holding some clothes\nc001 Putting\n",
    },
    "epic100-verbs": {
        "EPIC_100_train.csv": _EPIC + "P01_01_0,P01,P01_01,8,202,1,0\nP01_01_1,P01,P01_01,150,150,0,1\n",
        "EPIC_100_verb_classes.csv": _CLASSES,
    },
    "epic100-nouns": {
        "EPIC_100_train.csv": _EPIC + "P01_01_0,P01,P01_01,8,202,1,0\nP01_01_1,P01,P01_01,150,150,0,1\n",
        "EPIC_100_noun_classes.csv": _CLASSES,
    },
    "pyslowfast": {"train.csv": "v/x y.mp4 1\nv/z.mp4 0\n", "classes.txt": "a\nb\n"},
    "list": {"train.txt": "a/1 30 0\nb/2 20 1\n", "category.txt": "1 x\n2 y\n"},
    "table": {"train.csv": "id,path,labels,source\n1,a.mp4,x;y,v\n2,b.mp4,y,\n", "classes.txt": "x\ny\n"},
}
"""Text files by their paths; a list of clips comes first."""
