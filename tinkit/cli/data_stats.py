"""``tinkit data stats``: labels and their company, and what the files are like, as tables and as a plot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.data_options import data_config
from tinkit.cli.data_prepare import summary_of
from tinkit.cli.options import DataOption, DatasetArgument, JsonOption, SetOption, SplitOption
from tinkit.cli.parser import examples
from tinkit.terminal import Notices, note, print_json, print_line, print_table

if TYPE_CHECKING:
    from tinkit.data.config.dataset import DataConfig
    from tinkit.data.look.files import FilesSeen, Measure
    from tinkit.data.look.labels import Pair
    from tinkit.data.manifest.manifest import Manifest

EPILOG = examples(
    "tinkit data stats mmit --split val",
    "tinkit data stats mmit --json",
    "tinkit data stats mmit --top 30 --sample 500 --plot mmit.svg",
)

_SAMPLE_SEED = 0


def stats(
    what: DatasetArgument,
    *,
    data: DataOption = None,
    overrides: SetOption = None,
    split: SplitOption = "train",
    top: Annotated[int, typer.Option(min=1, help="How many pairs of classes that occur together.")] = 10,
    sample: Annotated[
        int, typer.Option(min=0, metavar="N", help="Measure the brightness of N clips drawn at random; 0 of none.")
    ] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw all this too: a .png or .svg; needs tinkit[plot].")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count labels, and describe the files.

    How many clips have each class, how many labels a clip has, which classes occur together; and of the files that
    `tinkit data prepare` has probed the frames, duration, rate, size and distance of keyframes, and how many have
    sound.
    """
    from tinkit.data.look.files import files_seen, packed_seen
    from tinkit.data.look.labels import most_common_pairs
    from tinkit.data.manifest.manifest import open_manifest
    from tinkit.data.probe.survey import read_probes

    if plot is not None:
        from tinkit.data.look.plot import check_plot

        check_plot(plot)
    config = data_config(what, data, overrides)
    manifest = open_manifest(config, split)
    pairs = most_common_pairs(manifest, top)
    packed = manifest.packed
    seen = files_seen(manifest, read_probes(manifest)) if packed is None else packed_seen(manifest, packed.clips())
    bright = _brightness(manifest, config, sample)
    if plot is not None:
        _plot(plot, manifest, pairs, [*seen.measures, *bright])
    if as_json:
        print_json(_values(manifest, pairs, seen, bright))
    else:
        _tell_labels(manifest, pairs)
        _tell_files(manifest, seen, bright)


def _brightness(manifest: Manifest, config: DataConfig, count: int) -> list[Measure]:
    """The brightness of ``count`` clips; nothing where none was asked for or none can be read."""
    from tinkit.data.decode.settings import DecodeSettings
    from tinkit.data.look.brightness import brightness
    from tinkit.data.look.draw import drawn_rows

    rows = drawn_rows(manifest, count, _SAMPLE_SEED)
    if not rows:
        return []
    manifest.require_media()
    notices = Notices()
    with notices.bar("brightness", len(rows), shown=notices.is_terminal) as bar:
        measure = brightness(manifest, rows, DecodeSettings.of(config), bar.advance)
    if broken := len(rows) - len(measure.values):
        note(f"{broken} of {len(rows)} clips cannot be read, and have no brightness")
    return [measure] if len(measure.values) else []


def _plot(file: Path, manifest: Manifest, pairs: list[Pair], measures: list[Measure]) -> None:
    from tinkit.data.look.plot import Plotted, write_plot

    names = [(f"{manifest.classes[pair.first]} + {manifest.classes[pair.second]}", pair.clips) for pair in pairs]
    title = f"{manifest.split} of {manifest.root}: {len(manifest)} clips"
    write_plot(file, Plotted(title, manifest.label_counts(), manifest.labels_a_clip(), names, measures))
    note(f"wrote {file}")


def _class_rows(manifest: Manifest) -> list[dict[str, Any]]:
    counts = manifest.label_counts()
    return [
        {"index": index, "class": name, "clips": int(clips), "percent": 100 * int(clips) / max(len(manifest), 1)}
        for index, (name, clips) in enumerate(zip(manifest.classes, counts, strict=True))
    ]


def _label_rows(manifest: Manifest) -> list[dict[str, Any]]:
    return [{"labels": n, "clips": int(clips)} for n, clips in enumerate(manifest.labels_a_clip()) if clips]


def _pair_rows(manifest: Manifest, pairs: list[Pair]) -> list[dict[str, Any]]:
    counts = manifest.label_counts()
    return [
        {
            "class": manifest.classes[pair.first],
            "with": manifest.classes[pair.second],
            "clips": pair.clips,
            "percent of class": 100 * pair.clips / int(counts[pair.first]),
            "percent of with": 100 * pair.clips / int(counts[pair.second]),
        }
        for pair in pairs
    ]


def _values(manifest: Manifest, pairs: list[Pair], seen: FilesSeen, bright: list[Measure]) -> dict[str, Any]:
    from tinkit.data.look.files import rows_of

    files = {key: value for key, value in asdict(seen).items() if key not in ("sizes", "measures")}
    return {
        **summary_of(manifest),
        "labels_a_clip": _label_rows(manifest),
        "per_class": _class_rows(manifest),
        "pairs": _pair_rows(manifest, pairs),
        "files": files | {"sizes": dict(seen.sizes), "distributions": rows_of([*seen.measures, *bright])},
    }


def _tell_labels(manifest: Manifest, pairs: list[Pair]) -> None:
    print_table(f"{manifest.split} of {manifest.root}", [summary_of(manifest)])
    if not manifest.labelled:
        print_line("the labels of this split are unknown")
        return
    print_table("Labels a clip", _label_rows(manifest))
    print_table("Clips a class", sorted(_class_rows(manifest), key=lambda row: -int(row["clips"])))
    if pairs:
        print_table("Classes that occur together", _pair_rows(manifest, pairs))


def _tell_files(manifest: Manifest, seen: FilesSeen, bright: list[Measure]) -> None:
    from tinkit.data.look.files import rows_of

    if seen.measures or bright:
        print_table("Sizes and lengths", rows_of([*seen.measures, *bright]))
    if seen.sizes:
        counted = "clips" if seen.packed else "files"
        sizes = [{"frame": size, counted: n, "percent": 100 * n / seen.good} for size, n in seen.sizes]
        print_table("Most common sizes of frames", sizes)
    if seen.with_sound is not None and seen.good:
        print_line(f"{seen.with_sound} of {seen.good} files have sound ({100 * seen.with_sound / seen.good:.1f}%)")
    if seen.probed > seen.good:
        what = "clips that were broken when they were packed" if seen.packed else "files that cannot be read"
        print_line(f"{what}, and are not counted: {seen.probed - seen.good}")
    if seen.packed and seen.probed < seen.files:
        note(f"{seen.files - seen.probed} of {seen.files} clips are not packed: run `tinkit data frames`")
    elif seen.probed < seen.files:
        note(f"{seen.files - seen.probed} of {seen.files} files are not probed: run `tinkit data prepare`")
