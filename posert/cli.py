"""The command `posert`: what it offers, and how every error becomes one line and an exit status.

Each command lives in `posert.commands`; what is heavy is imported inside of the commands, so that `posert --help` is quick.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from posert.commands import catalogue, demo, doctor, estimate, evaluate, transfer
from posert.errors import PosertError

USAGE_ERROR = 2
INTERRUPTED = 130

# BadParameter > UsageError > ClickException: the class of all errors in how the command was called. typer brings its own copy
# of click or uses the package, depending on its version, and has no name for this class.
_CALL_ERROR: Any = typer.BadParameter.__mro__[2]


class _Group(TyperGroup):
    """Turns errors into one line on stderr and an exit status, whether called from a shell or from a test."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line; does not return."""
        kwargs["standalone_mode"] = False
        try:
            status = super().main(*args, **kwargs)
            if sys.stdout is not None:
                sys.stdout.flush()  # now, while an error can still be told
        except PosertError as error:
            _fail(str(error), USAGE_ERROR)
        except _CALL_ERROR as error:
            where = f" (see: {error.ctx.command_path} --help)" if getattr(error, "ctx", None) else ""
            _fail(" ".join(error.format_message().split()) + where, USAGE_ERROR)
        except MemoryError:
            _fail("there is not enough memory for this; use smaller pictures or fewer at a time", USAGE_ERROR)
        except BrokenPipeError:  # the reader of the output has seen enough
            _let_go_of_stdout()
            status = 1
        except OSError as error:
            _let_go_of_stdout()
            what = "reading or writing failed" if error.filename is None else f"{error.filename!r} cannot be used"
            _fail(f"{what}: {error.strerror or error}", USAGE_ERROR)
        except (KeyboardInterrupt, typer.Abort):
            status = INTERRUPTED
        if status == INTERRUPTED:
            _fail("interrupted", INTERRUPTED)
        sys.exit(status if isinstance(status, int) else 0)


def _let_go_of_stdout() -> None:
    """Close stdout if it takes nothing more: Python would complain again when it exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            sys.stdout.close()


def _fail(message: str, status: int) -> None:
    message = "; ".join(line.strip() for line in message.splitlines())
    print(f"posert: {message}" if status == INTERRUPTED else f"posert: error: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


app = typer.Typer(cls=_Group, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        import posert

        print(f"posert {posert.__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Find people's joints in pictures, and re-draw a person in another pose.

    \b
    See what it does:   posert demo
    What runs here:     posert doctor
    Joints of someone:  posert estimate me.jpg -o me.json
    In another pose:    posert transfer --source me.jpg --pose you.jpg -o new.png
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # a picture that cannot be read is reported once, by posert
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command("estimate")(estimate.run)
app.command("transfer")(transfer.run)
app.command("eval")(evaluate.run)
app.command("demo")(demo.run)
app.command("models")(catalogue.models)
app.command("inspect")(catalogue.inspect)
app.command("doctor")(doctor.run)


def main() -> None:
    """Entry point of the command `posert`; exits with 0, with 2 after an error, or with 130 after Ctrl-C."""
    app(prog_name="posert")


if __name__ == "__main__":
    main()
