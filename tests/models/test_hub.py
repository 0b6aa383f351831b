"""Weights that cannot be fetched: one message of ours, and none of the libraries' for every try."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from huggingface_hub.utils.logging import get_verbosity  # which, when imported, sets the level that it tells

from tinkit.errors import UserError
from tinkit.models import VideoClassifier
from tinkit.models import video as models_video
from tinkit.models.hub import fetching


def test_a_network_that_is_away_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def tries(*_: object, **__: object) -> None:
        for talker in ("huggingface_hub.utils._http", "timm.models._hub", "urllib3.connectionpool"):
            logging.getLogger(talker).warning("Retrying in 1s [Retry 1/5].")
        raise OSError("the hub is away")

    monkeypatch.setattr(models_video, "_created", tries)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    level = get_verbosity()
    with pytest.raises(UserError, match="could not be fetched: the hub is away"):
        VideoClassifier("resnet18", "tsn", 5, 4, pretrained=True)
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "fetching the ImageNet weights of resnet18"
    ]
    assert get_verbosity() == level


def test_weights_that_are_here_are_not_announced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def found(hub: str, file: str) -> str:
        asked.append(hub)
        return f"/cache/{file}"

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", found)
    with fetching("resnet18"):
        pass
    assert asked == ["timm/resnet18.a1_in1k"]
    assert not caplog.records
