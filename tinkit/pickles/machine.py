"""Follow a pickle's instructions without doing what they say: tensors come out as descriptions, objects as stand-ins.

``torch.load(weights_only=True)`` is for files of tensors alone: it refuses a whole file for one configuration beside
the weights. This machine calls nothing and imports nothing, so it need not refuse; Python's own list of instructions
(:mod:`pickletools`) reads the stream. The work is limited by the number of instructions.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import IO, Any

from tinkit.pickles.names import MAKERS, Name, StandIn, is_harmless
from tinkit.pickles.tensors import (
    ITEM_BYTES,
    REBUILDERS,
    OddTensor,
    PickleError,
    RefusedError,
    TensorRef,
    described_storage,
    described_tensor,
)

MOST_STEPS = 3_000_000  # seventy thousand tensors; reading as many takes a few seconds and 0.25 GB
_LARGE_READ = 1 << 16

_MARK = object()
_SIMPLE_KEYS = (str, int, float, bool, bytes, type(None), Name, StandIn)


def follow(stream: IO[bytes] | bytes, widths: dict[str, int] | None = None, *, most_steps: int = MOST_STEPS) -> Any:
    """What the pickle at the beginning of ``stream`` describes; a file stands behind it afterwards.

    ``widths`` gets the bytes of an item of every storage that is mentioned, by key. Raises :class:`PickleError`, also
    for a pickle of more instructions than ``most_steps``, and
    :class:`RefusedError` for a name that :func:`~tinkit.pickles.names.is_harmless` refuses.
    """
    machine = _Machine({} if widths is None else widths, most_steps)
    source = stream if isinstance(stream, bytes) else _Within(stream)
    try:
        for operation, argument, _ in pickletools.genops(source):  # type: ignore[arg-type]  # it reads, and tells where
            if operation.name == "STOP":
                return machine.stack.pop()
            machine.step(operation.name, argument)
    # what the stream's own words and a stack that is too short lead to
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, EOFError, RecursionError) as error:
        raise PickleError(f"{type(error).__name__}: {error}") from error
    raise PickleError("it does not end")


class _Within:
    """A stream that is never asked for more bytes than it has: memory would be taken for them first."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.readline = stream.readline

    def read(self, count: int) -> bytes:
        if count > _LARGE_READ:
            here = self.stream.tell()
            self.stream.seek(0, 2)
            count = min(count, self.stream.tell() - here)
            self.stream.seek(here)
        return self.stream.read(count)


