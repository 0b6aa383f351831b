"""A video of each kind that a decoder treats in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.helpers.video_files import write_video

# name: codec and what is special about it
VIDEOS: dict[str, dict[str, Any]] = {
    "one_group.mp4": {"codec": "libx264", "g": "250"},
    "groups.mp4": {"codec": "libx264", "g": "9", "bf": "3"},
    "open_groups.mp4": {"codec": "libx264", "g": "9", "x264-params": "open-gop=1:scenecut=0"},
    "no_keyframes.mp4": {"codec": "libx264", "g": "15", "x264-params": "intra-refresh=1"},
    "hevc.mp4": {"codec": "libx265", "g": "9", "x265-params": "log-level=none:open-gop=1"},
    "ten_bits.mp4": {"codec": "libx264", "pixels": "yuv420p10le", "g": "9"},
    "grey.mp4": {"codec": "libx264", "pixels": "gray", "g": "9"},
    "variable_rate.mp4": {"codec": "libx264", "g": "9", "times": [i * i + i for i in range(40)]},
    "one_frame.mp4": {"codec": "libx264", "count": 1},
    "two_pixels.mp4": {"codec": "libx264", "count": 5, "width": 2, "height": 2},
    "plain.avi": {"codec": "mpeg4", "g": "9"},
    "b_frames.avi": {"codec": "mpeg4", "g": "9", "bf": "2"},
    "h264.avi": {"codec": "libx264", "g": "9", "bf": "3"},  # libav makes up wrong presentation times
    "motion_jpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "count": 8},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "9", "deadline": "realtime", "cpu-used": "8"},
    "vp9_hidden.webm": {"codec": "libvpx-vp9", "lag-in-frames": "16", "auto-alt-ref": "1", "cpu-used": "5"},
    "vp8.webm": {"codec": "libvpx", "g": "9", "lag-in-frames": "16", "auto-alt-ref": "1"},
    "alpha.webm": {"codec": "libvpx-vp9", "pixels": "yuva420p", "count": 12, "cpu-used": "8"},
    "odd_sides.webm": {"codec": "libvpx-vp9", "width": 97, "height": 63, "g": "9", "cpu-used": "8"},
    "sixteen_bits.mkv": {"codec": "ffv1", "pixels": "gray16le", "width": 33, "height": 17},
    "full_chroma.mkv": {"codec": "ffv1", "pixels": "yuv444p10le", "width": 33, "height": 17},
    "palette.gif": {"codec": "gif", "pixels": "rgb8", "width": 33, "height": 17, "count": 8},
    "transport.ts": {"codec": "libx264", "g": "9"},
    "programme.mpg": {"codec": "mpeg2video", "g": "9", "bf": "2"},
    "no_times.h264": {"codec": "libx264", "g": "9"},
}


def write_kinds(folder: Path, *names: str) -> Path:
    """Those of :data:`VIDEOS` that are named, all without a name, as files in ``folder``."""
    for name in names or VIDEOS:
        write_video(folder / name, **VIDEOS[name])
    return folder
