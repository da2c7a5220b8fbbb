"""The `nmt` command: its subcommands, and what each kind of failure looks like to the user."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Final

import typer
from typer.core import TyperGroup

from nmt.errors import (
    NmtError,
    UsageError,
    describe_out_of_memory,
    describe_out_of_processes,
    is_out_of_memory,
    is_out_of_processes,
    memory_limit,
)
from nmt_cli.lm import lm
from nmt_cli.memory import memory
from nmt_cli.terminal import INTERRUPTED, add_command, fail, own_streams, say, show_warnings
from nmt_cli.vocabulary import vocabulary

COMMANDS: Final = (
    *("prepare", "inspect", "train", "translate", "join", "score", "tune", "plot", "average", "shortlist", "vectors"),
    *("adapt", "backtranslate", "distil", "noise", "settings", "run", "demo", "lab"),
)
"""Each is a function in the module of its name."""

FAILED, WRONG_USAGE = 1, 2
CLOSED_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


class Commands(TyperGroup):
    """The command group; what goes wrong in it becomes one line on stderr and an exit code."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the options before the command; `--help` and `--version` happen here."""
        with _failures_shown(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the chosen command."""
        with _failures_shown(ctx):
            return super().invoke(ctx)


@contextmanager
def _failures_shown(ctx: typer.Context) -> Iterator[None]:
    try:
        try:
            yield
        finally:
            _flush_stdout()
    except typer.TyperException as error:
        # pydantic, by which Typer reads the values of options, begins with this what it has to say
        error.message = error.message.removeprefix("Value error, ")
        raise
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _discard_stdout()
        raise typer.Exit(CLOSED_PIPE) from None
    except BaseException as error:
        if not (isinstance(error, Exception) or is_out_of_memory(error)):
            raise
        if ctx.params.get("debug"):
            traceback.print_exc()
        fail(_describe(error))
        try:
            _flush_stdout()
        except OSError:  # that is what has been told
            _discard_stdout()
        raise typer.Exit(WRONG_USAGE if isinstance(error, UsageError) else FAILED) from None


def _describe(error: BaseException) -> str:
    if isinstance(error, NmtError):
        return str(error)
    if is_out_of_memory(error):
        return describe_out_of_memory()
    if is_out_of_processes(error):
        return describe_out_of_processes()
    if isinstance(error, OSError) and error.strerror:
        name = error.filename2 or error.filename
        return f"{name}: {error.strerror}" if name is not None else error.strerror
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        start = error.object.rfind("\n", 0, error.start) + 1
        where = error.object[start : error.end].strip()
        return f"{where}: not UTF-8 text; rename the file, or choose a locale that has UTF-8, such as LC_ALL=C.UTF-8"
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    limit = memory_limit()
    why = f"; its memory is limited to {limit >> 20:,} MiB (ulimit), which may be why" if limit is not None else ""
    return f"unexpected {what} (run with --debug, as in `nmt --debug COMMAND`, to see where){why}"


def _flush_stdout() -> None:
    if sys.stdout is not None:  # it is, where a shell has closed it: `>&-`
        sys.stdout.flush()


def _discard_stdout() -> None:
    """Send what is still buffered nowhere, or Python would complain when it exits: of a closed pipe, of a full disk."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nmt {version('nmt-toolkit')}")
        raise typer.Exit


app = typer.Typer(
    name="nmt",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def nmt(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train and run recurrent translators: prepare, train, translate, score; run and demo do all four."""
    own_streams()
    show_warnings()
    # A polite kill and a closed terminal clean up as Ctrl-C does; what the caller ignores stays ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


for name in COMMANDS:
    add_command(app, getattr(import_module(f"nmt_cli.{name}"), name))
app.add_typer(vocabulary)
app.add_typer(lm)
app.add_typer(memory)
