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
    get,
    inspect,
    kernels,
    ledger,
    models,
    predict,
    recipes,
    report,
    scores,
    submit,
    synth,
    test,
    train,
    watch,
)
from tinkit.cli.parser import WrongUse, examples, plain_help, wrong_use
from tinkit.errors import SaidElsewhere, UserError
from tinkit.pages import keep_buffers
from tinkit.terminal import complain, lost_output, plain, prepare, print_line

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
app.command("watch", epilog=watch.EPILOG)(watch.watch)
app.command("ensemble", epilog=ensemble.EPILOG)(ensemble.ensemble)
app.add_typer(scores.app, name="scores")
app.command("inspect", epilog=inspect.EPILOG)(inspect.inspect)
app.command("submit", epilog=submit.EPILOG)(submit.submit)
app.command("ledger", epilog=ledger.EPILOG)(ledger.ledger)
app.command("convert", epilog=convert.EPILOG)(convert.convert)
app.command("get", epilog=get.EPILOG)(get.get)
app.command("export", epilog=export.EPILOG)(export.export)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("report", epilog=report.EPILOG)(report.report)
app.command("models", epilog=models.EPILOG)(models.models)
app.add_typer(kernels.app, name="kernels")
plain_help(app)


def _print_version(*, asked: bool) -> None:
    if asked:
        print_line(f"tinkit {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a user's mistake is one message, without a traceback."""
    prepare()
    keep_buffers()
    try:
        code = app(standalone_mode=False)
    except SaidElsewhere as error:
        _leave(error.exit_code)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except WrongUse as error:
        if message := wrong_use(error):  # none where a command without arguments has shown its help
            complain(message)
        _leave(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except Exception as error:  # of any kind: what a user cannot fix keeps its traceback
        _fail_unforeseen(error)
    _leave(code if isinstance(code, int) else 0)


def _fail_unforeseen(error: Exception) -> NoReturn:
    """End with what the system refused, in a line; or with a traceback, since the mistake is ours."""
    if isinstance(error, OSError):
        if lost := lost_output():
            _leave_without_output(lost, 1)
        known = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM}
        known |= {errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
        known |= {errno.EFBIG, errno.EIO, errno.ESTALE}
        if error.errno in known:
            place = f"{plain(error.filename)}: " if error.filename else ""
            _fail(f"{place}{error.strerror}; what was there before is kept", 1)
    if not _one_of_several():
        raise error
    traceback.print_exc()
    _leave(1)


def _fail(message: str, code: int) -> NoReturn:
    complain(message)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End; one of several processes with an error ends at once: a broken connection may hold up the ordinary way."""
    if lost := lost_output():
        _leave_without_output(lost, code)
    if code == 0 or not _one_of_several():
        sys.exit(code)
    os._exit(code)


def _leave_without_output(lost: OSError, code: int) -> NoReturn:
    """End with an error since results could not be printed; without a word where their reader (head, less) has left."""
    if lost.errno != errno.EPIPE:
        complain(f"standard output: {lost.strerror}; results could not be printed")
    _leave(code or 1)


def _one_of_several() -> bool:
    return os.environ.get("WORLD_SIZE", "1") != "1"
