"""Foreign and damaged checkpoints, hostile pickles and headers; `convert` and `export` killed and out of space."""

from __future__ import annotations

import errno
import os
import pickle
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from benchmarks import file_faults, hostile_files, hostile_layouts
from benchmarks.faults.outcome import Outcome
from tinkit.engine.exchange import export as engine_export
from tinkit.engine.exchange.convert import convert
from tinkit.engine.exchange.export import export_run, read_metadata
from tinkit.engine.exchange.pretrained import LoadedWeights
from tinkit.engine.runs.checkpoint import (
    Progress,
    check_checkpoint,
    read_header,
    read_weights,
    resume_checkpoint,
    save_checkpoint,
)
from tinkit.engine.runs.run import Run, create_run
from tinkit.errors import UserError
from tinkit.files.locks import InUseError, writing
from tinkit.models import VideoClassifier, read_checkpoint
from tinkit.recipe import Recipe, load_recipe

ALLOWED = 400.0  # megabytes above an idle process
SMALL = [
    "clip.size=32", "test.crop=32", "test.scale=32", "clip.num_segments=4", "model.backbone=resnet18",
    "model.backbone_kwargs={layers = [1, 1, 1, 1], channels = [8, 8, 8, 8]}",
]  # fmt: skip


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Every case, each in ``folder``."""
    torch.set_num_threads(1)  # the threads of a forked process are gone
    yield from _pickles(folder, seed)
    yield from _headers(folder)
    yield from _writers(folder)


def _pickles(folder: Path, seed: int) -> Iterator[Outcome]:
    mark, file = folder / "executed", folder / "a.pth"
    for kind, packed in (("a file of torch.save", True), ("a bare pickle", False)):
        for case, data in hostile_files.running_pickles(mark):
            file.write_bytes(hostile_files.member(data) if packed else data)
            yield _read(f"{kind} that would run something", case, file, mark)
    idle = _forked(lambda: None).megabytes or 0.0
    heavy = ((case, hostile_files.member(data)) for case, data in hostile_files.heavy_pickles())
    for kind, cases in (("a heavy pickle", heavy), ("a hostile archive", hostile_files.hostile_archives(mark))):
        for case, data in cases:
            file.write_bytes(data)
            found = _forked(lambda: read_checkpoint(file))
            more = max(0.0, (found.megabytes or 0.0) - idle)
            good = found.survived and more < ALLOWED and not mark.exists()
            yield Outcome(kind, case, good, found.seconds, more)
    yield from _changed(folder, seed)


def _changed(folder: Path, seed: int) -> Iterator[Outcome]:
    """Drawn changes: a byte of a whole file, and bytes of a pickle whose file is right."""
    draw, file = random.Random(seed), folder / "a.pth"
    torch.save({"state_dict": hostile_files.WEIGHTS, "args": {"lr": 0.1}}, file)
    whole = file.read_bytes()
    inner = pickle.dumps({"state_dict": {"a": [1, "x", (2.0, None)]}, "more": {"k": b"b"}}, 2)
    for number in range(400):
        data = bytearray(whole if number % 2 else inner)
        for _ in range(1 if number % 2 else draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        file.write_bytes(bytes(data) if number % 2 else hostile_files.member(bytes(data)))
        kind = "a changed byte of a file" if number % 2 else "changed bytes of a pickle"
        try:
            state = read_checkpoint(file)
            same = all(torch.equal(state[name], value) for name, value in hostile_files.WEIGHTS.items())
            yield Outcome(kind, f"draw {number}", same, note="" if same else "other weights, and nothing was said")
        except UserError:
            yield Outcome(kind, f"draw {number}", True)
        except Exception as error:  # the verdict: nothing else may come out
            yield Outcome(kind, f"draw {number}", False, note=repr(error)[:120])


def _headers(folder: Path) -> Iterator[Outcome]:
    file = folder / "a.safetensors"
    good = save(hostile_files.WEIGHTS, {"format": "pt"})
    for case, change in hostile_layouts.crafted_layouts():
        file.write_bytes(hostile_layouts.relaid(good, change, seal=False))
        yield _read("a crafted safetensors file", case, file)
    model, optimizer = _trained()
    info = {"classes": ["a", "b"], "task": "multi-label", "trained_on": ["train"], "recipe": {}, "clips": {"count": 3}}
    save_checkpoint(file, model, Progress(metrics={"x": 0.5}), info, optimizer)
    good = file.read_bytes()
    for case, change in hostile_layouts.crafted_layouts():
        file.write_bytes(hostile_layouts.relaid(good, change, seal=True))
        yield _all_ways("a crafted checkpoint with right checksums", case, file)
    for case, inner in hostile_layouts.crafted_headers():
        file.write_bytes(hostile_layouts.with_header(good, inner))
        yield _all_ways("a crafted header with right checksums", case, file)
    file.unlink()


def _trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def _read(kind: str, case: str, file: Path, mark: Path | None = None) -> Outcome:
    try:
        read_checkpoint(file)
    except UserError as error:
        ran = mark is not None and mark.exists()
        return Outcome(kind, case, str(file) in str(error) and not ran, note="it ran" if ran else "")
    except Exception as error:  # the verdict: nothing else may come out
        return Outcome(kind, case, False, note=repr(error)[:120])
    return Outcome(kind, case, False, note="read without a word")


def _all_ways(kind: str, case: str, file: Path) -> Outcome:
    """Read in every way that there is: some must refuse it, and none may fail otherwise."""
    model, optimizer = _trained()
    refused = 0
    for read in (
        lambda: read_header(file)["info"]["classes"],
        lambda: check_checkpoint(file),
        lambda: read_weights(file),
        lambda: resume_checkpoint(file, model, optimizer),
    ):
        try:
            read()
        except UserError:
            refused += 1
        except Exception as error:  # the verdict: nothing else may come out
            return Outcome(kind, case, False, note=repr(error)[:120])
    return Outcome(kind, case, refused > 0, note="" if refused else "read without a word")


def _forked(act: Callable[[], Any]) -> Outcome:
    """What a process of its own needs to refuse something: survived unless it ended otherwise."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            act()
        except UserError:
            os._exit(0)
        except BaseException as error:  # the verdict of the proof
            print(repr(error)[:200], flush=True)
            os._exit(3)
        os._exit(4)
    _, status, usage = os.wait4(child, 0)
    return Outcome("", "", status == 0, time.monotonic() - began, _megabytes(usage))


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def _writers(folder: Path) -> Iterator[Outcome]:
    recipe = load_recipe("demo_tsn", SMALL).recipe
    made = _made_run(folder, recipe)
    source = LoadedWeights(made.checkpoint("best"), read_weights(made.checkpoint("best"))[0], ("a", "b"))

    def converting(suffix: str) -> Callable[[Path], Any]:
        return lambda at: convert(source, recipe, at / "out" / f"a{suffix}")

    def converted(at: Path, suffix: str) -> bool:
        out = at / "out" / f"a{suffix}"
        names = sorted(path.name for path in out.parent.iterdir())
        found = read_checkpoint(out)
        whole = found.keys() == source.state.keys()
        return whole and names == [f"a{suffix}", f"a{suffix}.json"] and _equal(found, source.state)

    for suffix in (".safetensors", ".pth"):
        kept = {f"a{suffix}.json"}
        yield from _matrix(f"convert to {suffix}", folder, converting(suffix), lambda at: converted(at, suffix), kept)  # noqa: B023
    trace, difference = torch.export.export, engine_export._difference
    program: dict[str, Any] = {}

    def once(*arguments: Any, **options: Any) -> Any:
        if not program:
            program["made"] = trace(*arguments, **options)
        return program["made"]

    # traced once and not compared: what is tried is what it does with files
    torch.export.export, engine_export._difference = once, lambda *_: 0.0  # type: ignore[assignment]
    try:
        yield from _matrix(
            "export to torch",
            folder,
            lambda at: export_run(made, "best", "torch", out=at / "out" / "a.pt2"),
            lambda at: (
                [path.name for path in (at / "out").iterdir()] == ["a.pt2"]
                and read_metadata(at / "out" / "a.pt2")["run"] == made.name
            ),
            set(),
        )
    finally:
        torch.export.export, engine_export._difference = trace, difference


