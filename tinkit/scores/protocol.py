"""The protocol of a test, as score files state it, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def protocol_words(protocol: Mapping[str, Any]) -> str:
    """A protocol for people: ``8 frames, 256/224, dense``; what is usual or not known is left out.

    ``protocol`` may have an ``average`` too.
    """
    words = []
    if "num_segments" in protocol:
        words.append(f"{protocol['num_segments']} frames")
    if "scale" in protocol or "crop" in protocol:
        words.append(f"{protocol.get('scale', '?')}/{protocol.get('crop', '?')}")
    if protocol.get("sampling", "centre") not in ("centre", "even"):
        words.append(str(protocol["sampling"]))
    if "stride" in protocol:
        words.append(f"stride {protocol['stride']}")
    if "fps" in protocol:
        words.append(f"{protocol['fps']:g} a second")
    if protocol.get("flip"):
        words.append("flipped too")
    if protocol.get("average") == "probabilities":
        words.append("mean of probabilities")
    if protocol.get("precision", "float32") != "float32":
        words.append(str(protocol["precision"]))
    return ", ".join(words)
