"""What every command prints with: results on standard output, everything else on standard error.

On a terminal tables are drawn by rich where they fit; elsewhere they are plain aligned lines without wrapping, so that
`grep` and `less` work. ``NO_COLOR`` and ``TERM=dumb`` switch colours off. ``--json`` prints one JSON document and
nothing else on standard output.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from open_re_bench.errors import CannotRunHere, UserError

NARROWEST_LAST = 24  # characters below which wrapping the last column helps nobody
INDENT = "    "  # of the further lines of a row

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document (shapes: docs/cli.md).")
scale_option = click.option(
    "--scale", default="cpu", show_default=True, metavar="SCALE", help="cpu, gpu or paper (see `re-bench list`)."
)


def is_terminal() -> bool:
    """Whether standard output is an interactive terminal that can draw."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def emit_json(value: Any) -> None:
    """Prints `value` (pydantic models and paths included) as one indented JSON document; NaN is a defect."""

    def plain(item: Any) -> Any:
        return item.model_dump(mode="json") if hasattr(item, "model_dump") else str(item)

    click.echo(json.dumps(value, indent=2, default=plain, allow_nan=False))


def emit_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: drawn on a terminal, aligned plain columns elsewhere.

    Only the last column is ever wrapped: names broken in two can neither be read nor pasted. On a terminal too narrow
    for that, a row takes several lines.
    """
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    if is_terminal():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console()
        if sum(widths[:-1]) + min(widths[-1], NARROWEST_LAST) + 3 * len(widths) > console.width:
            for line in _stacked((header, *rows), widths, console.width):
                click.echo(line)
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for i, title in enumerate(header):
            table.add_column(title, overflow="fold", no_wrap=i < len(header) - 1)
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        console.print(table)
        return
    for row in (header, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _stacked(rows: Sequence[Sequence[str]], widths: Sequence[int], width: int) -> Iterator[str]:
    """Each row over several aligned lines of at most `width`, broken between cells; cells that are longer by words."""
    groups: list[list[int]] = [[]]
    for i, cell_width in enumerate(widths):
        taken = sum(widths[j] + 2 for j in groups[-1])
        if groups[-1] and len(INDENT) + taken + cell_width > width:
            groups.append([])
        groups[-1].append(i)
    for row in rows:
        for n, group in enumerate(groups):
            indent = INDENT if n else ""
            line = "  ".join(row[i].ljust(widths[i]) for i in group).rstrip()
            if len(indent) + len(line) <= width:
                if line:
                    yield indent + line
            else:  # one long cell
                yield from textwrap.wrap(
                    line, width, initial_indent=indent, subsequent_indent=INDENT, break_long_words=False
                )


_STYLES = {"ok": "green", "yes": "green", "passed": "green", "missing": "red", "no": "red", "FAILED": "bold red"}


@contextmanager
def writing(target: Path, mend: str = "give a writable path with -o", folder: bool = False) -> Iterator[None]:
    """Around what writes `target`, so that a place that cannot be written is the user's to mend, by its own name.

    Args:
        folder: `target` is a folder to fill rather than a file.

    Raises:
        UserError: a file is wanted and `target` is a folder.
        CannotRunHere: `target` cannot be written.
    """
    if not folder and target.is_dir():
        raise UserError(f"{target} is a folder", "give the path of a file")
    goal = target.absolute()
    try:
        yield
    except OSError as error:
        # Files are written beside their place under a longer name; what was to be read is another error. A full disk
        # names no file.
        place = Path(os.fsdecode(error.filename)).absolute() if error.filename else goal
        beside = place.parent == goal.parent and goal.name in place.name
        if not (beside or place in goal.parents or goal in place.parents):
            raise
        raise CannotRunHere(f"{target}: cannot be written ({error.strerror or error})", mend) from error


def note(text: str) -> None:
    """One line for the person at the keyboard, on standard error."""
    click.echo(text, err=True)


def stepper(prefix: str) -> Callable[[str], None]:
    """A progress callback: one line per step on standard error, prefixed."""
    return lambda step: note(f"{prefix}: {step}")


def number(value: float | None, digits: int = 3) -> str:
    """A number for people, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def megabytes(value: float) -> str:
    """A size for people: ``none``, ``84 MB``, ``1.2 GB``."""
    if value <= 0:
        return "none"
    return f"{value:.0f} MB" if value < 1000 else f"{value / 1000:.1f} GB"


def minutes(value: float) -> str:
    """A duration for people: ``45 s``, ``30 min``, ``8 h``."""
    if value < 1:
        return f"{value * 60:.0f} s"
    return f"{value:g} min" if value < 120 else f"{value / 60:g} h"
