"""Faults of the program, of the machine and of libav while a clip is read: which of them are the clip's."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.helpers.video_files import decode_all, write_images, write_video
from tinkit.data.decode import containers, libav, video
from tinkit.data.decode import image_file as images
from tinkit.data.decode.clip_reader import is_shortage
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings

FAULTS = (TypeError("ours"), AttributeError("ours"), MemoryError("ours"), OSError(errno.EMFILE, "too many open files"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_faults_of_the_program_and_the_machine_are_no_broken_clips(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = write_images(tmp_path / "clip", 2), write_video(tmp_path / "a.mp4", count=4)

    def fail(*_: object, **__: object) -> None:
        raise fault

    places: list[tuple[object, str, Callable[[], object]]] = [
        (libav.av, "open", lambda: open_clip(path, "video")),
        (containers, "measure", lambda: open_clip(path, "video")),
        (video.VideoReader, "_pixels", lambda: open_clip(path, "video").read([1])),
        (images.simplejpeg, "decode_jpeg", lambda: open_clip(folder, "frames").read([1])),
        (images.Image, "open", lambda: images._read_with_pillow(b"", "RGB", DecodeSettings())),
    ]
    for owner, name, act in places:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            with pytest.raises(type(fault)) as caught:
                act()
            assert caught.value is fault, name


def test_memory_that_a_file_asks_for_in_vain_is_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Any = av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")
    assert not is_shortage(asked)

    def none_left(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", none_left)
    assert is_shortage(asked)


def test_pyav_is_asked_for_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 19 ``av.open`` takes ``metadata_errors``, and its containers have it; later neither."""
    assert bool(libav._OPTIONS) == hasattr(av.container.Container, "metadata_errors")
    given: list[dict[str, Any]] = []
    whole = av.open
    monkeypatch.setattr(libav.av, "open", lambda *a, **k: (given.append(k), whole(*a, **k))[1])
    path = write_video(tmp_path / "a.mp4", count=3)
    monkeypatch.setattr(libav, "_OPTIONS", {})  # as it is with 19
    with open_clip(path, "video") as clip:
        assert len(clip.read([0, 2])) == 2
    assert "metadata_errors" not in given[0]


def test_streams_that_appear_on_the_way_do_not_end_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.ts", count=6)
    truth = decode_all(path)
    whole = libav.VideoFile._open

    class Demuxing:
        """A container of which PyAV looks up too many streams, behind the last packet."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def demux(self, stream: Any) -> Any:
            yield from (packet for packet in self._inner.demux(stream) if packet.size)
            raise IndexError("list index out of range")

    def opened(file: Any, *, probe: bool) -> None:
        whole(file, probe=probe)
        file.container = Demuxing(file.container)

    monkeypatch.setattr(libav.VideoFile, "_open", opened)
    with open_clip(path, "video") as clip:
        assert np.array_equal(clip.read([5])[0], truth[5])
