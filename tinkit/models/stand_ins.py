"""What may stand in a checkpoint beside tensors, by name, and the empty things that take its place.

``torch.load(weights_only=True)`` rebuilds nothing but what is on a list. Many files hold a NumPy number or array, and
those of mmengine (mmaction2 from version 1.0) the history of their losses, of a class that we do not have and do not
want. Each name here stands for something that does nothing and keeps nothing, so that the tensors can be read;
``builtins.getattr``, which a file of mmengine calls to find methods of that class, is not the real one either. A name
that is not here is refused.
"""

from __future__ import annotations

from typing import Any

# NumPy 1 and 2 name the module differently. Scripts save their best score, more often than not a NumPy number.
_NUMPY_FUNCTIONS = tuple((core, name) for core in ("core", "_core") for name in ("scalar", "_reconstruct"))


class Inert:
    """Takes the place of an object: made from anything, given any state, it keeps none of it."""

    def __new__(cls, *_arguments: Any) -> Inert:
        """An empty one, whatever it is made from."""
        return super().__new__(cls)

    def __init__(self, *_arguments: Any) -> None:
        """Nothing."""

    def __setstate__(self, _state: Any) -> None:
        """Nothing: without this method the state would become attributes."""


def inert(*_arguments: Any) -> Inert:
    """Takes the place of a function: does not look at what it is given."""
    return Inert()


def allowed_names() -> list[Any]:
    """What ``torch.serialization.safe_globals`` is given while a checkpoint is read: a stand-in and the name it has."""
    functions = ("builtins.getattr", *(f"numpy.{core}.multiarray.{name}" for core, name in _NUMPY_FUNCTIONS))
    classes = ("mmengine.logging.history_buffer.HistoryBuffer", "numpy.ndarray", "numpy.dtype")
    return [*((inert, name) for name in functions), *((Inert, name) for name in classes)]
