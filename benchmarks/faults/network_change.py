"""How a network is changed: by the names of its modules, so that the same can be done to a plain one.

A change is given the model and what is undone after the forward passes: patches of classes, modes, hooks on all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from torch import nn

Change = Callable[[Any, ExitStack], object]
TEMPORAL = "layer2.1.conv1.temporal"


class Case(NamedTuple):
    """A module by name: ``owner`` is what holds it."""

    owner: Any
    attribute: str

    @property
    def module(self) -> Any:
        return getattr(self.owner, self.attribute)

    def put(self, module: nn.Module) -> None:
        setattr(self.owner, self.attribute, module)


def at(model: Any, name: str) -> Case:
    """``name`` in the backbone."""
    owner, _, attribute = name.rpartition(".")
    return Case(model.backbone.get_submodule(owner), attribute)


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name`` is ``value`` for the block."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def scaled_method(function: Callable[..., Any], by: float = 1.5, wraps: bool = False) -> Callable[..., Any]:
    """A function for a class that gives ``by`` times what ``function`` does."""

    def method(self: Any, *given: Any) -> Any:
        return by * function(self, *given)

    return functools.wraps(function)(method) if wraps else method


def change(table: dict[str, Change], name: str) -> Callable[[Change], Change]:
    """Enter a change into a table of them."""

    def enter(function: Change) -> Change:
        table[name] = function
        return function

    return enter
