"""Put the temporal modules of a row of :data:`tinkit.temporal.TEMPORAL_MODULES` into a backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from torch import nn

from tinkit.architectures import ShiftPlace
from tinkit.errors import UserError, did_you_mean
from tinkit.models.backbones.places import Place, places_in
from tinkit.models.temporal.placed import ModuleSettings
from tinkit.models.temporal.shift import shift_places_in
from tinkit.temporal import NAMES, TemporalModule, find_temporal, taking


def temporal_module(name: str) -> TemporalModule:
    """The row called ``name``. Raises :class:`~tinkit.errors.UserError` where there is none."""
    row = find_temporal(name)
    if row is None:
        raise UserError(f"no temporal module is called {name!r}{did_you_mean(name, NAMES)}", expected=", ".join(NAMES))
    return row


def check_keys(
    row: TemporalModule, place: str | None, shift_place: str, *, temporal_pool: bool, offsets: str = "clip"
) -> None:
    """Raise :class:`~tinkit.errors.UserError` for what the row's module does not take, and for an empty ``place``."""
    if place == "":
        raise UserError("place is empty", expected="a module's name, as in 'blocks.*.attn'; or no place at all")
    if shift_place != "blockres" and ("shift_place" not in row.keys or place is not None):
        by_hand = "" if place is None else f" and place = {place!r}"
        raise UserError(
            f"shift_place {shift_place!r} with temporal = {row.name!r}{by_hand}",
            expected=f"shift_place with temporal = {_either('shift_place')} and without place",
        )
    if offsets != "clip" and "offsets" not in row.keys:
        raise UserError(
            f"offsets {offsets!r} with temporal = {row.name!r}", expected=f"temporal = {_either('offsets')} for them"
        )
    if temporal_pool and "temporal_pool" not in row.keys:
        raise UserError(
            f"temporal pooling with temporal = {row.name!r}, which is made for one number of frames",
            expected=f"temporal pooling with temporal = {_either('temporal_pool')}",
        )


def put_modules(
    row: TemporalModule,
    backbone: nn.Module,
    name: str,
    settings: ModuleSettings,
    segments: Mapping[str, int],
    *,
    place: str | None = None,
    shift_place: ShiftPlace = "blockres",
) -> None:
    """Put the row's module into ``backbone``, timm's model ``name``: at ``place``, or where its family has it.

    ``segments`` are the frames of a clip in each stage whose number is not that of ``settings``. Raises
    :class:`~tinkit.errors.UserError`, which names the layer, for a place that cannot be or cannot take the module.
    """
    if not row.put:
        return
    put = _function(row.put)
    if place is None and "shift_place" in row.keys:
        places = shift_places_in(backbone, name, shift_place)
    else:
        places = places_in(backbone, name, place, alternate=row.alternate)
    for spot in places:
        frames = segments.get(spot.name.split(".")[0], settings.num_segments)
        try:
            put(spot, settings._replace(num_segments=frames))
        except UserError as error:
            raise UserError(f"{spot.name}: {error.problem}", expected=error.expected, fix=error.fix) from error


def _function(path: str) -> Callable[[Place, ModuleSettings], None]:
    """The function that a row names as ``module:name``: looked up here, since the table needs no PyTorch."""
    module, _, name = path.partition(":")
    found: Callable[[Place, ModuleSettings], None] = getattr(import_module(module), name)
    return found


def _either(key: str) -> str:
    return " or ".join(repr(name) for name in taking(key))
