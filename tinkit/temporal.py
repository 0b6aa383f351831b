"""The temporal modules of image backbones: one row each, and all that anything asks about one. Needs no PyTorch.

To add a module, write a file below ``tinkit/models/temporal/`` and a row here: ``docs/extending/temporal-module.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

SPACE_TIME = "3d"
"""What ``temporal`` is for a network without temporal modules, which looks at space and time at once."""


@dataclass(frozen=True)
class ForeignForm:
    """What the files of other code bases have of a temporal module.

    ``code_bases`` are those that have it; None: its weights are the plain backbone's, so any does. ``wrapper`` is what
    they put behind the name of the module that it precedes (:func:`tinkit.models.foreign.names.wrapped`). ``weights``
    is the word for one part of its own weights, whose names below ``temporal.`` begin with one of ``marks``.
    """

    code_bases: tuple[str, ...] | None = ()
    wrapper: str = ""
    weights: str = ""
    marks: tuple[str, ...] = ()

    def holds(self, name: str) -> bool:
        """Whether ``name``, an entry of a state dict as tinkit names it, is of such a module's own weights."""
        return name.partition(".temporal.")[2].startswith(self.marks)


@dataclass(frozen=True)
class TemporalModule:
    """One row of the table.

    ``name`` is the value of ``model.temporal``, ``title`` how papers write it, ``what`` what it does, in a few words.
    ``put`` is the function ``module:name`` that puts it at one place of a backbone, called with a
    :class:`~tinkit.models.backbones.places.Place` and a :class:`~tinkit.models.temporal.placed.ModuleSettings`; empty
    where nothing is put anywhere. ``shift_div`` is the published one: one channel in ``shift_div`` moves; None where
    none does. ``keys`` are those of ``[model]`` that only some temporal modules take, and this one does
    (:data:`KEYS`).

    ``any_place``: it precedes modules of every kind, so that ``tinkit models`` shows it in every family; else in a
    ResNet-50 alone. ``alternate``: in very deep networks it goes into every second block
    (:mod:`tinkit.models.backbones.families`). ``fixed_frames`` is why a test must show as many frames as training did;
    None where it need not. ``causal``: no frame's features depend on later frames, so that a stream can be watched
    (``tinkit watch``). ``foreign``: what files of other code bases have of it.
    """

    name: str
    title: str
    what: str
    put: str = ""
    shift_div: int | None = None
    keys: tuple[str, ...] = ()
    any_place: bool = False
    alternate: bool = False
    fixed_frames: str | None = None
    causal: bool = False
    foreign: ForeignForm = ForeignForm()


KEYS = ("offset_init", "offsets", "shift_place", "temporal_pool")
"""The keys of ``[model]`` that mean something with some temporal modules alone."""

TEMPORAL_MODULES = (
    TemporalModule(
        name="tsn",
        title="TSN",
        what="leaves frames alone",
        keys=("temporal_pool",),
        any_place=True,
        causal=True,
        foreign=ForeignForm(code_bases=None),
    ),
    TemporalModule(
        name="tsm",
        title="TSM",
        what="shifts a part of the channels by a frame",
        put="tinkit.models.temporal.shift:put_shift",
        shift_div=8,
        keys=("shift_place", "temporal_pool"),
        any_place=True,
        alternate=True,
        foreign=ForeignForm(code_bases=None, wrapper="net"),
    ),
    TemporalModule(
        name="tin",
        title="TIN",
        what="interlaces a part of the channels, by offsets that it finds for each clip",
        put="tinkit.models.temporal.placed:put_interlace",
        shift_div=4,
        keys=("offset_init", "offsets"),
        any_place=True,
        fixed_frames="OffsetNet, which finds a TIN's offsets, has a Linear of T x T over time",
        foreign=ForeignForm(
            code_bases=("tin", "x_temporal", "mmaction2"),
            wrapper="net2",
            weights="steering network",
            marks=("offset_net.", "gain_net."),
        ),
    ),
    TemporalModule(
        name="rtcn",
        title="r-TCN",
        what="makes a convolution one over time, with a triangle for a kernel",
        put="tinkit.models.temporal.rtcn:put_regularised",
        shift_div=4,
        keys=("offset_init",),
        foreign=ForeignForm(weights="triangle", marks=("centre_logit", "gain_logit")),
    ),
    TemporalModule(
        name="tsm_online",
        title="TSM online",
        what="shifts a part of the channels from the frame before, and so reads streams",
        put="tinkit.models.temporal.online:put_online_shift",
        shift_div=8,
        alternate=True,
        causal=True,
        foreign=ForeignForm(code_bases=None, wrapper="net"),
    ),
    TemporalModule(
        name="tin_online",
        title="TIN online",
        what="interlaces a part of the channels with the two frames before, by offsets of each frame",
        put="tinkit.models.temporal.online:put_online_interlace",
        shift_div=4,
        keys=("offset_init",),
        causal=True,
        foreign=ForeignForm(weights="steering convolution", marks=("offset_conv.", "gain_conv.")),
    ),
)
NAMES = tuple(row.name for row in TEMPORAL_MODULES)
CHOICES = (*NAMES, SPACE_TIME)
"""All values of ``model.temporal``."""

if TYPE_CHECKING:  # a type checker knows no Literal of a tuple; pydantic and typer do, and list the choices
    Temporal = str
    TemporalChoice = str
else:
    Temporal = Literal[NAMES]
    TemporalChoice = Literal[CHOICES]


def find_temporal(name: object) -> TemporalModule | None:
    """The row called ``name``; None where there is none."""
    return next((row for row in TEMPORAL_MODULES if row.name == name), None)


def taking(key: str) -> tuple[str, ...]:
    """The names of the temporal modules that take ``key``, one of :data:`KEYS`."""
    return tuple(row.name for row in TEMPORAL_MODULES if key in row.keys)


def titles_taking(key: str) -> str:
    """The same as papers write them, for descriptions: ``TIN, r-TCN``."""
    return ", ".join(row.title for row in TEMPORAL_MODULES if key in row.keys)


def published_shift_divs() -> str:
    """The published ``shift_div`` of every module that has one: ``8 in TSM, 4 in TIN, 4 in r-TCN``."""
    return ", ".join(f"{row.shift_div} in {row.title}" for row in TEMPORAL_MODULES if row.shift_div is not None)
