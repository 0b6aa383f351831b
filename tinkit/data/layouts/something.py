"""Something-Something V1 and Jester (``id;label text``), and V2 (JSON with templates)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.data.layouts.layout import AnnotationFile, Media
from tinkit.data.layouts.rows import Rows, text_lines
from tinkit.errors import UserError
from tinkit.files.class_headers import unquoted
from tinkit.files.class_names import without_brackets
from tinkit.files.json import parse_json
from tinkit.files.text import read_lines, read_text


def read_something_v1(annotation: AnnotationFile) -> Rows:
    """Rows ``id;label text`` (a test list: ``id``) without a header; the text may hold semicolons and quotes."""
    numbers, lines = text_lines(annotation.path)
    row = pc.extract_regex(lines, r"^(?P<id>[^;]*?)\s*(?:;\s*(?P<label>.*))?$")
    ids = pa.array([unquoted(word) for word in pc.struct_field(row, "id").to_pylist()], pa.string())
    texts = [unquoted(word or "") for word in pc.struct_field(row, "label").to_pylist()]
    labels = [[text] if text else [] for text in texts]
    if annotation.split == "test" and annotation.labelled and not any(labels):
        labels = _answers(annotation.path, ids.to_pylist())
    return Rows(
        file=annotation.path,
        lines=numbers,
        ids=ids,
        paths=_file_names(ids, annotation.media),
        labels=pa.array(labels, pa.list_(pa.string())),
    )


def read_something_v2(annotation: AnnotationFile) -> Rows:
    """A list of objects with ``id`` and, where labelled, ``template``; the class is the template without brackets."""
    file = annotation.path
    text = read_text(file)
    entries = parse_json(text, _V2, file)
    if not isinstance(entries, list) or not entries:
        raise UserError("not a list of clips", file=file, expected=_V2)
    ids, labels = [], []
    for number, entry in enumerate(entries, 1):
        clip, label = _v2_entry(entry)
        if clip is None or label is None:
            raise UserError(f"entry {number} is {json.dumps(entry)[:200]}", file=file, expected=_V2)
        ids.append(clip)
        labels.append([without_brackets(label)] if label else [])
    if annotation.split == "test" and annotation.labelled and not any(labels):
        labels = [[without_brackets(text) for text in words] for words in _answers(file, ids)]
    names = pa.array(ids, pa.string())
    lines = _entry_lines(text, len(ids))
    return Rows(
        file=file,
        lines=np.arange(1, len(ids) + 1) if lines is None else lines,
        ids=names,
        paths=_file_names(names, annotation.media),
        labels=pa.array(labels, pa.list_(pa.string())),
        unit="entry" if lines is None else "line",
    )


def _answers(file: Path, ids: list[str]) -> list[list[str]]:
    """The labels of a test list, out of ``test-answers.csv`` (``id;label text``) where that lies beside it."""
    answers = file.with_name(_ANSWERS)
    if not answers.is_file():
        return [[] for _ in ids]
    known: dict[str, str] = {}
    for number, line in enumerate(read_lines(answers), 1):
        if line.strip():
            clip, semicolon, text = line.partition(";")
            if not semicolon:
                raise UserError(f"{line!r} has no label", file=answers, line=number, expected="id;label text")
            known[unquoted(clip.strip())] = unquoted(text.strip())
    return [[known[clip]] if clip in known else [] for clip in ids]


_ANSWERS = "test-answers.csv"
_V2 = 'a list of {"id": "78687", "label": ..., "template": "Holding [something]", ...}; in a test list only "id"'


def _v2_entry(entry: Any) -> tuple[str | None, str | None]:
    """The id and template of one entry ('' where it has none); None for what is not text."""
    if not isinstance(entry, dict):
        return None, None
    clip, template = entry.get("id"), entry.get("template", "")
    if isinstance(clip, int) and not isinstance(clip, bool):
        clip = str(clip)
    return clip if isinstance(clip, str) else None, template if isinstance(template, str) else None


def _entry_lines(text: str, count: int) -> np.ndarray | None:
    """The line of each entry's ``"id"`` (a quoted key cannot stand inside a JSON text), None if they do not pair up."""
    found = [match.start() for match in re.finditer(r'"id"\s*:', text)]
    if len(found) != count:
        return None
    newlines = np.flatnonzero(np.frombuffer(text.encode("utf-32-le"), np.uint32) == ord("\n"))
    return np.searchsorted(newlines, np.array(found)).astype(np.int64) + 1


def _file_names(ids: pa.Array, media: Media) -> pa.Array:
    """Below the media's folder a clip is a folder named by its id (images) or ``<id>.webm`` (video)."""
    return ids if media == "frames" else pc.binary_join_element_wise(ids, ".webm", "")
