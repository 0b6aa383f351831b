"""Released checkpoints from folders and addresses that mirror them, and files that were put in place by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.helpers.file_server import Host, serving
from tests.helpers.released_files import CONTENT, MIB, SHA256, WHOLE, files, get, row
from tinkit.errors import UsageError, UserError
from tinkit.released.fetch import UNKNOWN


def test_mirrors_of_every_kind(tmp_path: Path) -> None:
    folder = tmp_path / "a mirror"
    folder.mkdir()
    (folder / "small.pth").write_bytes(CONTENT)
    for number, mirror in enumerate((str(folder), folder.as_uri(), str(folder / "small.pth"))):
        got = get(row(sha256=SHA256, mib=MIB), tmp_path / str(number), mirror=mirror)
        assert got.file.read_bytes() == CONTENT
        origin = json.loads(got.file.with_name("small.pth.origin.json").read_text())
        assert origin["source"] == str(folder / "small.pth")
        assert origin["address"] == row().address
    with serving(Host(CONTENT)) as host:
        assert get(row(), tmp_path / "http", mirror=f"{host.address}/mine/").sha256 == SHA256
        assert host.asked[0][0] == "/mine/small.pth"
    assert (folder / "small.pth").read_bytes() == CONTENT


def test_mirrors_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        get(row(), tmp_path, mirror=str(tmp_path / "nowhere"))
    for mirror in ("ftp://host/dir", "s3://bucket", "file://elsewhere/dir", "http://host:port/"):
        with pytest.raises(UsageError, match="--mirror"):
            get(row(), tmp_path, mirror=mirror)
    os.mkfifo(tmp_path / "small.pth")
    with pytest.raises(UserError, match="no such file"):
        get(row(), tmp_path, mirror=str(tmp_path))
    (tmp_path / "m").mkdir()
    (tmp_path / "m/small.pth").write_bytes(CONTENT)
    with pytest.raises(UserError, match="expected: 9"):
        get(row(mib=9), tmp_path, mirror=str(tmp_path / "m"))


def test_a_file_put_there_by_hand_is_verified_and_taken(tmp_path: Path) -> None:
    """As Google Drive, which answers a program with a page, asks for."""
    place = tmp_path / "small-tsm"
    place.mkdir()
    (place / "small.pth").write_bytes(CONTENT)
    got = get(row(), tmp_path)
    assert (got.before, got.verified) == (True, UNKNOWN)
    assert files(tmp_path) == WHOLE
    (place / "small.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="recorded on"):
        get(row(), tmp_path)
    assert (place / "small.pth").exists(), "what the user put there stays"
    (place / "small.pth.origin.json").write_text("{}")
    with pytest.raises(UserError, match="does not hold a SHA-256"):
        get(row(), tmp_path)


def test_a_folder_or_a_link_in_its_place_is_left(tmp_path: Path) -> None:
    (tmp_path / "small-tsm").mkdir()
    (tmp_path / "small-tsm/small.pth").symlink_to("/dev/null")
    with pytest.raises(UserError, match="is a link"):
        get(row(), tmp_path, force=True)
