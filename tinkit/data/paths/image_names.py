"""Names of a clip's images: templates such as ``{:05d}.jpg``, one number in a plain file name."""

from __future__ import annotations

import functools
import re

from tinkit.errors import UserError

NAME_MOST = 255
"""Bytes of a file's name on the file systems in use."""

_PLAIN = re.compile(r"([^{}/\\\0]*)\{([^{}]*)\}([^{}/\\\0]*)")


def template_problem(template: str) -> str:
    """What is wrong with a template; empty if nothing is. It is looked at before it makes any name."""
    match = _PLAIN.fullmatch(template)
    if match is None:
        return "it is not a plain file name with one number field"
    widths = [int(digits) for digits in re.findall(r"\d{1,9}", match[2])]
    if len(template) > NAME_MOST or max(widths, default=0) > NAME_MOST:
        return f"its names are longer than a file's can be ({NAME_MOST} bytes)"
    try:
        names = template.format(1), template.format(2)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as problem:  # all that str.format raises
        return str(problem)
    if max(len(name.encode(errors="surrogateescape")) for name in names) > NAME_MOST:
        return f"its names are longer than a file's can be ({NAME_MOST} bytes)"
    return "its names are the same for every number, or no plain file names" if not _differ(*names) else ""


@functools.lru_cache(64)
def template_pattern(template: str) -> re.Pattern[str]:
    """A regular expression whose group 1 is the number in a file name made by ``template``.

    Raises :class:`~tinkit.errors.UserError` unless ``template`` is a plain file name with one number field.
    """
    match = _PLAIN.fullmatch(template)
    problem = template_problem(template)
    if match is None or problem:
        raise UserError(
            f"frame_template {template[:NAME_MOST]!r} does not name image files: {problem}",
            expected="a file name with one number field, such as {:05d}.jpg or image_{:05d}.jpg",
        )
    return re.compile(re.escape(match[1]) + r"(\d+)" + re.escape(match[3]))


def _differ(one: str, two: str) -> bool:
    return one != two and not set("/\\\0") & set(one + two)
