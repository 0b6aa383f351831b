"""How the pixels of clips are read, and what reading one may cost: the part of ``[data]`` that the readers obey.

A clip beyond a limit is a broken clip whose reason names the key. What can be known from a file's header is refused
before it is decoded, for a call of a decoder cannot be interrupted; the rest is checked between frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import thread_time

from tinkit.data.config.dataset import DataConfig
from tinkit.data.decode.clip_reader import BrokenClip

_LOOK_PIXELS = 4_000_000  # pixels decoded from one look at the clock to the next
_FRAME_PIXELS = 65_536  # what a frame counts for at least: a smaller one costs no less to look at


@dataclass(frozen=True)
class DecodeSettings:
    """What the keys of the same names in ``[data]`` say."""

    rate: float | None = None
    turn: bool = True
    max_pixels: int = 64_000_000
    max_frame_mb: int = 384
    max_clip_pixels: int = 100_000_000_000
    max_image_seconds: float = 10.0
    max_clip_seconds: float = 300.0

    @classmethod
    def of(cls, config: DataConfig) -> DecodeSettings:
        """What the ``[data]`` table says."""
        return cls(**{key: getattr(config, key) for key in cls.__dataclass_fields__})

    @classmethod
    def as_trained(cls, config: DataConfig, trained: DataConfig) -> DecodeSettings:
        """What ``config`` says, but videos are rotated, or not, as they were for the model that reads them."""
        return replace(cls.of(config), turn=trained.turn)

    def check_pixels(self, width: int, height: int) -> None:
        """Raise :class:`~tinkit.data.decode.clip_reader.BrokenClip` for a frame without pixels, or of too many."""
        if width < 1 or height < 1:
            raise BrokenClip(f"frames of {width}x{height} pixels")
        if width * height > self.max_pixels:
            raise BrokenClip(f"frames of {width}x{height} pixels, more than data.max_pixels = {self.max_pixels:,}")

    def check_memory(self, width: int, height: int, bytes_a_pixel: float) -> None:
        """Raise :class:`~tinkit.data.decode.clip_reader.BrokenClip` if decoding a frame may take too much memory."""
        needed = width * height * bytes_a_pixel / 1e6
        if needed > self.max_frame_mb:
            raise BrokenClip(
                f"a frame of {width}x{height} pixels may take {needed:,.0f} MB to decode, more than "
                f"data.max_frame_mb = {self.max_frame_mb:,}"
            )

    def check_image_seconds(self, seconds: float, why: str) -> None:
        """Raise :class:`~tinkit.data.decode.clip_reader.BrokenClip` if an image would take ``seconds`` of a
        processor.
        """
        if seconds > self.max_image_seconds:
            raise BrokenClip(
                f"{why} may take {seconds:,.0f} s to decode, more than data.max_image_seconds = "
                f"{self.max_image_seconds:g}"
            )


class Spending:
    """What decoding one clip has cost so far: pixels, and seconds of the thread that decodes."""

    def __init__(self, decoding: DecodeSettings) -> None:
        self._decoding = decoding
        self._pixels = self._unseen = 0
        self._seconds = 0.0
        self._since = thread_time()

    def begin(self) -> None:
        """Decoding begins, or continues after another user of the thread."""
        self._since = thread_time()

    def end(self) -> None:
        """Decoding pauses."""
        self._look()

    def count(self, pixels: int) -> None:
        """Count decoded pixels. Raises :class:`~tinkit.data.decode.clip_reader.BrokenClip` beyond the limit."""
        self._pixels += pixels
        if self._pixels > self._decoding.max_clip_pixels:
            raise BrokenClip(f"more pixels to decode than data.max_clip_pixels = {self._decoding.max_clip_pixels:,}")

    def add(self, pixels: int) -> None:
        """Count decoded pixels, and look at the clock now and then. Raises as :meth:`count` does."""
        self._unseen += pixels if pixels > _FRAME_PIXELS else _FRAME_PIXELS
        self._pixels += pixels
        if self._unseen > _LOOK_PIXELS:
            self.count(0)
            self._look()

    def _look(self) -> None:
        now = thread_time()
        self._seconds, self._since, self._unseen = self._seconds + now - self._since, now, 0
        if self._seconds > self._decoding.max_clip_seconds:
            raise BrokenClip(f"takes longer to decode than data.max_clip_seconds = {self._decoding.max_clip_seconds:g}")
