"""The folder of packed clips: whose it is, and how its clips were packed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.index import PackSettings
from tinkit.files.claims import claim_folder

STATE = ".tinkit-packed.json"
"""In the folder of packed clips: how they were packed, so that one folder never mixes two ways."""


@dataclass(frozen=True)
class PackTo:
    """Where a split's shards go, under which name, how large they may become, and how frames are encoded."""

    folder: Path
    name: str
    shard_bytes: int
    settings: PackSettings = field(default_factory=PackSettings)

    @property
    def index(self) -> Path:
        """The index of the split."""
        return self.folder / f"{self.name}.arrow"

    @property
    def work(self) -> Path:
        """Where parts lie until they are shards."""
        return self.folder / f".{self.name}.work"


def claim(folder: Path, settings: PackSettings, manifest: Manifest) -> None:
    """Write down how the clips in ``folder`` are packed, or refuse if they were packed otherwise."""
    wanted = {"dataset": manifest.dataset, "version": manifest.version, **settings.model_dump()}
    claim_folder(folder / STATE, wanted, what="set of frames", command="tinkit data frames", key="--out")
