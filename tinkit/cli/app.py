"""The `tinkit` command: its commands' names, and what happens to errors."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from tinkit import __version__
from tinkit.cli import (
    compare,
    convert,
    data,
    doctor,
    ensemble,
    export,
    kernels,
    models,
    predict,
    recipes,
    scores,
    submit,
    synth,
    test,
    train,
)
from tinkit.cli.common import examples
from tinkit.errors import SaidElsewhere, UserError
from tinkit.pages import keep_buffers

app = typer.Typer(
    name="tinkit",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Video recognition with Temporal Interlacing Networks: from a recipe to a leaderboard submission.",
    epilog=examples(
        "tinkit synth mmit data/mmit",
        "tinkit train demo_tin --data data/mmit",
        "tinkit test demo_tin --split val",
        "tinkit ensemble demo",
        "tinkit submit demo --challenge demo --out submission.csv",
    ),
)
app.command("recipes", epilog=recipes.EPILOG)(recipes.recipes)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command("synth", epilog=synth.EPILOG)(synth.synth)
app.add_typer(data.app, name="data")
app.command("train", epilog=train.EPILOG)(train.train)
app.command("test", epilog=test.EPILOG)(test.test)
app.command("predict", epilog=predict.EPILOG)(predict.predict)
app.command("ensemble", epilog=ensemble.EPILOG)(ensemble.ensemble)
app.add_typer(scores.app, name="scores")
app.command("submit", epilog=submit.EPILOG)(submit.submit)
app.command("convert", epilog=convert.EPILOG)(convert.convert)
app.command("export", epilog=export.EPILOG)(export.export)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("models", epilog=models.EPILOG)(models.models)
app.add_typer(kernels.app, name="kernels")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tinkit {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a user's mistake is one message, without a traceback."""
    keep_buffers()
    try:
        app()
    except SaidElsewhere as error:
        _leave(error.exit_code)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; Python would complain again while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        known = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM}
        known |= {errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
        known |= {errno.EFBIG, errno.EIO, errno.ESTALE}
        if isinstance(error, OSError) and error.errno in known:
            place = f"{error.filename}: " if error.filename else ""
            _fail(f"{place}{error.strerror}; what was there before is kept", 1)
        if not _one_of_several():
            raise
        traceback.print_exc()
        _leave(1)


def _fail(message: str, code: int) -> NoReturn:
    label = typer.style("error: ", fg="red", bold=True)
    typer.echo(label + message, err=True)  # in one piece: several processes may speak
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End with an error; as one of several processes at once, for a broken connection may hold up the ordinary way."""
    if not _one_of_several():
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _one_of_several() -> bool:
    return os.environ.get("WORLD_SIZE", "1") != "1"
