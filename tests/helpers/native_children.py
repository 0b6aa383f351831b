"""Processes that load a small native library, and compilers that misbehave, for the tests of building and caching."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from tinkit.native import cache
from tinkit.ops import native

# Compiles in a tenth of a second and leaves a mark in the process that has loaded it.
SOURCE = """
#include <cstdlib>
#include "answer.h"
__attribute__((constructor)) static void loaded() { setenv("LIBRARY_SAYS", ANSWER, 1); }
"""


@dataclass(frozen=True)
class Told:
    """What a child process came to: the library's own word once loaded, and the warnings that were logged."""

    state: native.Native
    answer: str | None
    warnings: list[str]


def loaded(told: Told, answer: str = "one") -> bool:
    """Whether the library was loaded, is the one that gives ``answer``, and nothing was warned of."""
    return told.state.loaded and told.answer == answer and told.warnings == []


def plain(told: Told, why: str) -> bool:
    """Whether nothing was loaded and ``why`` was said, once."""
    said = [line for line in told.warnings if "plain PyTorch" in line]
    return not told.state.loaded and told.answer is None and len(said) == 1 and why in said[0]


@dataclass
class Child:
    process: BaseProcess
    pipe: Connection

    def told(self) -> Told:
        assert self.pipe.poll(60), "the child says nothing"
        told = self.pipe.recv()
        self.process.join(60)
        return told


class Workshop:
    """A folder with sources, a cache, and a folder of compilers that is all of the children's PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kernels, self.bin, self.calls = folder / "kernels", folder / "bin", folder / "calls"
        self.cache = folder / "cache"
        (self.kernels / "cpu").mkdir(parents=True)
        self.bin.mkdir()
        (self.kernels / "cpu" / "library.cpp").write_text(SOURCE)
        self.answers("one")

    def answers(self, word: str) -> None:
        (self.kernels / "answer.h").write_text(f'#define ANSWER "{word}"\n')

    def compiler(self, before: str = "", *, name: str = "c++", version: str = "1") -> None:
        """Put a compiler there: the machine's own, which notes each call in ``calls`` and does ``before`` first."""
        real = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
        file = self.bin / name
        file.write_text(
            f"#!/bin/sh\nPATH={os.environ['PATH']}\n"
            f'case "$*" in *--version) echo "{name} test {version}"; exit 0;; esac\n'
            f'echo {name} "$@" >>{self.calls}\n{before}\nexec {real} "$@"\n'
        )
        file.chmod(0o755)

    def compiled(self) -> int:
        """How often a compiler was called since this was last asked."""
        count = len(self.calls.read_text().splitlines()) if self.calls.exists() else 0
        self.calls.unlink(missing_ok=True)
        return count

    def kept(self) -> list[Path]:
        return sorted((self.cache / "kernels").glob("*.so"))

    def start(self, count: int = 1, **environment: str) -> list[Child]:
        """Fork ``count`` processes that load the library at the same moment, each as if it were fresh."""
        context = multiprocessing.get_context("fork")
        gate = context.Barrier(count)
        environment = {"PATH": str(self.bin), "TINKIT_CACHE": str(self.cache), "CXX": ""} | environment
        children = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_live, args=(self.kernels, environment, gate.wait, theirs))
            process.start()
            theirs.close()
            children.append(Child(process, ours))
        return children

    def load(self, **environment: str) -> Told:
        return self.start(**environment)[0].told()


def _live(kernels: Path, environment: dict[str, str], wait: Callable[[], int], pipe: Connection) -> None:
    os.setpgid(0, 0)  # so that a test can kill the process with its compiler
    os.environ.update(environment)
    native._decided.cache_clear()
    cache.say_once.cache_clear()
    native.shipped = lambda kind: kernels  # type: ignore[assignment]
    heard = _Heard()
    cache.logger.addHandler(heard)
    wait()
    state = native.state()
    assert native.load() is state.loaded
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    answer = getenv(b"LIBRARY_SAYS")
    told = replace(state, library=None)  # a library stays in its process
    pipe.send(Told(told, answer and answer.decode(), heard.messages))


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
