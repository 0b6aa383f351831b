"""Which names a pickle may mention, and the empty thing that takes the place of every object that is not a tensor.

A pickle names classes and functions, and unpickling would call them. Here a name is only ever text: what it makes is a
:class:`StandIn`. So nothing that is named can run, and the names that are refused are refused to be heard, not to be
safe: a file that names ``os.system`` holds no weights or scores to use.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Name:
    """What a pickle calls ``module.name``. It is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class StandIn(dict[Any, Any]):
    """Takes the place of an object that ``name`` makes.

    It keeps what the pickle puts into it as into a dictionary, since classes of configurations are that, and nothing
    else: no state and no attributes. As a key it is like no other.
    """

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: Name | None, arguments: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self.name = name
        self.arguments = arguments
        """What ``name`` was called with, of one in :data:`MAKERS` only."""
        self.state: Any = None
        """What the pickle built it from, of one in :data:`MAKERS` only."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dictionary has none
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CORES = ("numpy.core", "numpy._core")
MAKERS = frozenset(
    [
        *(f"{core}.multiarray.{name}" for core in _CORES for name in ("scalar", "_reconstruct")),
        *(f"{core}.numeric._frombuffer" for core in _CORES),
        *("numpy.dtype", "torch.storage._load_from_bytes"),
    ]
)
"""What NumPy's arrays, and the numbers of tensors in a plain pickle, are made by."""

# Python 2 called this module otherwise.
_BUILTINS = ("builtins", "__builtin__")
_BUILTIN_NAMES = _words(
    "bool bytearray bytes complex dict float frozenset getattr int list long object range set slice str tuple type "
    "unicode xrange basestring Ellipsis NoneType NotImplementedType"
)
# Modules of Python's own whose objects stand in checkpoints, and none of whose names does anything.
_HARMLESS_MODULES = _words(
    "argparse array collections datetime decimal enum fractions numbers pathlib pathlib._local random types typing "
    "uuid zoneinfo ipaddress string"
)
_HARMLESS_NAMES = frozenset(
    [
        *("_codecs.encode", "codecs.encode", "copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__"),
        *("functools.partial", "operator.attrgetter", "operator.itemgetter", "re._compile", "time.struct_time"),
        *("logging.Logger", "logging.getLogger", "logging._levelToName", "weakref.ref", "threading.Lock"),
        *("dataclasses._MISSING_TYPE", "dataclasses._HAS_DEFAULT_FACTORY_CLASS", "abc.ABCMeta"),
        *("torch.Size", "torch.device", "torch.memory_format", "torch.serialization._get_layout"),
        *("torch._C.Generator", "torch.torch_version.TorchVersion", "torch.version.__version__"),
        *MAKERS,
    ]
)
# These libraries have functions that load and run things: of theirs, classes only, which begin with a capital letter,
# and what lies in these of their modules.
_LIBRARIES = ("torch", "numpy")
_LIBRARY_MODULES = ("torch.optim", "torch.nn", "torch.amp", "torch.cuda.amp", "numpy.random", "numpy.ma")
_TYPES_OF_NUMBERS = _words(
    "bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 float bfloat16 complex64 "
    "complex128 complex32 half double long short int longlong intc dtype ndarray str_ bytes_ void object_ qint8 quint8 "
    "qint32 quint4x2 quint2x4 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz strided sparse_coo sparse_csr "
    "contiguous_format channels_last channels_last_3d preserve_format "
    "per_tensor_affine per_channel_affine per_tensor_symmetric per_channel_symmetric per_channel_affine_float_qparams"
)


def is_harmless(name: Name) -> bool:
    """Whether a checkpoint may mention ``name``.

    What is neither Python's nor one of the two libraries' is a program's own, and may.
    """
    whole, top = str(name), name.module.partition(".")[0]
    if name.module in _BUILTINS:
        return name.name in _BUILTIN_NAMES
    if whole in _HARMLESS_NAMES or name.module in _HARMLESS_MODULES:
        return True
    if top in _LIBRARIES:
        within = any(name.module == part or name.module.startswith(f"{part}.") for part in _LIBRARY_MODULES)
        last = name.name.rpartition(".")[2]
        return within or last[:1].isupper() or (name.module == top and last in _TYPES_OF_NUMBERS)
    return top not in sys.stdlib_module_names
