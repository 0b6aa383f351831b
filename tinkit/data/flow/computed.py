"""Optical flow computed from frames, by OpenCV: what a flow model reads where none was computed before.

As in TSN (Wang et al. 2016, arXiv 1608.00859, section 3.2 and its code): flow between consecutive grey frames,
clipped to -bound..bound pixels and kept as 0..255.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from tinkit.data.decode.clip_reader import BrokenClip, ClipFacts, ClipReader, Frame, describe
from tinkit.data.sampling import crops
from tinkit.errors import UserError
from tinkit.table import Table

Method = Literal["dis", "tvl1"]
Field2d = NDArray[np.float32]


class FlowSettings(Table):
    """How flow is computed and kept.

    ``dis`` is dense inverse search (Kroeger et al. 2016, arXiv 1603.03590), ``tvl1`` the dual TV-L1 method (Zach et al.
    2007) of the published two-stream models, some hundred times slower. ``bound``, in pixels, maps to 0 and 255.
    ``short_side``: frames are scaled to it first; None: flow is computed at their own size.
    """

    method: Method = "dis"
    """How flow is computed: dense inverse search, or TV-L1, some hundred times slower."""
    bound: float = Field(20.0, gt=0)
    """The largest motion that is distinguished, in pixels."""
    short_side: int | None = Field(None, ge=16, le=4096)
    """Frames are scaled to it first, in pixels. Left out: flow is computed at their own size."""


def flow_function(method: Method) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], Field2d]:
    """A function of two grey frames, uint8 (H, W), to where the first's pixels went, in pixels; float32 (H, W, 2).

    Raises :class:`~tinkit.errors.UserError` if OpenCV is not installed, or without what ``method`` needs.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            f"optical flow needs OpenCV, which cannot be imported: {error}", fix="pip install 'tinkit[flow]'"
        ) from error
    opencv: Any = cv2  # its own stubs lack some of what it has
    if method == "dis":
        engine: Any = opencv.DISOpticalFlow_create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM)
    else:
        contrib: Any = getattr(opencv, "optflow", None)
        if contrib is None:
            raise UserError(
                f"this OpenCV ({cv2.__version__}) was built without its contributed modules, of which TV-L1 is one",
                fix="pip uninstall the opencv packages, then pip install 'tinkit[flow]'; or take --method dis",
            )
        engine = contrib.DualTVL1OpticalFlow_create()
    return lambda before, after: engine.calc(before, after, None)


def to_bytes(flow: Field2d, bound: float) -> Frame:
    """-``bound``..``bound`` to 0..255, rounded, half to even; what lies outside is clipped. No motion is 128."""
    scaled = (np.clip(flow, -bound, bound) + bound) * (255 / (2 * bound))
    return np.rint(scaled).astype(np.uint8)


class ComputedFlow(ClipReader):
    """The flow of an open clip, computed as it is read: frame i leads from the clip's frame i to i + 1.

    Closing it closes the clip. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a clip of a single frame,
    :class:`~tinkit.errors.UserError` as :func:`flow_function` does.
    """

    def __init__(self, clip: ClipReader, settings: FlowSettings) -> None:
        self._clip, self._settings, self.notes = clip, settings, clip.notes
        self._calculate = flow_function(settings.method)
        self.num_frames = clip.num_frames - 1
        if self.num_frames < 1:
            raise BrokenClip(f"a clip of {clip.num_frames} frames has no flow")

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        pairs = set(wanted)
        before: NDArray[np.uint8] | None = None
        for index, frame in self._clip.frames([i for pair in wanted for i in (pair, pair + 1)]):
            grey = self._grey(frame)
            if index - 1 in pairs and before is not None:
                if before.shape != grey.shape:
                    raise BrokenClip("frames of different sizes")
                yield index - 1, to_bytes(self._flow(before, grey), self._settings.bound)
            before = grey

    def _flow(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Field2d:
        import cv2

        try:
            return self._calculate(before, after)
        except cv2.error as error:  # frames too small, or too large, for the method
            raise BrokenClip(describe(error)) from error

    def _grey(self, frame: Frame) -> NDArray[np.uint8]:
        """Luma, scaled."""
        if self._settings.short_side is not None:
            frame = crops.scale_short_side(frame, self._settings.short_side)
        return np.asarray(Image.fromarray(frame).convert("L"))

    def facts(self) -> ClipFacts:
        """What the clip's file says."""
        return self._clip.facts()

    def close(self) -> None:
        """Close the clip."""
        self._clip.close()
