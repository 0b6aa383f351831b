"""Memory that a data worker and the process that trains both see: reserved before it is written to.

A page of a file in memory that the system cannot provide when it is touched is a bus error, which kills a process
without a word. So the whole of a batch is asked for first, which fails with a reason.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import tempfile
from typing import Self

import torch
from torch import Tensor

from tinkit.errors import UserError

logger = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT)


class BatchMemory:
    """A file in memory that has no name, so that it goes with those who hold it; else one in the temporary folder.

    A context manager that closes it where its block fails; else whoever takes ``descriptor`` does.
    """

    def __init__(self) -> None:
        self.descriptor = -1

    def room(self, shape: tuple[int, ...]) -> Tensor:
        """A uint8 tensor of ``shape`` in it. Raises :class:`~tinkit.errors.UserError` where there is no room."""
        self.descriptor = _reserved(math.prod(shape))
        return mapped(self.descriptor, shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.descriptor >= 0:
            os.close(self.descriptor)


def mapped(descriptor: int, shape: tuple[int, ...]) -> Tensor:
    """The bytes of an open file as a tensor."""
    flat = torch.from_file(f"/dev/fd/{descriptor}", shared=True, size=math.prod(shape), dtype=torch.uint8)
    return flat.view(shape)


def _reserved(size: int) -> int:
    """A new open file of ``size`` bytes that are there."""
    problems = []
    for what, make in (("memory", _in_memory), (f"the folder {tempfile.gettempdir()}", _in_folder)):
        try:
            descriptor = make()
        except OSError as error:  # a system that has no such files, or does not allow them
            problems.append(f"{what}: {error.strerror}")
            continue
        try:
            if size:
                _allocate(descriptor, size)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _FULL:
                raise
            problems.append(f"{what}: {error.strerror}")
            continue
        if problems:
            logger.warning("batches of %.0f MB lie in files in %s (%s)", size / 1e6, what, problems[0])
        return descriptor
    raise UserError(
        f"there is no room for a batch of {size / 1e6:,.0f} MB ({'; '.join(problems)})",
        fix="a smaller optim.batch, --set train.workers=0, TMPDIR on a larger disk, or more memory for the container "
        "(docker: --memory; --shm-size does not matter to it)",
    )


def _in_memory() -> int:
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return os.memfd_create("tinkit-batch", os.MFD_CLOEXEC)


def _in_folder() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:  # macOS has none
        os.ftruncate(descriptor, size)