def _equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(found[name], value) for name, value in wanted.items())


def _made_run(folder: Path, recipe: Recipe) -> Run:
    made = create_run("x", recipe, folder / "runs")
    model = VideoClassifier(
        recipe.model.backbone, "tsn", 2, 4, backbone_kwargs=recipe.model.backbone_kwargs, classifier_std=1.0
    )
    info = {"classes": ["a", "b"], "task": "multi-label", "trained_on": ["train"]}
    save_checkpoint(made.checkpoint("best"), model, Progress(), info)
    return made


def _matrix(
    what: str, folder: Path, act: Callable[[Path], Any], is_right: Callable[[Path], bool], may_stay: set[str]
) -> Iterator[Outcome]:
    """Killed at every call; out of space at every call; while another process writes there."""
    base = folder / what.replace(" ", "-")
    before = base / "before"
    before.mkdir(parents=True)
    act(base / "warm")
    for kind, error in (("killed in", None), ("no space left in", errno.ENOSPC)):
        ends: Counter[int] = Counter()
        for number, (at, code) in enumerate(file_faults.cases(before, base / kind.split()[0], act, error), 1):
            ends[code] += 1
            left = {path.name for path in at.glob("out/*")}
            clean = error is None or code == 0 or left <= may_stay
            act(at)
            good = is_right(at) and clean and code in (0, 1, 2, file_faults.KILLED)
            note = "" if good else f"exit code {code}, left {sorted(left)}"
            yield Outcome(f"{kind} {what}", f"call {number}", good, note=note)
    at = base / "turn"
    (at / "out").mkdir(parents=True)
    name = next(path.name for path in (base / "warm" / "out").iterdir() if path.suffix != ".json")
    with writing(at / "out" / name):
        try:
            act(at)
            refused = False
        except InUseError:
            refused = True
    yield Outcome("two at once", what, refused and {path.name for path in (at / "out").iterdir()} == set())
