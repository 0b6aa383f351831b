"""What makes data, killed before each of its calls to the system: synthetic challenges, optical flow, manifests.

The same command must complete what was begun, with the same files, and leave nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.faults.calls import killed_before_each_call
from benchmarks.faults.outcome import Outcome
from tinkit.data.config.dataset import DataConfig
from tinkit.data.flow.computed import FlowSettings
from tinkit.data.flow.folders import FlowFiles
from tinkit.data.flow.make import make_flow
from tinkit.data.manifest.manifest import open_manifest
from tinkit.data.synth import SynthSpec, synthesise
from tinkit.errors import UserError
from tinkit.files.locks import writing
from tinkit.spread.engine import Engine

STEP = 3  # calls between two kills, for writers of many files


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    for layout in ("mmit", "sthv1"):
        spec = SynthSpec(layout, clips=2, val=1, test=1, seed=seed, size=32, frames=8)

        def synth(base: Path, spec: SynthSpec = spec) -> None:
            synthesise(spec, base / "data", workers=0)

        yield from completed(f"tinkit synth {layout}", folder / layout, lambda base: None, synth)
    yield from completed("tinkit data flow", folder / "flow", with_data, flow)
    yield from completed("a manifest", folder / "manifest", with_data, manifest, step=1)
    yield in_use(folder / "lock", seed)


def completed(
    what: str, folder: Path, prepare: Callable[[Path], None], act: Callable[[Path], None], *, step: int = STEP
) -> Iterator[Outcome]:
    """Kill ``act`` at every ``step``-th call, do it again, and compare with what an unbroken one made."""
    before, whole = folder / "before", folder / "whole"
    for base in (before, whole):
        base.mkdir(parents=True)
        prepare(base)
    act(whole)
    wanted = contents(whole)
    for number, base in enumerate(killed_before_each_call(before, folder / "killed", act, step=step)):
        act(base)
        found = contents(base)
        unlike = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        yield Outcome(
            f"a kill in {what}, then the same again",
            f"call {1 + number * step}",
            not unlike,
            note=", ".join(unlike[:5]),
        )


def contents(base: Path) -> dict[str, str]:
    """The hash of every file, hidden ones too; manifests name their place, so of them the name alone counts."""
    files = [path for path in base.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(base)): "" if path.suffix == ".arrow" else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def with_data(base: Path) -> None:
    """A challenge of three clips, smooth enough for flow."""
    synthesise(SynthSpec("mmit", clips=3, val=1, test=1, seed=1, size=48, frames=8), base / "data", workers=0)


def config_of(base: Path) -> DataConfig:
    return DataConfig(dataset="mmit", root=str(base / "data"))


def manifest(base: Path) -> None:
    found = open_manifest(config_of(base), "train")
    assert len(found) == 3


def flow(base: Path) -> None:
    config = config_of(base)
    result = make_flow([open_manifest(config, "train")], FlowFiles.of(config), FlowSettings(), engine=Engine(0))
    assert not result.failed


def in_use(folder: Path, seed: int) -> Outcome:
    """A second process makes the same challenge: refused, and nothing changed."""
    spec = SynthSpec("mmit", clips=1, val=1, test=1, seed=seed, size=32, frames=8)
    synthesise(spec, folder / "data", workers=0)
    before = contents(folder)
    with writing(folder / "data"):
        try:
            synthesise(spec, folder / "data", workers=0)
        except UserError as error:
            said = error.problem
        else:
            said = ""
    same = contents(folder) == before
    return Outcome("a second writer at once", "tinkit synth", said.startswith("in use by process") and same, note=said)
