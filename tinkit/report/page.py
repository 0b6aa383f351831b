"""A report as one HTML file: style, scripts, numbers and pictures are all inside, and nothing is fetched.

Vega-Lite draws the charts (docs/report.md says why); the page's policy forbids every address. Text of users and files
is escaped by Jinja, and characters that are obeyed rather than shown become escapes, as on the terminal.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from tinkit.errors import UserError
from tinkit.files.atomic import check_place, write_atomic
from tinkit.files.system_errors import write_errors
from tinkit.report.section import Section
from tinkit.terminal import plain

MOST_BYTES = 5_000_000
"""A page that is larger is refused."""
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    # Vega compiles its expressions.
    "script-src 'unsafe-inline' 'unsafe-eval'"
)


def check_page(file: Path) -> None:
    """Raise :class:`~tinkit.errors.UserError` unless a page can be written to ``file``, before any work is done."""
    check_place(file)
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        raise UserError("vl-convert-python, which has the charts' library, is not installed", fix=_INSTALL) from None


_INSTALL = "pip install 'tinkit[report]'"


def write_page(file: Path, title: str, made: str, sections: Sequence[Section]) -> int:
    """Write the page and return its size in bytes. Raises :class:`~tinkit.errors.UserError` if it is over 5 MB."""
    text = page_text(title, made, sections, charts_library())
    size = len(text.encode(errors="backslashreplace"))
    if size > MOST_BYTES:
        raise UserError(
            f"the page would have {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}",
            file=file,
            fix="report fewer runs at once, or leave frames out with --no-frames",
        )
    with write_errors(file):
        write_atomic(file, text)
    return size


@cache
def charts_library() -> str:
    """The script that draws figures: Vega-Embed with Vega-Lite and Vega, 0.9 MB. Bundling it takes seconds."""
    import vl_convert

    return vl_convert.javascript_bundle(snippet="window.vegaEmbed = vegaEmbed;")


def page_text(title: str, made: str, sections: Sequence[Section], library: str) -> str:
    """The page as text, with the script ``library`` inside; sections without content are left out."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tinkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": plain,
        "lines": lambda text: plain(text, lines=True),
        "cell": _cell,
        "embedded": _embedded,
        "script": _script,
        "base64": lambda data: base64.b64encode(data).decode(),
    }
    return environment.get_template("page.html.j2").render(
        title=plain(title),
        made=plain(made),
        sections=[section for section in sections if section],
        policy=_POLICY,
        style=_resource("page.css"),
        library=library,
        behaviour=_resource("page.js"),
    )


def _resource(name: str) -> str:
    return (resources.files("tinkit.report") / "templates" / name).read_text(encoding="utf-8")


def _script(text: str) -> Markup:
    """A script of ours or of the library; an end tag in one of its strings would end it."""
    return Markup(text.replace("</script", "<\\/script"))


def _embedded(spec: dict[str, Any]) -> Markup:
    """A specification as JSON inside a script element; names of classes and files may hold anything."""
    text = json.dumps(_shown(spec), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _shown(value: Any) -> Any:
    """``value`` with text that a reader sees and no program obeys."""
    match value:
        case str():
            return plain(value)
        case dict():
            return {plain(name): _shown(item) for name, item in value.items()}
        case list() | tuple():
            return [_shown(item) for item in value]
        case _:
            return value


def _cell(value: Any) -> Markup:
    """A cell with the number in full for sorting; a missing one is a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Markup('<td data-value="">&ndash;</td>')
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Markup("<td>{}</td>").format(escape(plain(value)))
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return Markup('<td class="number" data-value="{}">{}</td>').format(repr(value), text)
