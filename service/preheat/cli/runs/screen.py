"""Screen of `runs watch`: a run as a live table on a terminal, or as lines where there is none."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from preheat.cli.output import OUT, cell, say, visible
from preheat.cli.runs.feed import Event
from preheat.cli.runs.view import View
from preheat.cli.runs.words import (
    event_words,
    lr_words,
    number,
    operation_words,
    reason_words,
    rollback_words,
    span_words,
    state_words,
    time_words,
)

_CHANGES_SHOWN, _EVENTS_SHOWN = 3, 8
_ROOMY = 40
"""Lines of a terminal on which tables have room for lines around them and for long texts."""

_LINE_EVERY_S = 60.0
"""How often a line says where the run is, if it is elsewhere and nothing else happens to it."""


class Screen(Protocol):
    """What shows a run that is watched."""

    def __enter__(self) -> Self:
        """Begins to show it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the terminal as it was, with what was shown last."""

    def show(self, view: View) -> None:
        """Shows the run as it is now."""

    def tell(self, event: Event) -> None:
        """Shows what has happened."""

    def say_lost(self, reason: str) -> None:
        """Says that there is no answer, and why."""


class Lines:
    """A line for every event, for a change of state, and every so often if the run has moved."""

    def __init__(self, every_s: float = _LINE_EVERY_S) -> None:
        self._every_s = every_s
        self._shown: tuple[Any, ...] = ()
        self._said, self._said_at = "", 0.0
        self._is_lost = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, view: View) -> None:
        """A line, if there is something to say."""
        if self._is_lost:
            self._is_lost = False
            say("the service answers again")
        run, now = view.run, time.monotonic()
        shown = (run["state"], run["lock"], run["rollback"], run["attempt_number"], run["revision"])
        line = f"{run['label']}: {', '.join(f'{name} {text}' for name, text in facts(view))}"
        if shown != self._shown or (line != self._said and now >= self._said_at + self._every_s):
            self._shown, self._said, self._said_at = shown, line, now
            say(line)

    def tell(self, event: Event) -> None:
        """A line."""
        say(f"{time_words(event['at'])} UTC  {event['kind']}: {event_words(event)}")

    def say_lost(self, reason: str) -> None:
        """A line, once."""
        if not self._is_lost:
            self._is_lost = True
            say(f"{reason}; asking again until it answers")


class LiveTable:
    """A table that is drawn anew in its place."""

    def __init__(self) -> None:
        self._live = Live(console=OUT, auto_refresh=False)
        self._view: View | None = None
        self._events: deque[Event] = deque(maxlen=_EVENTS_SHOWN)
        self._lost = ""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._draw()
        self._live.stop()

    def show(self, view: View) -> None:
        """Draws the run as it is now."""
        self._view, self._lost = view, ""
        self._draw()

    def tell(self, event: Event) -> None:
        """Shows an event with what is drawn next."""
        self._events.append(event)

    def say_lost(self, reason: str) -> None:
        """Says below the last that is known that it is no longer known."""
        if not self._lost:
            self._lost = f"{reason}; asking again since {time.strftime('%H:%M:%S')}"
        self._draw()

    def _draw(self) -> None:
        hint = Text(visible(self._lost), style="bold red") if self._lost else Text("Ctrl-C ends", style="dim")
        parts: Sequence[RenderableType] = [hint]
        events, height = [*reversed(self._events)], OUT.size.height
        if self._view is not None and height < _ROOMY:
            parts = [*_low(self._view, events, hint, is_first=bool(self._lost))][: max(height - 1, 1)]
        elif self._view is not None:
            # Always a line, so that nothing moves when there is something to say.
            parts = [_head(self._view), hint, *map(_table, _tables(self._view, events))]
        self._live.update(Group(*parts), refresh=True)


def facts(view: View) -> list[tuple[str, str]]:
    """What is known of a run now, by name."""
    run, total = view.run, view.run["total_iterations"]
    share = f" ({min(run['position'] / total, 1):.1%})"
    found = [
        ("state", state_words(run)),
        ("iteration", f"{number(run['position'])} of {number(total)}{share}"),
        ("LR", lr_words(view.groups)),
        (view.metric, view.report),
    ]
    if run["rollback"]:
        found.append(("restart", rollback_words(run["rollback"])))
    found.append(("a change", f"would begin {run['next_change']['text']}"))
    return [*found, ("revision", f"{run['revision']}, attempt {number(run['attempt_number'])}")]


@dataclass(frozen=True)
class _Table:
    """A title, headings, and rows of texts of other people."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def _table(content: _Table) -> RenderableType:
    """A table with lines around it and room for long texts."""
    table = Table(title=cell(content.title), show_header=any(content.headings))
    for place, heading in enumerate(content.headings):
        table.add_column(heading, overflow="fold", no_wrap=place == 0)
    for row in content.rows:
        table.add_row(*map(cell, row))
    return table


def _low(view: View, events: list[Event], hint: Text, *, is_first: bool) -> Iterator[Text]:
    """Lines for a low terminal, the most important first: where it ends, the rest is left out."""
    (_, state), *more = facts(view)
    hint.no_wrap, hint.overflow = True, "ellipsis"
    yield _line(f"{state}  {view.run['label']}", "bold")
    yield from [hint, *_rows(more)] if is_first else [*_rows(more), hint]
    for each in _tables(view, events):
        yield _line(each.title, "bold")
        yield from _rows(each.rows)


def _rows(rows: Sequence[Sequence[str]]) -> list[Text]:
    """Each row on a line, cut at its end."""
    shown = [[visible(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [_line("  ".join(map(str.ljust, row, widths)).rstrip()) for row in shown]


def _line(text: str, style: str = "") -> Text:
    return Text(visible(text), style=style, no_wrap=True, overflow="ellipsis")


def _head(view: View) -> RenderableType:
    """Name and value, side by side."""
    return _table(_Table(view.run["label"], ("", ""), facts(view)))


def _tables(view: View, events: list[Event]) -> Iterator[_Table]:
    """The last changes in order of acceptance, and the last events, the newest first, as far as there are any."""
    hidden = len(view.changes) - _CHANGES_SHOWN
    title = "changes" if hidden <= 0 else f"changes, after {hidden:,} others"
    changes = [
        (span_words(each), operation_words(each["operation"]), each["status"] or "", reason_words(each))
        for each in view.changes[-_CHANGES_SHOWN:]
    ]
    if changes:
        yield _Table(title, ("iterations", "what", "status", "author: why"), changes)
    if events:
        rows = [(time_words(each["at"])[11:], each["kind"], event_words(each)) for each in events]
        yield _Table("events", ("UTC", "event", ""), rows)
