"""Files: written whole or not at all, with the user's own permissions; built-in names with the nearest known one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tinkit.errors import UsageError, UserError
from tinkit.files.atomic import atomic_path, write_atomic
from tinkit.files.cache import cache_folder
from tinkit.files.hashes import sha256_file
from tinkit.files.shipped import find_toml, shipped, shipped_names
from tinkit.files.system_errors import read_errors, write_errors


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_atomic(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


def test_permissions_follow_the_umask_whatever_the_writer_does(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a") as temporary:
            temporary.unlink()
            descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600)
            os.close(descriptor)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_names_longer_than_a_file_system_takes_are_shortened_aside(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    write_atomic(path, "x")
    assert path.read_text() == "x"


def test_hash_is_sha256(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "abc")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_built_in_names_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "demo" in shipped_names("submissions")
    assert find_toml("submissions", "demo") == shipped("submissions") / "demo.toml"
    own = tmp_path / "demo.toml"
    own.write_text("")
    assert find_toml("submissions", str(own)) == own
    monkeypatch.chdir(tmp_path)
    assert find_toml("submissions", "demo.toml") == Path("demo.toml")
    assert find_toml("submissions", "demo") == shipped("submissions") / "demo.toml"
    with pytest.raises(UsageError, match="did you mean 'demo'"):
        find_toml("submissions", "demmo")
    with pytest.raises(UsageError, match="no such file"):
        find_toml("submissions", "elsewhere/demo.toml")


def test_the_cache_is_where_the_user_says_or_the_system_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKIT_CACHE", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"
    monkeypatch.setenv("TINKIT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tinkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "tinkit"


def test_who_has_no_home_is_told_how_to_have_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("no home directory")

    for name in ("TINKIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UserError, match=r"no home directory\n  fix: set TINKIT_CACHE"):
        cache_folder()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_the_system_refuses_is_said_in_one_wording(tmp_path: Path, number: int) -> None:
    with pytest.raises(UserError) as caught, write_errors(tmp_path / "a", "name another: --out FILE"):
        raise OSError(number, os.strerror(number))
    full = number in (errno.ENOSPC, errno.EDQUOT)
    told = str(caught.value)
    assert ("the disk is full" if full else f"cannot be written: {os.strerror(number)}") in told
    assert f"{'make room' if full else 'make it writable'} or name another: --out FILE; what was there" in told
    wanted = r"a: cannot be read: .*\n.*expected: a list"
    with pytest.raises(UserError, match=wanted), read_errors(tmp_path / "a", "a list"):
        raise OSError(number, os.strerror(number))
    with pytest.raises(ValueError, match="of the block"), write_errors(tmp_path / "a"):
        raise ValueError("of the block")
