"""The first line of a file of class names: whether it is a header, and not a class."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

NAME_WORDS = (
    *("name", "class_name", "classname", "label_name", "category_name", "label", "class"),
    *("key", "category", "action", "verb", "noun", "template"),
)
INDEX_WORDS = (
    *("id", "index", "idx", "number", "no", "nr", "class_id", "classid"),
    *("class_index", "class_number", "label_id", "category_id"),
)
_SINGLE_WORDS = frozenset(
    (
        *(*NAME_WORDS[:7], "names", "classes", "labels", "category", "categories", "id", "class_names", "label_names"),
        *("action", "actions", "activity", "activities", "verb", "verbs", "noun", "nouns", "template", "class_label"),
    )
)
"""Words of a header, most telling first; the last are hardly a class on their own."""


def is_header(text: str) -> bool:
    """Whether a line holds words of a header and nothing else."""
    words = [word_of(field) for field in re.split(r"[,;\t]|\s+(?=\S+$)" if " " in text else r"[,;\t]", text)]
    if len(words) == 1:
        return words[0] in _SINGLE_WORDS
    return all(word in _SINGLE_WORDS or word in NAME_WORDS or word in INDEX_WORDS for word in words)


def is_table(lines: Sequence[str]) -> bool:
    """Whether all lines have as many fields as the first, more than one, and that names a column."""
    for delimiter in ",;\t":
        words = [word_of(field) for field in lines[0].split(delimiter)]
        if len(words) > 1 and any(word in _SINGLE_WORDS or word in INDEX_WORDS for word in words):
            return all(_width(line, delimiter) == len(words) for line in lines)
    return False


def _width(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:  # a longer field than the reader takes, or a quotation mark that is not closed
        return 0


def word_of(field: str) -> str:
    """A field of a header as the words above are written."""
    return unquoted(field.strip()).strip().lower().replace(" ", "_")


def unquoted(text: str) -> str:
    """``text`` without the quotation marks that a csv writer puts around a field, if it wears them."""
    if len(text) >= 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1].replace('""', ""):
        return text[1:-1].replace('""', '"')
    return text
