"""Every image model of timm's: which family it is of, where its features move, and that a clip gets through.

Networks have shapes only, no numbers: TIN and TSM are put into each model of the supported families, and one clip of
its usual size is passed through. `make test-models` writes benchmarks/results/backbones.csv and fails where a model of
a supported family cannot be used, unless its error says why.

    python -m benchmarks.backbones
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections import Counter
from pathlib import Path

import torch

from tinkit.errors import UserError
from tinkit.files.atomic import atomic_path
from tinkit.models import TemporalConv2d, VideoClassifier
from tinkit.models.backbones.families import family_of
from tinkit.timm_import import import_timm

RESULT = Path(__file__).parent / "results" / "backbones.csv"
FRAMES, CLASSES = 4, 7


def main() -> None:
    """One row a model and temporal module."""
    warnings.simplefilter("ignore")
    timm = import_timm()
    rows = [row for name in timm.list_models() for row in rows_of(name)]
    with atomic_path(RESULT) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    counts = Counter((row["family"] or "no family", row["outcome"].partition(":")[0]) for row in rows)
    for (family, outcome), count in sorted(counts.items()):
        print(f"{count:5d}  {family}: {outcome}")
    failed = [row for row in rows if row["outcome"].startswith("failed")]
    for row in failed:
        print(f"{row['backbone']} {row['temporal']}: {row['outcome']}", file=sys.stderr)
    sys.exit(bool(failed))


def rows_of(name: str) -> list[dict[str, str]]:
    """What became of a backbone with each temporal module."""
    try:
        family = family_of(name).name
    except UserError:
        return [{"backbone": name, "family": "", "temporal": "", "places": "", "outcome": "by a place named by hand"}]
    return [{"backbone": name, "family": family, "temporal": kind, **tried(name, kind)} for kind in ("tin", "tsm")]


def tried(name: str, kind: str) -> dict[str, str]:
    """How many modules the features move before, and ``works``, ``refused: WHY`` or ``failed: HOW``."""
    try:
        with torch.device("meta"):
            model = VideoClassifier(name, kind, CLASSES, FRAMES)  # type: ignore[arg-type]
            size = model.backbone.pretrained_cfg["input_size"][-1]  # type: ignore[index]
            logits = model.eval()(torch.empty(1, FRAMES, 3, size, size))
    except UserError as error:
        return {"places": "", "outcome": f"refused: {error.problem}"}
    except Exception as error:  # whatever a model of timm's may raise is what this looks for
        return {"places": "", "outcome": f"failed: {type(error).__name__}: {str(error).splitlines()[0][:150]}"}
    places = sum(isinstance(m, TemporalConv2d) or hasattr(m, "temporal") for m in model.backbone.modules())
    if logits.shape != (1, CLASSES) or not places:
        return {"places": str(places), "outcome": f"failed: logits {tuple(logits.shape)}, {places} places"}
    return {"places": str(places), "outcome": "works"}


if __name__ == "__main__":
    main()
