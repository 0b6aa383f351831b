"""`tinkit get`: released checkpoints, downloaded, verified and converted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinkit.cli.options import ForceOption, JsonOption, QuietOption
from tinkit.cli.parser import examples
from tinkit.errors import UsageError
from tinkit.terminal import Notices, print_json, print_line, print_table

if TYPE_CHECKING:
    from tinkit.released.fetch import Fetched
    from tinkit.released.table import Released

EPILOG = examples(
    "tinkit get --list",
    "tinkit get --list mmaction2 'sthv1_*'",
    "tinkit get mmit_r50-x_temporal",
    "tinkit get sthv1_tsm_r50-tsm k400_tsm_r50-tsm --folder /data/released",
    "tinkit get resnet50-torchvision --mirror /mnt/checkpoints --download-only",
)
_MIB = 1 << 20


def complete_released(incomplete: str) -> list[str]:
    """The released checkpoints that begin with what was typed."""
    from tinkit.released.names import released_names

    return [name for name in released_names() if name.startswith(incomplete)]


def get(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Released checkpoints; with --list also * for any part, a code base or a recipe.",
            autocompletion=complete_released,
        ),
    ] = None,
    *,
    as_list: Annotated[bool, typer.Option("--list", help="List what there is, and download nothing.")] = False,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where the files go, each in a folder of its name.")
    ] = Path("released"),
    mirror: Annotated[
        str | None,
        typer.Option(
            "--mirror",
            metavar="DIR|URL",
            envvar="TINKIT_MIRROR",
            help="Take the files from here instead of from their owners: a folder, file:///DIR, http(s)://...",
        ),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HEX", help="What the file's SHA-256 must be, where you know it.")
    ] = None,
    download_only: Annotated[bool, typer.Option("--download-only", help="Convert nothing.")] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Download released checkpoints, verify them, and convert them to tinkit's own names.

    Prints the path of the weights to use, one line for each NAME.

    FILE.origin.json beside each file says where it came from, and its SHA-256. Where nobody states one (- in the list),
    the first download is believed, and later ones are compared with it. The same command continues an interrupted
    download where the host can; --force begins a finished one anew. A file that you have put into its place yourself
    is verified and taken. The licence in the list is that of the code base; nobody states one of the weights.
    """
    from tinkit.released.table import find_released, fitting

    if as_list:
        print_table("", [_listed(row, whole=as_json) for row in fitting(names or [])], as_json=as_json)
        return
    if not names:
        raise UsageError("no checkpoint is named", fix="`tinkit get --list` lists them")
    rows = [find_released(name) for name in dict.fromkeys(names)]
    if sha256 is not None and len(rows) > 1:
        raise UsageError("--sha256 is of one file", fix="get them one at a time")
    notices = Notices()
    done = []
    for row in rows:
        fetched = _fetch(row, folder, mirror, sha256, notices, force=force, quiet=quiet or as_json)
        converted = None if download_only or not row.recipe else _convert(row, fetched, quiet=quiet or as_json)
        done.append(_result(row, fetched, converted))
        if not quiet and not as_json and (use := _use(row, fetched, converted)):
            notices.say(f"{row.name}: {use}")
    if as_json:
        print_json(done)
        return
    for one in done:
        print_line(one["converted"] or one["file"])


def _listed(row: Released, *, whole: bool) -> dict[str, Any]:
    """A row of the list; ``whole`` with every field."""
    if whole:
        known = row.model_dump(mode="json") | {"set": row.settings, "sha256": row.sha256 or None}
        return known | {"digits": row.digits or None, "host": row.host, "resumes": row.resumes}
    return {
        "name": row.name,
        "published": f"{row.number:g} {row.metric} ({row.views})",
        "recipe": row.recipe or None,
        "MiB": None if row.mib is None else round(row.mib),
        "licence": row.licence,
        "SHA-256": "stated" if row.sha256 else "8 digits" if row.digits else None,
        "host": row.host,
        "resumes": None if row.resumes else "no",
    }


def _fetch(
    row: Released, folder: Path, mirror: str | None, sha256: str | None, notices: Notices, *, force: bool, quiet: bool
) -> Fetched:
    from tinkit.released.fetch import UNKNOWN, fetch

    with notices.bar(f"MiB of {row.file}", round(row.mib or 0), shown=notices.is_terminal and not quiet) as bar:
        shown = 0

        def progress(here: int, length: int | None) -> None:
            nonlocal shown
            bar.expect(-(-(length or here) // _MIB))
            bar.advance(here // _MIB - shown)
            shown = here // _MIB

        say = notices.say if not quiet else lambda _: None
        fetched = fetch(row, folder, mirror=mirror, sha256=sha256, force=force, say=say, progress=progress)
    if not quiet:
        there = "is there already" if fetched.before else "is downloaded"
        by = fetched.verified if fetched.verified == UNKNOWN else f"verified by {fetched.verified}"
        notices.say(f"{fetched.file} {there}; {by}")
    return fetched


def _convert(row: Released, fetched: Fetched, *, quiet: bool) -> Path:
    """The weights in tinkit's own names, beside the file."""
    from tinkit.engine.exchange.convert import convert, source_of
    from tinkit.recipe import load_recipe

    out = fetched.file.with_name(f"{row.name}.safetensors")
    recipe = load_recipe(row.recipe, row.settings).recipe
    converted = convert(source_of(str(fetched.file), None, Path("runs")), recipe, out, force=not fetched.before)
    if not quiet:
        Notices().say(f"{out}: {converted.report.summary()}")
    return out


def _use(row: Released, fetched: Fetched, converted: Path | None) -> str | None:
    """What to do with it."""
    if row.recipe:
        settings = "".join(f" --set {setting}" for setting in row.settings)
        return f"`tinkit test {converted or fetched.file} --recipe {row.recipe}{settings}` tests it"
    if row.dataset == "ImageNet":
        return f"a training begins from it with --set model.pretrained={fetched.file}"
    return None


def _result(row: Released, fetched: Fetched, converted: Path | None) -> dict[str, Any]:
    return {
        "name": row.name,
        "file": str(fetched.file),
        "sha256": fetched.sha256,
        "verified": fetched.verified,
        "converted": None if converted is None else str(converted),
        "recipe": row.recipe or None,
    }
