"""A released checkpoint of random bytes, and how tests fetch it: without waiting."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.file_server import Host
from tinkit.released.download import Patience
from tinkit.released.fetch import Fetched, fetch
from tinkit.released.table import Released

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MIB = round(len(CONTENT) / 2**20, 3)
IMPATIENT = Patience(tries=2, wait=0, timeout=5)


def row(host: Host | None = None, **fields: Any) -> Released:
    known = {
        "name": "small-tsm",
        "code_base": "tsm",
        "dataset": "none",
        "number": 1,
        "metric": "top1",
        "views": "1x1",
        "licence": "MIT",
        "file": "small.pth",
        "address": f"{host.address}/models/small.pth" if host else "http://127.0.0.1:9/small.pth",
    }
    return Released.model_validate(known | fields)


def get(one: Released, folder: Path, said: list[str] | None = None, **options: Any) -> Fetched:
    say = said.append if said is not None else lambda _: None
    return fetch(one, folder, say=say, patience=IMPATIENT, **options)


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "small-tsm").iterdir()}


WHOLE = {"small.pth", "small.pth.origin.json"}
