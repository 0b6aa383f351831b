"""A survey in this process alone: a child with limits starts no others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tinkit.data.manifest.manifest import Manifest
from tinkit.data.probe.clip import ClipProbe, HowToProbe
from tinkit.data.probe.survey import survey
from tinkit.spread.spread import Spread


def survey_here(manifest: Manifest) -> None:
    """Probe every clip of ``manifest``."""
    how = HowToProbe(str(manifest.root), manifest.media, manifest.frame_template)
    survey(manifest, how, lambda function: Spread(lambda: ThreadPoolExecutor(1), function, 1, _lost))


def _lost(path: str) -> ClipProbe:
    return ClipProbe(path, "unreadable")
