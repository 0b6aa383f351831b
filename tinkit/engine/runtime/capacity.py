"""What this machine has to train with."""

from __future__ import annotations

import os

import torch

from tinkit.models.hub import can_be_had
from tinkit.recipe.starter import Machine, backbone_for
from tinkit.workers.cores import usable_cores


def this_machine() -> Machine:
    """Cores, memory and GPU of this machine, and whether the weights of its backbone are here or can be fetched."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    gpu = torch.cuda.get_device_properties(0).total_memory / 1e9 if torch.cuda.is_available() else 0.0
    bare = Machine(usable_cores(), memory, gpu, weights=False)
    return Machine(bare.cores, memory, gpu, weights=can_be_had(backbone_for(bare)))
