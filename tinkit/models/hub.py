"""Fetching ImageNet weights: one line says so, and the libraries' lines about every attempt are silenced."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tinkit.timm_import import import_timm

logger = logging.getLogger(__name__)

_TALKERS = ("huggingface_hub", "timm", "httpx", "urllib3", "requests")  # a line and a wait for every try
_HUB = "https://huggingface.co"
_PATIENCE = 3.0  # seconds
_FILES = ("model.safetensors", "pytorch_model.bin")


@contextmanager
def fetching(name: str) -> Iterator[None]:
    """While timm makes ``name`` with its pretrained weights: say so where they are not on this machine yet."""
    if not _is_here(name):
        logger.warning(
            "fetching the ImageNet weights of %s (usually 10 to 400 MB); without a network, this is given up after a "
            "minute or so",
            name,
        )
    talkers = [logging.getLogger(talker) for talker in _TALKERS]
    levels = [talker.level for talker in talkers]
    for talker in talkers:
        talker.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for talker, level in zip(talkers, levels, strict=True):
            talker.setLevel(level)


def can_be_had(name: str) -> bool:
    """Whether the pretrained weights of ``name`` are on this machine, or its hub answers within some seconds."""
    if _is_here(name):
        return True
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return False
    address = urlsplit(os.environ.get("HF_ENDPOINT") or _HUB)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), timeout=_PATIENCE):
            return True
    except (OSError, ValueError):
        return False


def _is_here(name: str) -> bool:
    """Whether the hub's cache holds the weights; timm's other sources are not asked for."""
    from huggingface_hub import try_to_load_from_cache

    config = import_timm().models.get_pretrained_cfg(name, allow_unregistered=True)
    hub = getattr(config, "hf_hub_id", None)
    return isinstance(hub, str) and any(isinstance(try_to_load_from_cache(hub, file), str) for file in _FILES)
