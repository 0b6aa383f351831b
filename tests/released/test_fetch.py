"""Released checkpoints from hosts that break off, cannot resume, lie and lead elsewhere."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.file_server import Host, serving
from tests.helpers.released_files import CONTENT, IMPATIENT, MIB, SHA256, WHOLE, files, get, row
from tinkit.errors import UsageError, UserError
from tinkit.files.locks import InUseError
from tinkit.released import download as downloading
from tinkit.released.fetch import UNKNOWN, fetch


def test_a_file_is_fetched_recorded_and_compared_the_next_time(tmp_path: Path) -> None:
    with serving(Host(CONTENT)) as host:
        first = get(row(host), tmp_path)
        assert (first.file.read_bytes(), first.sha256, first.verified, first.before) == (
            CONTENT,
            SHA256,
            UNKNOWN,
            False,
        )
        assert files(tmp_path) == WHOLE
        origin = json.loads((tmp_path / "small-tsm/small.pth.origin.json").read_text())
        assert (origin["sha256"], origin["bytes"], origin["licence"]) == (SHA256, len(CONTENT), "MIT")
        assert origin["source"] == origin["address"] == f"{host.address}/models/small.pth"
        again = get(row(host), tmp_path)
        assert again.before
        assert again.verified.startswith("the SHA-256 recorded on 2")
        assert len(host.asked) == 1
        host.content = CONTENT[:-1] + b"?"
        with pytest.raises(UserError, match="not the SHA-256 recorded on") as caught:
            get(row(host), tmp_path, force=True)
        assert "small.pth.origin.json" in str(caught.value)
        assert first.file.read_bytes() == CONTENT, "what was there is kept"
        first.file.unlink()
        with pytest.raises(UserError, match="not the SHA-256 recorded on"):
            get(row(host), tmp_path)
        assert files(tmp_path) == {"small.pth.origin.json"}


@pytest.mark.parametrize("tag", ['"one"', 'W/"weak"', ""])
def test_what_breaks_off_is_continued_within_a_call(tag: str, tmp_path: Path) -> None:
    said: list[str] = []
    with serving(Host(CONTENT, cuts=[1_000_000, 700_001], tag=tag)) as host:
        got = get(row(host, sha256=SHA256), tmp_path, said)
    assert got.file.read_bytes() == CONTENT
    assert [asked for _, asked in host.asked] == ["", "bytes=1000000-", "bytes=1700001-"]
    assert sum("trying again" in line for line in said) == 2
    assert got.verified == "the SHA-256 of the table"


def test_what_breaks_off_is_continued_by_the_next_call(tmp_path: Path) -> None:
    with serving(Host(CONTENT, cuts=[1_000_000, 0, 0, 0])) as host:
        with pytest.raises(UserError, match=r"1\.0 MiB are here"):
            get(row(host), tmp_path)
        assert ".small.pth.part" in files(tmp_path)
        assert get(row(host), tmp_path).sha256 == SHA256
        assert host.asked[-1][1] == "bytes=1000000-"
    assert files(tmp_path) == WHOLE


def test_another_version_is_begun_anew(tmp_path: Path) -> None:
    said: list[str] = []
    with serving(Host(bytes(len(CONTENT)), cuts=[1_000_000, 0, 0, 0], tag='"old"')) as host:
        with pytest.raises(UserError, match="are here"):
            get(row(host), tmp_path)
        host.content, host.tag, host.cuts = CONTENT, '"new"', []
        assert get(row(host), tmp_path, said).sha256 == SHA256
    assert any("begun anew" in line for line in said)


def test_without_a_version_or_a_hash_nothing_is_continued(tmp_path: Path) -> None:
    """The parts of two versions would become one file, and nobody would know."""
    with serving(Host(CONTENT, cuts=[1_000_000], tag="")) as host:
        assert get(row(host), tmp_path).sha256 == SHA256
    assert [asked for _, asked in host.asked] == ["", ""]


def test_a_host_without_ranges_begins_anew_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    with serving(Host(CONTENT, ranges=False, cuts=[2_000_000])) as host:
        assert get(row(host), tmp_path, said).file.read_bytes() == CONTENT
    assert any("cannot continue" in line for line in said)


def test_a_part_that_is_the_whole_is_taken(tmp_path: Path) -> None:
    """As after a kill between the last byte and the new name."""
    with serving(Host(CONTENT, cuts=[2_999_999, 0, 0, 0])) as host:
        with pytest.raises(UserError):
            get(row(host), tmp_path)
        with (tmp_path / "small-tsm/.small.pth.part").open("ab") as part:
            part.write(CONTENT[-1:])
        host.cuts = []
        assert get(row(host), tmp_path).sha256 == SHA256
        assert host.asked[-1][1] == "bytes=3000000-"


def test_a_part_longer_than_the_file_is_dropped(tmp_path: Path) -> None:
    with serving(Host(CONTENT, cuts=[2_999_999, 0, 0, 0])) as host:
        with pytest.raises(UserError):
            get(row(host), tmp_path)
        with (tmp_path / "small-tsm/.small.pth.part").open("ab") as part:
            part.write(bytes(99))
        host.cuts = []
        assert get(row(host), tmp_path).sha256 == SHA256


def test_a_busy_host_is_asked_again(tmp_path: Path) -> None:
    with serving(Host(CONTENT, busy=1)) as host:
        assert get(row(host), tmp_path).sha256 == SHA256
        host.busy = 99
        with pytest.raises(UserError, match="503"):
            get(row(host), tmp_path / "other")


@pytest.mark.parametrize(
    ("host", "fields", "said"),
    [
        (Host(CONTENT, status=404), {}, "has no such file"),
        (Host(CONTENT, status=403), {}, "does not give the file"),
        (Host(b"<!DOCTYPE html><p>too many downloads", kind="text/html"), {}, "a page of the web"),
        (Host(b"\n <html>sign in"), {}, "a page of the web"),
        (Host(b""), {}, "is empty"),
        (Host(CONTENT), {"sha256": "0" * 64}, "not the SHA-256 of the table"),
        (Host(CONTENT), {"code_base": "mmaction2", "file": "small-0123abcd.pth"}, "not the eight digits of its name"),
        (Host(CONTENT), {"mib": MIB + 0.01}, r"2\.861 MiB"),
        (Host(CONTENT, stated=4_000_000), {}, "1000000 bytes before the end"),
    ],
)
def test_what_is_not_the_file_is_refused(host: Host, fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    with serving(host), pytest.raises(UserError, match=said) as caught:
        get(row(host, **fields), tmp_path)
    assert caught.value.exit_code == 1
    assert ("save the file as" in str(caught.value)) == ("a page" in said)
    assert not any(name.endswith((".pth", ".origin.json")) and name[0] != "." for name in files(tmp_path))


def test_what_is_known_is_verified(tmp_path: Path) -> None:
    with serving(Host(CONTENT)) as host:
        for code_base in ("mmaction2", "torchvision"):
            one = row(host, code_base=code_base, file=f"small-{SHA256[:8]}.pth", mib=MIB)
            assert get(one, tmp_path / code_base).verified == "the eight digits of its name"
        assert get(row(host), tmp_path / "a", sha256=SHA256.upper()).verified == "the SHA-256 of --sha256"
        with pytest.raises(UserError, match="not the SHA-256 of --sha256"):
            get(row(host), tmp_path / "b", sha256="1" * 64)
    with pytest.raises(UsageError, match="--sha256"):
        get(row(), tmp_path / "c", sha256="12")
    # a name of a code base that puts no digits into it
    assert row(file="small-0123abcd.pth").digits == ""


def test_redirections_are_followed_and_recorded(tmp_path: Path) -> None:
    with serving(Host(CONTENT, cuts=[1_000_000])) as host:
        host.leads_to = f"{host.address}/elsewhere?key=1"
        get(row(host), tmp_path)
        origin = json.loads((tmp_path / "small-tsm/small.pth.origin.json").read_text())
        assert origin["source"] == host.leads_to
        assert host.asked[-1] == ("/elsewhere?key=1", "bytes=1000000-")


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/again"])
def test_a_redirection_to_no_host_or_without_end_is_refused(place: str, tmp_path: Path) -> None:
    with serving(Host(CONTENT, leads_to=place, loops=place == "/again")) as host, pytest.raises(UserError):
        get(row(host), tmp_path)
    assert files(tmp_path) == set()


def test_no_host_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0\.0 MiB are here") as caught:
        get(row(), tmp_path)
    assert "--mirror" in str(caught.value)


@pytest.mark.parametrize("where", ["room", "write"])
def test_a_full_disk(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Host(CONTENT)) as host:
        if where == "room":
            usage = type("Usage", (), {"free": 1 << 20})
            monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage)
        else:
            written = 0

            def write(out: Any, chunk: bytes, part: Path) -> None:
                nonlocal written
                written += out.write(chunk)
                if written > 1_000_000:
                    raise downloading.cannot_be_written(part, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

            monkeypatch.setattr(downloading, "_write", write)
        with pytest.raises(UserError, match="the disk"):
            get(row(host), tmp_path)
        monkeypatch.undo()
        assert get(row(host), tmp_path).sha256 == SHA256
        assert files(tmp_path) == WHOLE


def _hold(address: str, folder: str) -> None:
    one = row(address=f"{address}/small.pth")
    fetch(one, Path(folder), patience=IMPATIENT)


def test_a_second_process_is_refused_while_the_first_downloads(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(Host(CONTENT, hold=gate)) as host:
        child = multiprocessing.get_context("fork").Process(target=_hold, args=(host.address, str(tmp_path)))
        child.start()
        while not (tmp_path / "small-tsm/.small.pth.part").exists():
            assert child.is_alive()
        with pytest.raises(InUseError, match=f"process {child.pid}"):
            get(row(host), tmp_path)
        gate.set()
        child.join(20)
        assert child.exitcode == 0
        assert get(row(host), tmp_path).before
