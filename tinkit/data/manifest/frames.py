"""The frames of a manifest's clip, wherever they are: in its file or folder of images, or packed in a shard."""

from __future__ import annotations

from tinkit.data.decode.clip_index import ClipIndex
from tinkit.data.decode.clip_reader import ClipReader
from tinkit.data.decode.open_clip import open_clip
from tinkit.data.decode.settings import DecodeSettings
from tinkit.data.manifest.manifest import Manifest, ManifestRow
from tinkit.data.paths.clip_path import clip_path


def open_frames(
    manifest: Manifest, row: ManifestRow, decoding: DecodeSettings, index: ClipIndex | None = None
) -> ClipReader:
    """The open clip of ``row``; ``index`` is that of its file, where it is known.

    Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip`.
    """
    if manifest.packed is not None:
        return manifest.packed.open(row.id, row.start, row.frames, decoding)
    path = clip_path(manifest.root, row.path)
    return open_clip(path, manifest.media, manifest.frame_template, row.start, row.frames, decoding, index)
