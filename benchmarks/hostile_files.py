"""Pickles and zip archives that somebody made to harm or to mislead. Each is small and made here.

Nothing in them harms in earnest: what would run makes the file ``mark``.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

WEIGHTS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.ones(2)}


def member(data: bytes) -> bytes:
    """A file of ``torch.save`` with this pickle and two storages of numbers, all else right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/byteorder", b"little")
        for key, value in enumerate(WEIGHTS.values()):
            archive.writestr(f"a/data/{key}", value.numpy().tobytes())
        archive.writestr("a/version", b"3\n")
    return buffer.getvalue()


def called(module: str, name: str, argument: str) -> bytes:
    """A pickle of ``{"x": module.name(argument)}``."""
    return b"\x80\x02}" + _text("x") + f"c{module}\n{name}\n".encode() + _text(argument) + b"\x85Rs."


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _tensor(key: str, numel: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A pickle of ``{"layer.weight": tensor}`` with these claims."""

    def number(value: int) -> bytes:
        return pickle.dumps(value, 2)[2:-1]

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"((" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(key) + _text("cpu") + number(numel) + b"tQ"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + number(offset) + numbers(shape) + numbers(stride)
    return b"\x80\x02}" + _text("layer.weight") + rebuilt + b"\x89}tRs."


def running_pickles(mark: Path) -> Iterator[tuple[str, bytes]]:
    """Pickles that run something when they are unpickled as pickles are."""
    touch, python = f"touch {mark}", f"open({str(mark)!r}, 'w')"
    for module, name, argument in (
        ("os", "system", touch), ("posix", "system", touch), ("nt", "system", touch),
        ("subprocess", "getoutput", touch),
        ("subprocess", "Popen", touch), ("os", "popen", touch), ("builtins", "eval", python),
        ("builtins", "exec", python), ("__builtin__", "eval", python), ("__builtin__", "execfile", str(mark)),
        ("builtins", "open", str(mark)), ("builtins", "__import__", "antigravity"), ("builtins", "compile", python),
        ("importlib", "import_module", "antigravity"), ("runpy", "run_path", str(mark)), ("pty", "spawn", touch),
        ("shutil", "rmtree", str(mark)), ("os", "unlink", str(mark)), ("webbrowser", "open", f"file://{mark}"),
        ("ctypes", "CDLL", str(mark)), ("code", "interact", python), ("pdb", "run", python),
        ("timeit", "timeit", python), ("cProfile", "run", python), ("bdb", "Bdb", python),
        ("pickle", "loads", "cos\nsystem\n(S'" + touch + "'\ntR."), ("_pickle", "loads", touch),
        ("marshal", "loads", touch),
        ("shelve", "open", str(mark)), ("torch", "load", str(mark)), ("torch.hub", "load", str(mark)),
        ("torch.serialization", "load", str(mark)), ("torch.jit", "load", str(mark)),
        ("torch.storage", "_load_from_bytes", ""),
        ("torch.ops", "load_library", str(mark)), ("torch._utils", "_rebuild_unknown", touch),
        ("numpy", "load", str(mark)), ("numpy.testing._private.utils", "runstring", python),
        ("numpy.lib.npyio", "load", str(mark)), ("types", "FunctionType", python), ("types", "CodeType", python),
        ("functools", "partial", touch), ("operator", "methodcaller", "touch"), ("operator", "attrgetter", "os.system"),
        ("asyncio", "run", python), ("multiprocessing", "Process", touch), ("threading", "Thread", touch),
        ("socket", "create_connection", "localhost"), ("urllib.request", "urlopen", f"file://{mark}"),
        ("http.client", "HTTPConnection", "localhost"), ("pip", "main", "install"), ("setuptools", "setup", touch),
        ("builtins", "getattr", "os"), ("builtins", "setattr", "os"), ("builtins", "vars", "os"), ("sys", "exit", "3"),
        ("os", "_exit", "0"), ("os", "abort", ""), ("signal", "raise_signal", ""), ("posix", "fork", ""),
        ("atexit", "register", touch), ("logging.config", "fileConfig", str(mark)), ("xmlrpc.client", "loads", touch),
        ("tinkit.files.atomic", "write_atomic", str(mark)), ("codecs", "open", str(mark)), ("io", "open", str(mark)),
        ("tempfile", "mkstemp", str(mark)), ("pathlib", "Path.touch", str(mark)),
    ):  # fmt: skip
        yield f"{module}.{name}", called(module, name, argument)
    system = b"cos\nsystem\n" + _text(touch) + b"\x85R"
    yield "a call inside a key", b"\x80\x02}" + system + _text("x") + b"s."
    yield "a call as a persistent id", b"\x80\x02}" + _text("x") + system + b"Qs."
    yield "a persistent id in a persistent id", b"\x80\x02(" + _text("storage") + system + b"tQ."
    yield (
        "BUILD with a __setstate__",
        (b"\x80\x02cargparse\nNamespace\n)\x81}" + _text("__setstate__") + b"cos\nsystem\nsb" + _text(touch) + b"b."),
    )
    yield "BUILD of a class", b"\x80\x02ccollections\nOrderedDict\nN}" + _text("__init__") + b"cos\nsystem\ns\x86b."
    yield "BUILD of a function", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}" + _text("__code__") + b"K\x01sb."
    yield (
        "BUILD of torch's function",
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}" + _text("__kwdefaults__") + b"}s\x86b."),
    )
    yield "INST", b"(S'" + touch.encode() + b"'\nios\nsystem\n."
    yield "OBJ", b"(cos\nsystem\nS'" + touch.encode() + b"'\no."
    yield "NEWOBJ_EX", b"\x80\x04cos\nsystem\n" + _text(touch) + b"\x85}\x92."
    yield "STACK_GLOBAL", b"\x80\x04" + _text("os") + _text("system") + b"\x93" + _text(touch) + b"\x85R."
    yield "an extension", b"\x80\x02\x82\x01" + _text(touch) + b"\x85R."
    yield (
        "a call of what getattr found",
        (
            b"\x80\x02cbuiltins\ngetattr\n(cpathlib\nPath\n"
            + _text("touch")
            + b"tRcpathlib\nPath\n"
            + _text(str(mark))
            + b"\x85R\x85R."
        ),
    )
    yield "a call of a partial", b"\x80\x02cfunctools\npartial\ncfoo\nrun\n" + _text(touch) + b"\x86R)R."
    yield "a reducer's own reducer", b"\x80\x02ccopy_reg\n_reconstructor\n(cos\nsystem\n" + _text(touch) + b"NtR."
    yield (
        "a rebuilt type with a function",
        (b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n" + _text(touch) + b"\x85}tR."),
    )


def heavy_pickles(size: int = 1_000_000) -> Iterator[tuple[str, bytes]]:
    """Pickles that take memory, time or the stack of whoever follows them; ``size`` is how much of it."""
    yield "memo at a huge index", b"\x80\x02}r\xff\xff\xff\x7f."
    yield "PUT at a huge index", b"}p" + b"9" * 4000 + b"\n."
    yield "lists, deep in each other", b"\x80\x02" + b"]" * size + b"a" * (size - 1) + b"."
    yield "tuples, deep in each other", b"\x80\x02)" + b"\x85" * size + b"."
    yield "a key of deep tuples", b"\x80\x02})" + b"\x85" * size + b"K\x01s."
    yield "billion laughs", b"\x80\x02]" + b"".join(b"q\x00(" + b"h\x00" * 10 + b"l" for _ in range(40)) + b"."
    yield "doubled tuples", b"\x80\x02)" + b"2\x86" * 100_000 + b"."
    yield (
        "an ordered dictionary of one list, again and again",
        (
            b"\x80\x02]("
            + (_text("k") + b"K\x01\x86") * (size // 50)
            + b"eq\x00"
            + b"ccollections\nOrderedDict\nh\x00\x85R0" * (size // 50)
            + b"."
        ),
    )
    yield "an integer of a million digits", b"L" + b"9" * 1_000_000 + b"L\n."
    yield "an integer of 8 million bits", b"\x80\x02\x8b" + struct.pack("<i", 1_000_000) + b"\x7f" * 1_000_000 + b"."
    yield "an integer of negative length", b"\x80\x02\x8b" + struct.pack("<i", -1) + b"."
    yield "text that claims 4 GB", b"\x80\x02X\xff\xff\xff\xff" + b"a" * 100 + b"."
    yield "text that claims 16 EB", b"\x80\x04\x8d" + b"\xff" * 8 + b"a" * 100 + b"."
    yield "a bytearray that claims 16 EB", b"\x80\x05\x96" + b"\xff" * 8 + b"."
    yield "marks alone", b"\x80\x02" + b"(" * size + b"."
    yield "dictionaries alone", b"\x80\x02" + b"}" * (12 * size) + b"."
    yield (
        "rebuilt types, deep in each other",
        (
            b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\nq\x00ctorch\nTensor\nq\x010)"
            + b"q\x020(h\x00h\x01h\x02Nt" * (size // 50)
            + b"R."
        ),
    )
    yield "itself", b"\x80\x02}q\x00" + _text("state_dict") + b"h\x00s."
    yield "itself in itself", b"\x80\x02}q\x00" + _text("model") + b"}" + _text("state_dict") + b"h\x00ss."
    yield "nothing on the stack", b"\x80\x02."
    yield "no end", b"\x80\x02}"
    yield "an empty pickle", b""
    for name, claim in (
        ("a shape of 4 TB", ("0", 6, 0, (1 << 40,), (1,))),
        ("a shape beyond the numbers", ("0", 6, 0, (7,), (1,))),
        ("an offset beyond the numbers", ("0", 6, 6, (1,), (1,))),
        ("a negative offset", ("0", 6, -1, (1,), (1,))),
        ("a negative stride", ("0", 6, 5, (6,), (-1,))),
        ("a negative size", ("0", 6, 0, (-6,), (1,))),
        ("a stride beyond the numbers", ("0", 6, 0, (2, 3), (1 << 61, 1))),
        ("a storage longer than its member", ("0", 4096, 0, (4096,), (1,))),
        ("a storage of 2**62 items", ("0", 1 << 62, 0, (6,), (1,))),
        ("a storage of -6 items", ("0", -6, 0, (6,), (1,))),
        ("a storage that is not there", ("../../etc/passwd", 6, 0, (6,), (1,))),
        ("ten thousand dimensions", ("0", 6, 0, (1,) * 10_000, (0,) * 10_000)),
        ("another number of strides", ("0", 6, 0, (2, 3), (1,))),
    ):
        yield name, _tensor(*claim)


def hostile_archives(mark: Path, bomb: int = 1 << 30) -> Iterator[tuple[str, bytes]]:
    """Zip archives of good pickles whose members are not what they should be."""
    good = io.BytesIO()
    torch.save({"state_dict": WEIGHTS}, good)
    with zipfile.ZipFile(io.BytesIO(good.getvalue())) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    root = next(iter(members)).partition("/")[0]

    def packed(entries: list[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", how) as archive:
            for name, data in entries:
                archive.writestr(name, data)
        return buffer.getvalue()

    items = list(members.items())
    yield (
        "a bomb: a member of 1 GB in 1 MB" if bomb >> 30 else "a small bomb",
        packed([*items, (f"{root}/data/9", bytes(bomb))], zipfile.ZIP_DEFLATED),
    )
    yield "a compressed pickle", packed(items, zipfile.ZIP_DEFLATED)
    yield "a path out of the archive", packed([(name.replace(root, f"../../{mark}", 1), data) for name, data in items])
    yield "an absolute path", packed([(name.replace(root, str(mark), 1), data) for name, data in items])
    yield "no pickle", packed(items[1:])
    yield "an empty archive", b"PK\x05\x06" + bytes(18)
    yield "an empty archive behind a member's beginning", b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
    whole = packed(items)
    for name, at, value in (
        ("a member that claims 4 GB", 24, b"\xfe\xff\xff\xff"),
        ("a member that starts behind the end", 42, b"\xf0\xff\xff\x7f"),
        ("a member in another way of packing", 10, b"\x63\x00"),
        ("an encrypted member", 8, b"\x01\x00"),
    ):
        entry = whole.index(b"PK\x01\x02")
        yield name, whole[: entry + at] + value + whole[entry + at + len(value) :]
    flipped = whole.index(WEIGHTS["layer.weight"].numpy().tobytes())
    yield "a flipped bit in a weight", whole[:flipped] + bytes([whole[flipped] ^ 64]) + whole[flipped + 1 :]
    other = [(name, b"big" if name.endswith("byteorder") else data) for name, data in items]
    yield "another byte order", packed(other)
