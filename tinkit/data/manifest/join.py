"""Several splits of one data set as one manifest, to train on: ``train+val``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.packed.frames import PackedFrames
from tinkit.errors import UserError


def join(manifests: Sequence[Manifest]) -> Manifest:
    """The clips of several splits of one data set, one after the other, to train on: ``train+val``. Copies nothing.

    Raises :class:`~tinkit.errors.UserError` for manifests of different data sets, for an id that occurs in two splits,
    and if there is none.
    """
    if not manifests:
        raise UserError("no split to read clips from", fix="name one, such as train")
    first = manifests[0]
    for number, other in enumerate(manifests[1:], 1):
        for name in ("dataset", "version", "root", "task", "media", "frame_template", "min_frames", "classes"):
            if getattr(first, name) != getattr(other, name):
                raise UserError(
                    f"{first.split!r} and {other.split!r} cannot be joined: they differ in {name}",
                    file=other.file,
                    expected="splits of one data set and version, with the same classes and files of one kind",
                    fix="open them all with one [data] table",
                )
        for before in manifests[:number]:
            _check_apart(before, other)
    return replace(
        first,
        split="+".join(manifest.split for manifest in manifests),
        skipped=tuple(line for manifest in manifests for line in manifest.skipped),
        table=pa.concat_tables([manifest.table for manifest in manifests]),
        others=tuple(manifest.file for manifest in manifests[1:]),
        packed=_join_packed(manifests),
    )


def _join_packed(manifests: Sequence[Manifest]) -> PackedFrames | None:
    places = [manifest.packed for manifest in manifests if manifest.packed is not None]
    return reduce(PackedFrames.joined, places) if places else None


def _check_apart(one: Manifest, other: Manifest) -> None:
    ids = one.table.column("id")
    doubled = pc.index(pc.is_in(ids, other.table.column("id")), True).as_py()
    if doubled >= 0:
        raise UserError(
            f"the clip {ids[doubled].as_py()!r} is in {one.split!r} and in {other.split!r}",
            file=one.root,
            fix="take it out of the annotation of one of them",
        )
