"""What decoding a JPEG will cost, read out of its headers: a file of many scans is decoded once a scan."""

from __future__ import annotations

import re

from tinkit.data.decode.clip_reader import BrokenClip
from tinkit.data.decode.settings import DecodeSettings

SCAN_SECONDS = 3e-9
"""Processor seconds a pixel and scan, on a slow machine."""

_SMALLEST_SCAN = 10  # bytes: the marker and the header of a scan of one component
_MANY_BYTES = 8  # a pixel: of a progressive JPEG's coefficients, in all colours, and of the image
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
_NEXT = re.compile(rb"\xff+[\x02-\xcf\xd8-\xfe]")  # what ends a scan's data: no stuffed byte, no restart


def check_cost(data: bytes | memoryview, width: int, height: int, decoding: DecodeSettings) -> None:
    """Raise :class:`~tinkit.data.decode.clip_reader.BrokenClip` if the JPEG in ``data`` takes more time or memory
    than may be.

    Nothing is read of a file that could not.
    """
    if is_cheap(len(data), width, height, decoding):
        return
    pixels = width * height
    scans, spread = count_scans(data)
    decoding.check_image_seconds(scans * pixels * SCAN_SECONDS, f"{width}x{height} pixels in {scans:,} scans")
    decoding.check_memory(width, height, _MANY_BYTES + 1 if spread else 3)


def is_cheap(length: int, width: int, height: int, decoding: DecodeSettings) -> bool:
    """Whether a JPEG of ``length`` bytes keeps to the limits however its bytes are used."""
    pixels = width * height
    return (
        length // _SMALLEST_SCAN * pixels * SCAN_SECONDS <= decoding.max_image_seconds
        and pixels * _MANY_BYTES <= decoding.max_frame_mb * 1e6
    )


def count_scans(data: bytes | memoryview) -> tuple[int, bool]:
    """How many times a decoder goes through the picture, and whether it must keep all coefficients to do so.

    One of one scan with all components needs no such thing, and what comes behind it is not looked at.
    """
    scans, components, position = 0, 0, 2
    spread = False
    while (marker := _NEXT.search(data, position)) is not None:
        code = data[marker.end() - 1]
        if code == 0xD9:
            break
        if code in _BARE:
            position = marker.end()
            continue
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        if code in _FRAMES:
            components = _byte(data, marker.end() + 7)
            spread = code not in (0xC0, 0xC1, 0xC9)
        elif code == 0xDA:
            scans += 1
            if _byte(data, marker.end() + 2) < components:
                spread = True
            if not spread:
                break
    return scans, spread


def _byte(data: bytes | memoryview, position: int) -> int:
    if position >= len(data):
        raise BrokenClip("a JPEG that is cut off in its header")
    return data[position]
