"""Faults under the writers of results: killed or failing at every call, damaged files, and two writers at once."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .calls import failing_at_each_call, forked, killed_before_each_call
from .outcome import Outcome
from .result_writers import Tree, Writer, prepare, submit, tree


def run(folder: Path, seed: int) -> Iterator[Outcome]:
    """Try every fault in ``folder``; what is drawn is drawn from ``seed``."""
    import sklearn.model_selection  # noqa: F401 - here, so that no forked process imports it

    with _silent():
        writers = prepare(folder / "prepared", seed)
        for number, writer in enumerate(writers):
            base = folder / str(number)
            base.mkdir()
            yield from kills(writer, base)
            for error, step in ((errno.ENOSPC, 2), (errno.EIO, 8), (errno.EDQUOT, 8)):
                yield from failures(writer, base, error, step=step)
            yield from full_disk(writer, base)
            yield in_use(writer, base)
            yield both_at_once(writer, base)
        yield from flips(writers[2].before, folder / "flips", seed)


def kills(writer: Writer, base: Path, *, step: int = 1) -> Iterator[Outcome]:
    """``writer`` killed before each call: what is there is old, new or refused, and the same command completes."""
    old, new = tree(writer.before), _result(writer, base)
    for case, folder in enumerate(killed_before_each_call(writer.before, base / "killed", writer.act, step=step)):
        state = {name: data for name, data in tree(folder).items() if not _is_hidden(name)}
        whole = state in (old, new) or (_is_consistent(folder) and _is_unfinished(folder))
        again = forked(folder, writer.act)
        survived = whole and again == 0 and tree(folder) == new
        note = "" if survived else f"{'whole' if whole else 'torn'}; the same command ended with {again}"
        yield Outcome(f"kill in {writer.name}", f"call {1 + step * case}", survived, note=note)
        shutil.rmtree(folder)


def failures(writer: Writer, base: Path, error: int, *, step: int = 1) -> Iterator[Outcome]:
    """One call of ``writer`` fails: the old result is whole and the exit code says so, or the new one is there."""
    old, new = tree(writer.before), _result(writer, base)
    place = base / f"failed-{error}"
    for case, (folder, code) in enumerate(failing_at_each_call(writer.before, place, writer.act, error, step=step)):
        state = {name: data for name, data in tree(folder).items() if not _is_hidden(name)}
        survived = state == new if code == 0 else code == 1 and state == old
        note = "" if survived else f"exit code {code}"
        yield Outcome(f"{errno.errorcode[error]} in {writer.name}", f"call {1 + step * case}", survived, note=note)
        shutil.rmtree(folder)


def full_disk(writer: Writer, base: Path) -> Iterator[Outcome]:
    """No file may grow beyond some bytes, whoever writes it: Python or Arrow."""
    old, new = tree(writer.before), _result(writer, base)
    for limit in (0, 1, 64, 200, 500, 1000, 1500, 2000, 3000):
        folder = base / f"full-{limit}"
        shutil.copytree(writer.before, folder)

        def act(folder: Path, limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            writer.act(folder)

        code = forked(folder, act)
        state = {name: data for name, data in tree(folder).items() if not _is_hidden(name)}
        survived = state == new if code == 0 else code == 1 and state == old
        yield Outcome(f"full disk in {writer.name}", f"after {limit} bytes", survived, note=f"exit code {code}")
        shutil.rmtree(folder)


def in_use(writer: Writer, base: Path) -> Outcome:
    """Another process holds the lock of the output: nothing is changed, and the holder is named."""
    from tinkit.files.locks import writing

    folder = base / "in-use"
    shutil.copytree(writer.before, folder)
    output = folder / writer.output
    missing = [path for path in (output, *output.parents) if not path.exists()]
    (output if "fusions" in writer.output else output.parent).mkdir(parents=True, exist_ok=True)
    old = tree(folder)
    said = base / "said"
    with writing(output):
        code = forked(folder, lambda folder: _with_errors_in(said, writer, folder))
    survived = code == 1 and tree(folder) == old and f"in use by process {os.getpid()} on host" in said.read_text()
    shutil.rmtree(folder)
    return Outcome("a second writer", writer.name, survived, note=f"{len(missing)} folders were made for it")


def both_at_once(writer: Writer, base: Path) -> Outcome:
    """Two processes do the same at once: one of them writes, and the other is refused or finds it there."""
    folder = base / "both"
    shutil.copytree(writer.before, folder)
    new = _result(writer, base)
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os._exit(forked(folder, writer.act))
        children.append(child)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    survived = codes in ([0, 0], [0, 1]) and tree(folder) == new
    shutil.rmtree(folder)
    return Outcome("two writers at once", writer.name, survived, note=f"exit codes {codes}")


def flips(fused: Path, base: Path, seed: int, *, count: int = 150) -> Iterator[Outcome]:
    """A score file, a fusion's score file and a manifest with one flipped bit, or cut short."""
    from tinkit.errors import UserError
    from tinkit.scores import verified_scores

    random = np.random.default_rng(seed)
    base.mkdir()
    path = base / "s.arrow"
    whole = (fused / "runs" / "a" / "scores" / "val-1x1-best.arrow").read_bytes()
    for name, bad in _damaged(whole, random, count):
        path.write_bytes(bad)
        try:
            verified_scores(path)
            survived = False
        except UserError as error:
            survived = error.file == str(path)
        yield Outcome("damage of a score file", name, survived)
    for name, bad in _damaged((fused / "fusions" / "f" / "test.arrow").read_bytes(), random, count // 5):
        folder = base / "fused"
        shutil.copytree(fused, folder)
        (folder / "fusions" / "f" / "test.arrow").write_bytes(bad)
        out = folder / "x.csv"
        code = forked(folder, lambda folder, out=out: submit(folder, out))  # type: ignore[misc]
        yield Outcome("damage of a fusion that is submitted", name, code == 1 and not out.exists())
        shutil.rmtree(folder)
    yield from _manifest_flips(base, random, count)


def _manifest_flips(base: Path, random: np.random.Generator, count: int) -> Iterator[Outcome]:
    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.manifest.manifest import open_manifest

    root = base / "data"
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "categories.txt").write_text("a\nb\nc\n")
    (root / "annotations" / "trainingSet.csv").write_text("".join(f"x/{i}.mp4,{i % 3}\n" for i in range(40)))
    config = DataConfig(dataset="mmit", root=root)
    file = open_manifest(config, "train").file
    whole = file.read_bytes()
    for name, bad in _damaged(whole, random, count):
        file.unlink()  # which may be mapped into memory
        file.write_bytes(bad)
        same = open_manifest(config, "train").ids == [f"x/{i}.mp4" for i in range(40)]
        yield Outcome("damage of a manifest", name, same and file.read_bytes() == whole)


