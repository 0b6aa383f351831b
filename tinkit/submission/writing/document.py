"""The leaderboard's file as bytes, lines of text or a JSON document: a stream, written a block of clips at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinkit.submission.plan import Part, SubmissionPlan
from tinkit.submission.writing.lines import Lines, as_json
from tinkit.submission.writing.wording import header_line, quoted


def write_text(plan: SubmissionPlan, part: Part, handle: BinaryIO) -> list[str]:
    """Write the header, if there is one, and the lines of every clip; returns what must be known of them."""
    handle.write(header_line(plan.challenge, part.table.info.classes).encode())
    lines = Lines(part, plan.challenge)
    begin, end = lines.pieces.begin, lines.pieces.end
    done, before = 0, ""  # what ends the line before
    for rows in lines.blocks(part.rows):
        names = [quoted(name, plan.challenge) for name in plan.names[done : done + len(rows)]]
        texts = lines.bodies(rows, names)
        if not lines.pieces.named:
            starts = [f"{before}{names[0]}{begin}", *(f"{end}{name}{begin}" for name in names[1:])]
            texts = pc.binary_join_element_wise(pa.array(starts), texts, "")
            before = end
        handle.write(_bytes_of(texts))
        done += len(rows)
    handle.write(before.encode())
    return lines.notes()


def _bytes_of(texts: pa.StringArray) -> memoryview:
    """The bytes of all ``texts``, one behind the other, without a copy."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[ends[0] : ends[-1]]


def write_json(plan: SubmissionPlan, handle: BinaryIO) -> list[str]:
    """Write the document, an entry a line; returns what must be known of it."""
    shape = plan.challenge.shape
    brackets = "{}" if shape.clips == "object" else "[]"
    # What stands beside the clips is small; a mark in the clips' place shows where they go.
    outer = {**shape.filled(plan.answers), shape.results: None} if shape.results else None
    begin = "" if outer is None else json.dumps(outer, ensure_ascii=False).removesuffix("null}")
    handle.write(f"{begin}{brackets[0]}\n".encode())
    parts = [Lines(part, plan.challenge) for part in plan.parts]
    between = ""
    for block in _entries(plan, parts):
        handle.write((between + ",\n".join(block)).encode())
        between = ",\n"
    handle.write(f"\n{brackets[1]}{'' if outer is None else '}'}\n".encode())
    return [note for lines in parts for note in lines.notes()]


def _entries(plan: SubmissionPlan, parts: list[Lines]) -> Iterator[list[str]]:
    """The clips' entries, a block at a time."""
    shape = plan.challenge.shape
    widest = max(parts, key=lambda lines: lines.part.table.scores.shape[1])
    for places in widest.blocks(np.arange(len(plan.names))):
        names = [as_json(plan.names[place]) for place in places.tolist()]
        texts = [lines.texts(lines.part.rows[places], names) for lines in parts]
        if plan.challenge.heads:
            keys = [as_json(lines.part.head) for lines in parts]
            inner = [
                "{" + ",".join(f"{key}:{text}" for key, text in zip(keys, own, strict=True)) + "}"
                for own in zip(*texts, strict=True)
            ]
        else:
            inner = texts[0]
        if parts[0].pieces.named:
            yield inner
        elif shape.clips == "object":
            yield [f"{name}:{text}" for name, text in zip(names, inner, strict=True)]
        else:
            id_key, values_key = as_json(shape.id_key), as_json(shape.values_key)
            yield [f"{{{id_key}:{name},{values_key}:{text}}}" for name, text in zip(names, inner, strict=True)]