class _Machine:
    def __init__(self, widths: dict[str, int], most_steps: int) -> None:
        self.widths = widths
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.most = self.left = most_steps

    def step(self, name: str, argument: Any) -> None:
        self._spend(1)
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _NEW:
            stack.append(_NEW[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif (method := getattr(self, f"_op_{name.lower()}", None)) is not None:
            method(argument)
        elif argument is not None and name not in ("EXT1", "EXT2", "EXT4"):
            stack.append(argument)  # numbers, text, bytes
        else:
            raise PickleError(f"the instruction {name} has no place in a checkpoint")

    def _spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise PickleError(f"it takes more than {self.most:,} steps to read")

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def _op_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _op_pop(self, _: Any) -> None:
        self.stack.pop()

    def _op_pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _op_tuple1(self, _: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _op_tuple2(self, _: Any) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _op_tuple3(self, _: Any) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def _op_list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    def _op_dict(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append({})
        self._set(items)

    def _op_frozenset(self, _: Any) -> None:
        self._since_mark()
        self.stack.append(StandIn(None))

    def _op_append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _op_appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _op_additems(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _op_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _op_setitems(self, _: Any) -> None:
        self._set(self._since_mark())

    def _op_global(self, argument: str) -> None:
        self.stack.append(_name(*argument.split(" ", 1)))

    def _op_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_name(module, name))

    def _op_inst(self, argument: str) -> None:
        arguments = tuple(self._since_mark())
        self.stack.append(self._made(_name(*argument.split(" ", 1)), arguments))

    def _op_obj(self, _: Any) -> None:
        name, *arguments = self._since_mark()
        self.stack.append(self._made(name, tuple(arguments)))

    def _op_newobj(self, _: Any) -> None:
        self._op_reduce(None)

    def _op_newobj_ex(self, _: Any) -> None:
        self.stack.pop()
        self._op_reduce(None)

    def _op_reduce(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        self.stack.append(self._made(name, arguments))

    def _op_build(self, _: Any) -> None:
        """An object's state is passed over; only of an array and its type it is kept."""
        state, thing = self.stack.pop(), self.stack[-1]
        if isinstance(thing, StandIn):
            thing.state = state if str(thing.name) in MAKERS else None
        elif not isinstance(thing, dict | TensorRef | OddTensor):
            raise PickleError(f"it builds upon {type(thing).__name__}")

    def _op_binpersid(self, _: Any) -> None:
        kind, *about = self.stack.pop()
        if kind == "module":  # a class whose source stands beside it, in a file of a whole model
            self.stack.append(about[0])
        elif kind == "storage":
            storage = described_storage(*about)
            self.widths.setdefault(storage.key, ITEM_BYTES[storage.dtype])
            self.stack.append(storage)
        else:
            raise PickleError("a reference to nothing that a checkpoint has")

    def _op_persid(self, _: Any) -> None:
        raise PickleError("a reference to nothing that a checkpoint has")

    def _set(self, items: list[Any]) -> None:
        mapping = self.stack[-1]
        if not isinstance(mapping, dict) or len(items) % 2:
            raise PickleError(f"it sets an item of {type(mapping).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, _SIMPLE_KEYS):  # a nest of tuples would take the whole stack to be hashed
                mapping[key] = value

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)
        elif not isinstance(self.stack[-1], StandIn):
            raise PickleError(f"it appends to {type(self.stack[-1]).__name__}")

    def _made(self, name: Any, arguments: Any) -> Any:
        """What calling ``name`` would make, described."""
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise RefusedError("a call of something that the file itself makes")
        if name.module in REBUILDERS:
            return described_tensor(name, arguments)
        if (name.module, name.name) == ("collections", "OrderedDict"):
            return self._ordered(arguments)
        if name.name == "getattr" and not (arguments and isinstance(arguments[0], Name)):
            raise RefusedError("builtins.getattr of an object")  # of a class: how enumerations and methods are saved
        if name.name == "_reconstructor" and arguments and isinstance(arguments[0], Name):
            return StandIn(arguments[0])
        match str(name):
            case "torch.Size" if arguments:
                return arguments[0]
            case "torch.storage._load_from_bytes" if not (len(arguments) == 1 and isinstance(arguments[0], bytes)):
                raise RefusedError(str(name))
            case whole if whole in MAKERS:
                return StandIn(name, arguments)
            case "_codecs.encode" | "builtins.bytes" | "__builtin__.bytes" | "builtins.bytearray":
                return _bytes(arguments)
        return StandIn(name)

    def _ordered(self, arguments: tuple[Any, ...]) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for pair in arguments[0] if arguments else ():
            self._spend(1)
            if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], _SIMPLE_KEYS):
                made[pair[0]] = pair[1]
        return made


_NEW: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": lambda: StandIn(None)}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def _bytes(arguments: tuple[Any, ...]) -> Any:
    """Bytes as pickles of the older protocols have them: a text of their characters, or other bytes."""
    match arguments:
        case ():
            return b""
        case (bytes() | bytearray() as data,):
            return data
        case (str() as text, "latin1" | "latin-1"):
            return text.encode("latin-1")
    return StandIn(None)


def _name(module: Any, name: Any) -> Name:
    if not isinstance(module, str) or not isinstance(name, str):
        raise PickleError("a name that is not text")
    found = Name(module, name)
    if module not in REBUILDERS and not is_harmless(found):
        raise RefusedError(str(found))
    return found