def _damaged(whole: bytes, random: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    for bit in random.integers(0, 8 * len(whole), count).tolist():
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", bytes(flipped)
    for length in random.integers(0, len(whole), count // 3).tolist():
        yield f"cut at {length}", whole[:length]


def _result(writer: Writer, base: Path) -> Tree:
    """What the command makes where nothing goes wrong."""
    folder = base / "right"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(writer.before, folder)
    if code := forked(folder, writer.act):
        raise RuntimeError(f"{writer.name} ends with {code} where nothing is wrong")
    return tree(folder)


def _with_errors_in(file: Path, writer: Writer, folder: Path) -> None:
    with file.open("w") as handle:
        os.dup2(handle.fileno(), 2)
    writer.act(folder)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)


def _is_unfinished(folder: Path) -> bool:
    return any(folder.rglob(".*.unfinished"))


def _is_consistent(folder: Path) -> bool:
    """Whether whatever describes files describes those that are there, for one who knows nothing of journals."""
    import json

    from tinkit.files.hashes import is_file_of
    from tinkit.fusion.record import holds

    for head in [*folder.rglob("fusion.json"), *folder.rglob("manifest.json")]:
        if _is_hidden(str(head.relative_to(folder))):
            continue
        content = json.loads(head.read_bytes())
        if "file" in content and not is_file_of(head.parent / content["file"], content["sha256"]):
            return False
        outputs = content.get("outputs", {}).values()
        if not all(holds(head.parent / item["path"], item["digest"]) for item in outputs):
            return False
    return True


@contextmanager
def _silent() -> Iterator[None]:
    """What the commands say of their faults goes nowhere."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
