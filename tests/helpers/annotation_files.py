"""What is read of an annotation file, and the message if it is refused."""

from __future__ import annotations

import pytest

from tinkit.data.annotations.annotation import read_annotation
from tinkit.data.config.dataset import DataConfig
from tinkit.errors import UserError


def read(config: DataConfig, split: str = "train") -> list[tuple]:
    assert config.root is not None
    annotation = read_annotation(config, config.root, split)  # type: ignore[arg-type]
    rows = annotation.rows
    return list(zip(rows.ids.to_pylist(), rows.paths.to_pylist(), annotation.labels.to_pylist(), strict=True))


def sources(config: DataConfig) -> list[str]:
    assert config.root is not None
    found = read_annotation(config, config.root, "train").rows.source
    assert found is not None
    return found.to_pylist()


def refused(config: DataConfig, split: str = "train") -> str:
    with pytest.raises(UserError) as caught:
        read(config, split)
    return str(caught.value)
