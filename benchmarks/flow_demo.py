"""The demo's TSN on frames, on differences of frames and on optical flow: what moves, seen without a temporal module.

Makes the synthetic challenge and its flow (DIS) by tinkit's own commands, trains each modality, tests it, and writes
``benchmarks/results/flow_demo.md``. Needs the extra called flow.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.demo import clips_per_second, test_metrics, tinkit
from benchmarks.machine import machine

RESULT = Path(__file__).parent / "results" / "flow_demo.md"
RECIPE = "demo_tsn"
MODALITIES = ("rgb", "rgb_diff", "flow")
HEAD = """# Optical flow and RGB differences on the synthetic challenge

`python -m benchmarks.flow_demo`: the recipe `{recipe}` (TSN, a small ResNet from scratch, 8 segments) with
`clip.modality` as below, one seed. Test split, one view, in percent; clips/s in training. Flow by `tinkit data flow`
(DIS, bound 20): {seconds:.0f} s for 1,800 clips of 24 frames of 80x64, two processes.

{machine}

| modality | sample mAP | class mAP | class mAP, order of time | clips/s |
|---|---|---|---|---|
"""


def main() -> None:
    """Run the commands and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo/flow"), help="where everything goes")
    folder: Path = parser.parse_args().folder
    data, runs = folder / "data", folder / "runs"
    tinkit("synth", "mmit", data)
    begun = time.monotonic()
    tinkit("data", "flow", RECIPE, "--data", data)
    seconds = time.monotonic() - begun
    about = machine("torch", "timm", "opencv-contrib-python-headless")
    rows = []
    for modality in MODALITIES:
        tinkit(
            "train", RECIPE, "--name", modality, "--data", data, "--runs", runs, "--set", f"clip.modality={modality}"
        )
        tinkit("test", modality, "--split", "test", "--views", "1x1", "--runs", runs)
        scores = test_metrics(next((runs / modality / "scores").glob("test-1x1-*.arrow")), data)
        values = [*scores.values(), clips_per_second(runs / modality)]
        rows.append(f"| {modality} | " + " | ".join(f"{value:.2f}" for value in values) + " |\n")
    RESULT.write_text(HEAD.format(recipe=RECIPE, seconds=seconds, machine=about) + "".join(rows))


if __name__ == "__main__":
    main()
