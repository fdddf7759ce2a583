"""Tables, progress and help: rich on a terminal, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[float, str], None]


def is_terminal(stream: Any) -> bool:
    """Return whether a person looks at ``stream`` and has not asked for plain text (NO_COLOR)."""
    return hasattr(stream, "isatty") and stream.isatty() and not os.environ.get("NO_COLOR")


def rich_console(stream: TextIO) -> Console:
    """Return a console on ``stream``."""
    from rich.console import Console

    return Console(file=stream, highlight=False)


def print_help(text: str, stream: TextIO) -> None:
    """Write the help of a command; options and headings are coloured on a terminal."""
    if not is_terminal(stream):
        stream.write(text)
        return
    from rich.text import Text

    styled = Text(text)
    styled.highlight_regex(r"(?m)^(usage|options|commands|exit status|[a-z][a-z ]+)(?=:)", "bold yellow")
    styled.highlight_regex(r"(?<![\w-])--?[a-zA-Z][\w-]*", "cyan")
    styled.highlight_regex(r"(?m)^ {4}[a-z]+(?= {2,})", "bold green")
    rich_console(stream).print(styled, end="", soft_wrap=True)


def print_lines(lines: Sequence[str], stream: TextIO | None = None) -> None:
    """Write lines of plain text."""
    (stream or sys.stdout).write("".join(f"{line}\n" for line in lines))


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    colors: Sequence[tuple[float, float, float] | None] | None = None,
    bold: Sequence[int] = (),
    stream: TextIO | None = None,
) -> None:
    """Write a table: the first column to the left, the others to the right.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences of str
    colors : sequence of (r, g, b) in 0..1 or None, optional
        Colour of each row's first cell.
    bold : sequence of int
        Rows to stress.
    stream : text file, optional
        Standard output when absent.
    """
    stream = stream or sys.stdout
    if not is_terminal(stream):
        print_lines(plain_table(header, rows), stream)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, title in enumerate(header):
        table.add_column(title, justify="left" if i == 0 else "right", no_wrap=True)
    for i, row in enumerate(rows):
        color = colors[i] if colors else None
        style = "" if color is None else "#" + "".join(f"{round(part * 255):02x}" for part in color)
        cells = [Text(("■ " if style else "") + row[0], style=style), *row[1:]]
        table.add_row(*cells, style="bold" if i in bold else "")
    rich_console(stream).print(table)


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in plain text.

    >>> plain_table(("vessel", "score"), [("LM", "0"), ("LAD", "12.5")])
    ['vessel  score', 'LM          0', 'LAD      12.5']
    """
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return lines


@contextmanager
def progress_bar(shown: bool, *, keep: bool = False) -> Iterator[Progress]:
    """Give a function that shows a fraction and a text as a bar on standard error.

    Parameters
    ----------
    shown : bool
        Nothing is shown otherwise, nor where standard error is not a terminal.
    keep : bool
        Leave the bar on the screen at the end.
    """
    if not (shown and is_terminal(sys.stderr)):
        yield lambda fraction, text: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    # The bar has its own line to the terminal, so that it stays when standard error is hidden for a while.
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as stream:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=rich_console(stream), transient=not keep) as progress:
            task = progress.add_task("", total=1.0)
            yield lambda fraction, text: progress.update(task, completed=fraction, description=text)


@contextmanager
def native_messages_hidden(hidden: bool = True) -> Iterator[None]:
    """Drop what native libraries write to standard error: what matters comes back as findings."""
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        hidden = False
    if not hidden:
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
