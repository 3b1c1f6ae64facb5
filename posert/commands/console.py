"""What the commands share: options with one meaning everywhere, tables, progress, JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posert.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_LARGER = "Refuse larger pictures before they are decoded; by default 50 million."
MaxPixels = Annotated[float, typer.Option(metavar="PIXELS", help=_LARGER, show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of text for a reader.")]
Backend = Annotated[str | None, typer.Option(metavar="NAME", help="Runtime of the networks; by default the first that can run.")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda or cuda:N; by default the first that can run.")]
_TRUST = (
    "Load the compiled plans in a model's file. Plans are code: do so where you built it, or trust who did. Else they are built."
)
TrustPlans = Annotated[bool, typer.Option("--trust-plans", help=_TRUST)]

FlipTest = Annotated[bool, typer.Option("--flip-test", help="Average with the mirrored picture: slower, a little better.")]
RotationTest = Annotated[bool, typer.Option("--rotation-test", help="Look at turned people too: for who lies or is upside down.")]
_SCALES = "Average looks at these sizes of the person, such as 0.9,1,1.1; of a picture of everybody: 1,2 for small people."
Scales = Annotated[str, typer.Option(metavar="NUMBERS", help=_SCALES)]

DEFAULT_MAX_PIXELS = 50e6
PIPE_WIDTH = 120


def read_scales(option: str) -> list[float]:
    """The numbers in the option `--scales`.

    Raises:
        InputError: it holds something else.
    """
    try:
        return [float(part) for part in option.split(",")]
    except ValueError as error:
        raise InputError(f"--scales must be numbers such as 0.9,1,1.1; got {option!r}") from error


def console() -> Console:
    """Stdout, as wide as the terminal, or of a fixed width where it is a pipe or a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout; cells are plain text."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and what is to be said about each, on stdout."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 3, 0, 0))
    for name, text in facts:
        table.add_row(Text(name, style="bold"), Text(text))
    console().print(table)


def print_json(document: Any) -> None:
    """Print a JSON document on stdout."""
    print(json.dumps(document, indent=2, allow_nan=False))


def say(message: str) -> None:
    """Tell the reader something, on stdout, as it is: not wrapped, so that paths can be copied."""
    print(message)


def progress(unit: str | None = None) -> AbstractContextManager[Progress]:
    """A progress bar on stderr that vanishes when it is done; nothing is shown where stderr is no terminal.

    Args:
        unit: what is counted, such as ``"frames"``: shows how many a second, too.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if unit is None or not task.speed else f"{task.speed:.1f} {unit}/s")

    shown = sys.stderr.isatty()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    # Some versions of rich write an empty line even for a disabled bar, unless their console is quiet.
    return Progress(*columns, console=Console(stderr=True, quiet=not shown), transient=True, disable=not shown)


def megabytes(count: int) -> str:
    """A number of bytes for a reader."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
