"""The kernel cache runs nobody else's code, and waits for nothing in it: what cannot be trusted is said, and built."""

from __future__ import annotations

import copy
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.native_children import Told, Workshop
from tests.helpers.processes import running
from tinkit.native import cache, compiler
from tinkit.native.cache import KernelError
from tinkit.native.trusted import TrustedFolder, UntrustedError

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="native kernels are built on POSIX systems"),
    pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler here"),
]
STRANGER = 54321


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    shop = Workshop(tmp_path)
    shop.compiler()
    return shop


@pytest.fixture(scope="module")
def first_filled(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A cache in which a library lies that says "foreign", under the name of the one that would say "one"."""
    shop = Workshop(tmp_path_factory.mktemp("filled") / "shop")
    shop.compiler()
    shop.answers("foreign")
    shop.load()
    (foreign,) = shop.kept()
    data, ending = foreign.read_bytes(), foreign.stem.rpartition("-")[2]
    foreign.unlink()
    shop.answers("one")
    shop.load()
    (good,) = shop.kept()
    good.rename(shop.folder / "good")
    (good.parent / f"{good.stem.rpartition('-')[0]}-{ending}.so").write_bytes(data)
    shop.compiled()
    assert shop.load().answer == "foreign"  # so what follows is no accident
    assert shop.compiled() == 0
    shutil.copytree(shop.folder, shop.folder.with_name("as made"))
    return shop


@pytest.fixture
def filled(first_filled: Workshop) -> Workshop:
    """The same again, in the same place, of which the names of libraries speak."""
    shop = copy.copy(first_filled)
    shutil.rmtree(shop.folder)
    shutil.copytree(shop.folder.with_name("as made"), shop.folder)
    return shop


def give_away(path: Path) -> None:
    try:
        os.chown(path, STRANGER, -1, follow_symlinks=False)
    except OSError:
        pytest.skip("only root can give a file away")


def linked(path: Path) -> Path:
    """Move what is there elsewhere and put a link in its place."""
    other = path.with_name(f"{path.name}.elsewhere")
    path.rename(other)
    path.symlink_to(other)
    return other


FILE_FAULTS: dict[str, Callable[[Path], object]] = {
    "another's": give_away,
    "a link": linked,
    "a link to another's": lambda file: give_away(linked(file)),
    "a second name": lambda file: os.link(file, file.with_name("other")),
    "writable by the group": lambda file: file.chmod(0o664),
    "writable by all": lambda file: file.chmod(0o646),
    "a FIFO": lambda file: (file.unlink(), os.mkfifo(file)),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a socket": lambda file: (file.unlink(), os.mknod(file, stat.S_IFSOCK | 0o600)),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_file_that_others_could_have_put_is_not_run(filled: Workshop, fault: str) -> None:
    (file,) = filled.kept()
    FILE_FAULTS[fault](file)
    told = filled.load()
    assert told.answer == "one"
    assert filled.compiled() == 1
    assert len(told.warnings) == 1
    assert f"compiled kernels are not taken from {file.parent}" in told.warnings[0]
    assert str(file) in told.warnings[0]
    again = filled.load()
    assert again.answer == "one"
    assert again.warnings == [] or fault == "a folder"
    assert filled.compiled() == 0


FOLDER_FAULTS: dict[str, Callable[[Path], object]] = {
    "another's": give_away,
    "writable by the group": lambda folder: folder.chmod(0o775),
    "writable by all": lambda folder: folder.chmod(0o757),
    "sticky": lambda folder: folder.chmod(0o1777),
    "another's link": lambda folder: (linked(folder), give_away(folder)),
}


@pytest.mark.parametrize("place", ["kernels", "cache", "above"])
@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_nothing_is_run_from_a_folder_that_others_can_write(filled: Workshop, fault: str, place: str) -> None:
    above = filled.folder / "above"
    above.mkdir()
    filled.cache.rename(above / "cache")
    filled.cache = above / "cache"
    folder = {"kernels": filled.cache / "kernels", "cache": filled.cache, "above": above}[place]
    FOLDER_FAULTS[fault](folder)
    told = filled.load()
    if fault == "sticky" and place != "kernels" and os.geteuid() == 0:  # as /tmp is
        assert (told.answer, told.warnings) == ("foreign", [])
        return
    assert told.answer == "one"
    assert told.state.file is None
    assert filled.compiled() == 1
    assert len(told.warnings) == 1
    assert "every process compiles them again" in told.warnings[0]
    assert "TINKIT_CACHE" in told.warnings[0]
    assert len(filled.kept()) == 1  # and nothing is written there


def test_a_link_of_ones_own_to_the_cache_is_followed(filled: Workshop) -> None:
    linked(filled.cache)
    assert (filled.load().answer, filled.compiled()) == ("foreign", 0)


@pytest.mark.parametrize("suffix", [".log", ".lock"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "FIFO"])
def test_notes_and_locks_are_neither_followed_nor_waited_for(shop: Workshop, suffix: str, kind: str) -> None:
    shop.load()
    (file,) = shop.kept()
    note, victim = file.with_name(f"{file.stem.rpartition('-')[0]}{suffix}"), shop.folder / "victim"
    file.unlink()
    note.unlink(missing_ok=True)
    if kind == "link":
        victim.write_text("precious")
    note.symlink_to(victim) if "link" in kind else os.mkfifo(note)
    shop.compiled()
    if suffix == ".log":
        shop.compiler("echo 'error: of the test'; exit 1")
    told = shop.load()
    assert told.answer == (None if suffix == ".log" else "one")
    assert shop.compiled() == 1
    assert victim.read_text() == "precious" if kind == "link" else not victim.exists()


def test_what_is_made_is_for_its_owner_to_write_whatever_the_umask(shop: Workshop) -> None:
    before = os.umask(0)
    try:
        assert shop.load().warnings == []
    finally:
        os.umask(before)
    for path in (shop.cache, shop.cache / "kernels", *(shop.cache / "kernels").iterdir()):
        assert not path.stat().st_mode & 0o022, path
    assert shop.load().warnings == []
    shop.compiled()
    assert shop.load().state.file == shop.kept()[0]


def test_a_missing_folder_is_no_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TrustedFolder(tmp_path / "nowhere")
    folder = TrustedFolder(tmp_path / "a" / "b", make=True)
    folder.write("x", b"data")
    assert (folder.read("x"), folder.names()) == (b"data", ["x"])
    (tmp_path / "a" / "b" / "y").symlink_to("x")
    with pytest.raises(UntrustedError, match="is a link"):
        folder.read("y")


def given_up(told: Told) -> bool:
    return any("did not finish in 2 s and was given up" in line for line in told.warnings)


def test_a_slow_compiler_is_said_with_its_limit_and_given_up(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiler, "NOTICE", 0.2)
    monkeypatch.setattr("tinkit.ops.native._LIMIT", 2.0)
    pids = tmp_path / "pids"
    shop.compiler(f"sh -c 'echo $$ >>{pids}; sleep 600' & echo $$ >>{pids}; wait")
    told = shop.load()
    assert not told.state.loaded
    assert any("has run for 0.2 s; it is given up after 2 s" in line for line in told.warnings)
    assert given_up(told)
    found = [int(word) for word in pids.read_text().split()]
    deadline = time.monotonic() + 10
    while [pid for pid in found if running(pid)] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(found) == 2
    assert not [pid for pid in found if running(pid)]


def test_who_waits_for_anothers_compiler_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_NOTICE", 0.1)
    monkeypatch.setattr(cache, "_PATIENCE", 0.5)
    cache.say_once.cache_clear()
    folder = TrustedFolder(tmp_path / "kernels", make=True)
    with cache._turn(folder, "key"):
        assert cache.keep("key", ".bin", lambda: b"made").data == b"made"
    assert "another process compiles the kernels" in caplog.text
    assert cache.keep("key", ".bin", lambda: b"other").data == b"made"


def test_a_compiler_that_fails_is_told(shop: Workshop) -> None:
    with pytest.raises(KernelError, match="sh failed: exit code 3"):
        compiler.run_compiler(["sh", "-c", "exit 3"], limit=60)
    assert compiler.run_compiler(["sh", "-c", "echo well"], limit=60) == "well\n"
