"""A split packed: what changed is decoded, in parallel; then parts become shards, and all appears at once.

While it works, parts lie in ``.NAME.work`` beside the shards. One that is whole stands, whoever is killed: the next run
goes on from there. The shards and the index of the split are written from the parts of all shares, as one group of
files: a reader sees those of before, or the new ones, or is told that they are unfinished.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packing.parts import HowToPack, PackedSource, note_crash, pack_sources, read_parts
from tinkit.data.packing.place import PackTo, claim
from tinkit.data.packing.put_together import Found, Outcome, known_shards, put_together
from tinkit.data.packing.shares import alone, stem_of, sweep_share
from tinkit.data.packing.sources import Source, SourceFiles, count_clips, sources_of, stale
from tinkit.files.group import recover
from tinkit.files.system_errors import write_errors
from tinkit.spread.engine import WHOLE, Engine, Share

_CLIPS_A_TASK = 16


def pack_split(
    manifest: Manifest,
    files: SourceFiles,
    to: PackTo,
    engine: Engine,
    share: Share = WHOLE,
    on_clips: Callable[[int], None] = lambda count: None,
) -> Outcome | None:
    """Pack the clips of ``manifest`` that are not packed yet, or have changed; None of a mere share.

    ``on_clips(n)`` is called with n more clips, those included that were packed before. A clip that cannot be read is
    in the index with the reason, and in no shard. Raises :class:`~tinkit.errors.UserError` where the folder holds
    clips that were packed otherwise, and :class:`~tinkit.files.locks.InUseError` while another run packs the same.
    """
    with write_errors(to.folder):
        claim(to.folder, to.settings, manifest)
        to.work.mkdir(exist_ok=True)
        with alone(to.work, share, to.name):
            recover(to.index)
            found = _known(to)
            wanted = list(share.of(sources_of(manifest)))
            todo = [source for source in (stale(files, one, found.rows) for one in wanted) if source is not None]
            on_clips(count_clips(wanted) - count_clips(todo))
            sweep_share(to.work, share)
            _pack(HowToPack(files, to.settings, str(to.work), stem_of(share)), todo, engine, on_clips)
            if not share.whole:
                return None
            outcome = put_together(manifest, to, _known(to), engine, fresh=count_clips(todo))
            shutil.rmtree(to.work, ignore_errors=True)
            return outcome


def _pack(how: HowToPack, todo: list[Source], engine: Engine, on_clips: Callable[[int], None]) -> None:
    chunks: list[tuple[Source, ...]] = []
    for source in todo:
        if chunks and count_clips(chunks[-1]) + len(source.clips) <= _CLIPS_A_TASK:
            chunks[-1] = (*chunks[-1], source)
        else:
            chunks.append((source,))
    spread = engine.spread(partial(pack_sources, how), lambda source: PackedSource(source, crashed=True))
    for results in spread.results(chunks) if chunks else ():
        for result in results:
            if result.crashed:
                note_crash(how, result.source)
            on_clips(len(result.source.clips))


def _known(to: PackTo) -> Found:
    """What is packed: the clips of shards, of parts, and those that are known to be broken."""
    found = known_shards(to.folder, to.name)
    for tar, table in read_parts(to.work):
        found.add(tar, table)
    return found
