"""Output of commands: tables and text for a terminal, a pipe or a file, in any encoding."""

import inspect
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, Literal, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

OUT, ERR = Console(), Console(stderr=True)

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that are not shown, but move, colour, hide or turn around what is."""

_JOINERS = "\u200c\u200d"
"""Of these the scripts of Persian and India need some within words."""


def open_closed_streams() -> None:
    """Gives stdin, stdout and stderr that were closed (`>&-`) to the null device.

    Else the next file or client's connection would get their number, and be sent what is meant for people.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode))  # noqa: PTH123, SIM115 - as long as the process runs


def take_any_encoding() -> None:
    """Lets stdout and stderr write what their encoding lacks as an escape, where Python would end with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def refused_output() -> Iterator[None]:
    """Ends the program with one line where stdout cannot be written: a full disk, say."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print_error(f"stdout cannot be written: {error.strerror or error}")
        sys.exit(1)


def summary(command: Callable[..., Any]) -> str:
    """The first clause of a command's help, whole: click would cut it to a line of the list of commands."""
    return inspect.cleandoc(command.__doc__ or "").replace("\n", " ").split(";")[0].rstrip(".") + "."


def visible(text: str) -> str:
    """A text of other people on one line, with an escape for each character that would steer a terminal."""
    return "".join(each.encode("unicode_escape").decode() if _steers(each) else each for each in text)


def visible_json(data: bytes) -> bytes:
    """JSON with its own escape for each of those characters that is not a line end; it stands for the same values."""
    return "".join(_json_escape(each) if _steers(each) and each != "\n" else each for each in data.decode()).encode()


def say(*lines: str) -> None:
    """Lines on stdout, with texts of other people in them."""
    for line in lines:
        OUT.print(visible(line), markup=False, highlight=False, soft_wrap=True)


def remark(*lines: str) -> None:
    """Lines on stderr, with texts of other people in them, after what was written to stdout before."""
    sys.stdout.flush()
    for line in lines:
        ERR.print(visible(line), markup=False, highlight=False, soft_wrap=True)


def cell(text: str) -> str:
    """A text of other people as rich's markup."""
    return escape(visible(text))


def write_data(data: str | bytes) -> None:
    """Writes data to stdout, in UTF-8 whatever the terminal's encoding: JSON, CSV and YAML are read by programs."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data.encode() if isinstance(data, str) else data)


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", *, are_numbers: bool = False
) -> None:
    """A table; on a terminal with lines around, elsewhere as aligned columns in which nothing is cut or wrapped."""
    cells = [[visible(str(each)) for each in row] for row in rows]
    if OUT.is_terminal:
        side: Literal["left", "right"] = "right" if are_numbers else "left"
        table = Table(title=escape(title) or None)
        for place, heading in enumerate(headings):
            # A name that is folded can be read, one that is cut cannot.
            table.add_column(escape(heading), overflow="fold", no_wrap=place == 0, justify=side)
        for row in cells:
            table.add_row(*map(escape, row))
        OUT.print(table)
        return
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    if title:
        sys.stdout.write(f"{title}\n")
    for row in (list(headings), *cells):
        padded = [_padded(cell, width, are_numbers) for cell, width in zip(row, widths, strict=True)]
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def fail(*messages: str, code: int = 1) -> NoReturn:
    """Ends the command: 1 for what the input says, 2 for how the command was called."""
    for message in messages:
        print_error(message)
    raise typer.Exit(code)


def print_error(message: str) -> None:
    """One line on stderr."""
    ERR.print(f"[bold red]error:[/] {cell(message)}", highlight=False, soft_wrap=True)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _STEERING and character not in _JOINERS


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def _padded(cell: str, width: int, is_number: bool) -> str:
    return cell.rjust(width) if is_number else cell.ljust(width)
