"""A contact sheet as one PNG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tinkit.data.look.clips import About, ShownClip, Strip
from tinkit.errors import UsageError
from tinkit.files.atomic import atomic_path
from tinkit.files.system_errors import write_errors
from tinkit.terminal import plain

_MOST_PIXELS = 40_000_000  # of a sheet, at four bytes each
_MARGIN, _GAP = 12, 4
_HEAD, _CAPTION = 22, 16  # heights of lines of text
_LETTERS = {_HEAD: 15, _CAPTION: 11}  # of such a line
_LEAST_WIDTH = 640  # which leaves room for text
_PAPER, _INK, _FAINT, _FAULT = (255, 255, 255), (20, 20, 20), (95, 95, 95), (176, 0, 32)


@contextmanager
def png_sheet(file: Path, about: About) -> Iterator[Callable[[ShownClip], None]]:
    """What draws one clip more onto the sheet, which is written to ``file`` when the block ends without an error.

    Raises :class:`~tinkit.errors.UsageError` for a sheet of too many pixels: it is in memory as a whole.
    """
    strip = about.side + _CAPTION + _GAP
    width = max(_LEAST_WIDTH, 2 * _MARGIN + about.frames * (about.side + _GAP) - _GAP)
    height = 2 * _MARGIN + 2 * _HEAD + about.clips * (_HEAD + _CAPTION + about.strips * strip + _MARGIN)
    if width * height > _MOST_PIXELS:
        raise UsageError(
            f"the sheet would have {width}x{height} pixels",
            expected=f"at most {_MOST_PIXELS:,} pixels",
            fix="show fewer clips (--count), smaller frames (--side) or fewer views (--views), or write --html",
        )
    canvas = _Canvas(width, height)
    canvas.line(about.title, _HEAD, _INK)
    canvas.line(about.facts, _HEAD, _FAINT)
    yield canvas.add
    with write_errors(file), atomic_path(file) as temporary:
        canvas.used().save(temporary, format="PNG")


class _Canvas:
    """A sheet of paper that is filled from the top."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._fonts = {line: ImageFont.load_default(size) for line, size in _LETTERS.items()}
        self._top = _MARGIN

    def add(self, clip: ShownClip) -> None:
        """A clip: its id and labels, what is wrong with it or known about it, its strips."""
        self._top += _MARGIN
        self.line(f"{clip.row}  {clip.id}  [{clip.labels_text}]", _HEAD, _FAULT if clip.fault else _INK)
        if clip.fault:
            self._draw.rectangle((2, self._top - _HEAD, 6, self._top + _CAPTION - 2), fill=_FAULT)
            self.line(clip.fault, _CAPTION, _FAULT)
        elif clip.notes:
            self.line("; ".join(clip.notes), _CAPTION, _FAINT)
        for strip in clip.strips:
            self._add_strip(strip)

    def line(self, text: str, size: int, ink: tuple[int, int, int]) -> None:
        """A line of text, shortened to the sheet's width."""
        font, text = self._fonts[size], plain(text)
        room = self._image.width - 2 * _MARGIN
        if font.getlength(text) > room:
            fits = next((n for n in range(min(len(text), room), 0, -1) if font.getlength(text[:n] + "...") <= room), 0)
            text = text[:fits] + "..."
        self._draw.text((_MARGIN, self._top), text, fill=ink, font=font)
        self._top += size

    def _add_strip(self, strip: Strip) -> None:
        self.line(strip.caption + (", mirrored" if strip.mirrored else ""), _CAPTION, _FAINT)
        _, height, width, _ = strip.frames.shape
        for number, frame in enumerate(strip.frames):
            self._image.paste(Image.fromarray(frame), (_MARGIN + number * (width + _GAP), self._top))
        self._top += height + _GAP

    def used(self) -> Image.Image:
        """The sheet without the paper below its last clip."""
        return self._image.crop((0, 0, self._image.width, self._top + _MARGIN))
