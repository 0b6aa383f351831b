"""What probing found of a manifest's clips, for those who open them: a listing, or a pass over the packets, less."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.decode.clip_index import ClipIndex
from tinkit.data.manifest.manifest import Manifest
from tinkit.data.paths.clip_path import clip_path
from tinkit.data.probe.clip import state_of
from tinkit.data.probe.survey import read_finished

_COLUMNS = ("size", "changed", "frames", "first", "times", "keyframes", "packets")


class KnownClips:
    """The clips of ``manifest`` that were found good, by row; none where the manifest was not probed.

    The probes stay in their files, mapped into memory; of a million rows 4 MB are held.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._root = manifest.root
        probes = [table for file in (manifest.file, *manifest.others) if (table := read_finished(file)) is not None]
        self._table = pa.concat_tables(probes) if probes else None
        if self._table is None:
            return
        codes = manifest.table.column("path").combine_chunks().dictionary_encode()
        good = pc.if_else(pc.equal(self._table.column("status"), "good"), self._table.column("path"), None)
        places = pc.fill_null(pc.index_in(codes.dictionary, good.combine_chunks(), skip_nulls=True), -1)
        self._places = places.to_numpy().astype(np.int32)[codes.indices.to_numpy()]
        self._columns = [self._table.column(name) for name in _COLUMNS]

    def index(self, row: int, path: str) -> ClipIndex | None:
        """Of the clip ``path``, at ``row`` of the manifest, unless its file has changed since it was probed."""
        if self._table is None or (place := int(self._places[row])) < 0:
            return None
        size, changed, frames, first, times, keyframes, packets = (column[place].as_py() for column in self._columns)
        if state_of(clip_path(self._root, path)) != (size, changed):
            return None
        if frames < 1 or first < 0 or len(keyframes) != len(packets) or len(times) not in (0, 2 * bool(keyframes)):
            return None  # a crafted file
        return ClipIndex(frames, first, tuple(times) or None, tuple(keyframes), tuple(packets))
