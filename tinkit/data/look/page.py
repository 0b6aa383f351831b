"""A contact sheet as one HTML file: no script, no other file, no network; light or dark as the reader's system is."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from html import escape
from pathlib import Path

from PIL import Image

from tinkit.data.look.clips import About, ShownClip, Strip
from tinkit.files.atomic import atomic_path
from tinkit.files.system_errors import write_errors
from tinkit.terminal import plain

_QUALITY = 90  # of JPEG

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --faint: #5c5c5c; --line: #ddd; --fault: #b00020; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #161616; --faint: #a8a8a8; --line: #3a3a3a; --fault: #ff8a80; }
}
body { margin: 1rem; background: var(--paper); color: var(--ink); font: 0.95rem/1.4 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: 0.1rem 0; overflow-wrap: anywhere; }
article { border-top: 1px solid var(--line); margin-top: 1rem; padding-top: 0.6rem; }
article.fault { border-left: 4px solid var(--fault); padding-left: 0.6rem; }
.fault .why { color: var(--fault); font-weight: 600; }
.faint, figcaption { color: var(--faint); font-size: 0.85rem; }
figure { margin: 0.4rem 0; overflow-x: auto; }
.frames { display: flex; gap: 4px; }
.frames img { flex: none; }
"""


@contextmanager
def html_page(file: Path, about: About) -> Iterator[Callable[[ShownClip], None]]:
    """What writes one clip more into the page, which is at ``file`` when the block ends without an error.

    Clips are written as they come: one is in memory at a time.
    """
    with ExitStack() as stack:
        with write_errors(file):
            page = stack.enter_context(stack.enter_context(atomic_path(file)).open("w", encoding="utf-8"))
            page.write(_head(about))

        def add(clip: ShownClip) -> None:
            with write_errors(file):
                page.write(_article(clip))

        yield add
        with write_errors(file):
            page.write("</main>\n</body>\n</html>\n")
            stack.close()


def _head(about: About) -> str:
    title, facts = _text(about.title), _text(about.facts)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{title}</h1>\n<p class="faint">{facts}</p>\n'
    )


def _article(clip: ShownClip) -> str:
    lines = [f'<article class="{"fault" if clip.fault else "clip"}">', f"<h2>{_text(clip.id)}</h2>"]
    lines.append(f'<p>{_text(clip.labels_text)} <span class="faint">row {clip.row}</span></p>')
    if clip.fault:
        lines.append(f'<p class="why">{_text(clip.fault)}</p>')
    if clip.notes:
        lines.append(f'<p class="faint">{_text("; ".join(clip.notes))}</p>')
    lines += [_figure(clip, strip) for strip in clip.strips]
    return "\n".join([*lines, "</article>\n"])


def _figure(clip: ShownClip, strip: Strip) -> str:
    caption = _text(strip.caption + (", mirrored" if strip.mirrored else ""))
    count = len(strip.frames)
    images = []
    for number, frame in enumerate(strip.frames, 1):
        height, width, _ = frame.shape
        alt = f"{_text(clip.id)}, {caption}, frame {number} of {count}"
        images.append(f'<img src="{_data_uri(Image.fromarray(frame))}" width="{width}" height="{height}" alt="{alt}">')
    return f'<figure><div class="frames">{"".join(images)}</div><figcaption>{caption}</figcaption></figure>'


def _data_uri(image: Image.Image) -> str:
    target = io.BytesIO()
    image.save(target, format="JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(target.getvalue()).decode('ascii')}"


def _text(text: str) -> str:
    """``text`` to put between tags or into an attribute."""
    return escape(plain(text), quote=True)
