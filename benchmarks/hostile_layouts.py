"""Changes to safetensors files and to the headers of checkpoints that mislead, with the checksums made right again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any


def crafted_layouts() -> Iterator[tuple[str, Callable[[dict[str, Any], bytes], tuple[Any, bytes]]]]:
    """Changes to the header and the numbers of a safetensors file: each gives what is to be written as the header (text
    as it is, else as JSON) and as the numbers."""

    def entry(**changes: Any) -> Callable[[dict[str, Any], bytes], tuple[Any, bytes]]:
        def change(header: dict[str, Any], data: bytes) -> tuple[Any, bytes]:
            name = next(name for name in header if not name.startswith(("__", "tinkit")))
            return header | {name: header[name] | changes}, data

        return change

    def renamed(new: str) -> Callable[[dict[str, Any], bytes], tuple[Any, bytes]]:
        def change(header: dict[str, Any], data: bytes) -> tuple[Any, bytes]:
            name = next(name for name in header if not name.startswith(("__", "tinkit")))
            return {new if key == name else key: value for key, value in header.items()}, data

        return change

    for value in ([0, 1 << 40], [-8, 16], [1 << 62, 1 << 63], [8, 0], [0], "0", None, [0.0, 24.0], [0, True]):
        yield f"offsets {str(value)[:30]}", entry(data_offsets=value)
    for value in ([1 << 40], [-1], [2, -3], [1 << 62, 4], "2", None, [2.0], [[2, 3]], [1] * 1000, [True], [10**4200]):
        yield f"shape {str(value)[:30]}", entry(shape=value)
    for value in ("F33", "", None, 7, "F8_E4M3", "BOOL", "C64", "I64", "F4", "f32", "F32\0"):
        yield f"dtype {value!r}", entry(dtype=value)
    yield "an entry of nothing", entry(dtype=None, shape=None, data_offsets=None)
    yield "an entry more in an entry", entry(more=1)
    for name in ("\ud800", "a\x1b[31mb", "a\nb", "a\0b"):
        yield f"a tensor called {name!a}", renamed(name)
    yield "entries that are lists", lambda header, data: ({**header, "x": []}, data)
    yield "bytes behind the tensors", lambda header, data: (header, data + b"more")
    yield "too few bytes", lambda header, data: (header, data[:-4])
    yield "nested a hundred thousand deep", lambda _, data: ("[" * 100_000 + "]" * 100_000, data)
    yield "nested in its metadata", lambda header, data: (
        json.dumps(header)[:-1] + ',"x":' + '{"a":' * 3000 + "1" + "}" * 3000 + "}", data)  # fmt: skip
    yield "a list", lambda _, data: ([], data)
    yield "a number", lambda _, data: (7, data)
    yield "not JSON", lambda _, data: ("{" + "a" * 100, data)
    yield "not text", lambda _, data: (b'{"\xff\xfe": 1}', data)
    yield "nothing", lambda _, data: ("", data)
    yield "two entries of one name", lambda header, data: (
        json.dumps(header)[:-1] + "," + json.dumps({name: header[name] for name in header if name[0] != "_"})[1:], data
    )  # fmt: skip
    yield "100 MB of spaces", lambda header, data: (json.dumps(header) + " " * (100 << 20), data)
    yield "an integer of 5,000 digits", lambda header, data: (
        json.dumps(header)[:-1] + ',"x":{"shape":[' + "9" * 5000 + "]}}", data)  # fmt: skip
    yield "metadata of numbers", lambda header, data: (header | {"__metadata__": {"format": 1}}, data)
    yield "metadata that is a list", lambda header, data: (header | {"__metadata__": []}, data)


def relaid(file: bytes, change: Callable[[dict[str, Any], bytes], tuple[Any, bytes]], *, seal: bool) -> bytes:
    """A safetensors file with this change; with ``seal``, the checksum of a tinkit checkpoint is made right again."""
    length = int.from_bytes(file[:8], "little")
    header, data = json.loads(file[8 : 8 + length]), file[8 + length :]
    new, data = change(header, data)
    text = new if isinstance(new, bytes) else new.encode() if isinstance(new, str) else json.dumps(new).encode()
    text += b" " * (-len(text) % 8)
    whole = len(text).to_bytes(8, "little") + text + data
    return whole[:-32] + hashlib.sha256(whole[:-32]).digest() if seal else whole


def with_header(file: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A tinkit checkpoint whose own header (progress, info, optimiser) is changed, with all checksums right."""

    def inner(layout: dict[str, Any], data: bytes) -> tuple[Any, bytes]:
        new = change(json.loads(layout["__metadata__"]["tinkit"]))
        text = new if isinstance(new, str) else json.dumps(new)
        return layout | {"__metadata__": {"tinkit": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}}, data

    return relaid(file, inner, seal=True)


def crafted_headers() -> Iterator[tuple[str, Callable[[dict[str, Any]], Any]]]:
    """Changes to the header of a tinkit checkpoint."""

    def put(*path: str, value: Any) -> Callable[[dict[str, Any]], Any]:
        def change(header: dict[str, Any]) -> Any:
            inner = header
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            return header

        return change

    def without(*path: str) -> Callable[[dict[str, Any]], Any]:
        def change(header: dict[str, Any]) -> Any:
            inner = header
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            return header

        return change

    yield "a list", lambda _: []
    yield "a text", lambda _: "no JSON"
    yield "nested two thousand deep", lambda _: "[" * 2000 + "]" * 2000
    yield "info nested 200 deep", put("info", value=json.loads('{"a":' * 200 + "1" + "}" * 200))
    for value in ([], "x", 7, None, {"classes": 7}, {"classes": [7]}, {"classes": {"a": 1}}, {"classes": ["\ud800"]}):
        yield f"info {str(value)[:30]!r}", put("info", value=value)
    yield "info without classes", without("info", "classes")
    yield "a task that is none", put("info", "task", value="x")
    yield "a recipe that is none", put("info", "recipe", value=[1])
    for value in ([], "x", 7, None, {"epoch": "a"}, {"epoch": -1}, {"epoch": 1.5}, {"epoch": True}, {"step": 10**30}):
        yield f"progress {str(value)[:30]!r}", put("progress", value=value)
    for name, value in (("metrics", []), ("metrics", {"a": "b"}), ("best", "x"), ("loss", None), ("more", 1)):
        yield f"progress.{name} {value!r}", put("progress", name, value=value)
    yield "no progress", without("progress")
    yield "no info", without("info")
    yield "weights of a kind that is none", put("weights", value=7)
    yield "another format", put("format", value=["x"])
    for value in ([], "x", 7, {}, {"state": [], "param_groups": []}, {"state": {"a": {}}, "param_groups": []}):
        yield f"optimiser {str(value)[:40]!r}", put("optimizer", value=value)
    yield "groups of nothing", put("optimizer", "param_groups", value=[7])
    yield "groups of other parameters", put("optimizer", "param_groups", value=[{"params": [0, 1, 2, 99]}])
    yield "a tensor that is not there", put("optimizer", "state", "0", value={"momentum_buffer": {"$tensor": "x"}})
    yield "a type that is a function", put("optimizer", "state", "0", value={"momentum_buffer": {"$dtype": "load"}})
    yield "a state that is text", put("optimizer", "state", value="x")
