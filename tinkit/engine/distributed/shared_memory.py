"""Shared memory for NCCL: said before it fails with words that name a file below /dev/shm and no cause.

Processes of one machine whose GPUs do not reach each other directly exchange gradients through segments in /dev/shm, of
9.6 MB each by NCCL's own messages (github.com/NVIDIA/nccl, issue 525). Docker gives a container 64 MB.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SEGMENTS = Path("/dev/shm")
A_PROCESS = 40_000_000
"""Bytes that a process may need, assumed: a segment for each of two neighbours, in both directions."""


def shared_memory_warning(processes: int, folder: Path | None = None) -> str | None:
    """What to say where ``folder`` (``SEGMENTS``) has less room than so many processes here may need, or None.

    Nothing is said where NCCL_SHM_DISABLE is 1, for one process, and on a system without such a folder.
    """
    folder, needed = folder or SEGMENTS, processes * A_PROCESS
    if processes < 2 or os.environ.get("NCCL_SHM_DISABLE") == "1" or not folder.is_dir():
        return None
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return None
    return (
        f"{folder} has {free / 1e6:,.0f} MB free; {processes} processes with a GPU each may need {needed / 1e6:,.0f} "
        "MB for NCCL (docker: --shm-size=1g, or --ipc=host; NCCL_SHM_DISABLE=1 does without, more slowly)"
    )
