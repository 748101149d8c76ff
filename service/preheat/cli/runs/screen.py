"""Screen of `runs watch`: a run as a live table on a terminal, or as lines where there is none."""

import time
from collections import deque
from collections.abc import Sequence
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
"""How often a line says where the run is, if nothing happens to it."""


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
    """A line for every event, for a change of state, and once a minute."""

    def __init__(self) -> None:
        self._shown: tuple[Any, ...] = ()
        self._said_at = 0.0
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
        if shown != self._shown or now > self._said_at + _LINE_EVERY_S:
            self._shown, self._said_at = shown, now
            say(f"{run['label']}: {', '.join(f'{name} {text}' for name, text in facts(view))}")

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
        height = OUT.size.height
        is_low = height < _ROOMY
        parts: list[RenderableType] = [] if self._view is None else [_head(self._view, is_low=is_low)]
        # Always a line, so that nothing moves when there is something to say.
        parts.append(Text(visible(self._lost), style="bold red") if self._lost else Text("Ctrl-C ends", style="dim"))
        parts += [] if self._view is None else _changes(self._view, is_low=is_low)
        events = [*reversed(self._events)]
        if is_low:  # the newest, as many as there are lines left
            taken = len(OUT.render_lines(Group(*parts), pad=False)) + 2  # and their title, and the line of the cursor
            events = events[: max(height - taken, 1)]
        parts += [_events(events, is_low=is_low)] if events else []
        self._live.update(Group(*parts), refresh=True)


def facts(view: View) -> list[tuple[str, str]]:
    """What is known of a run now, by name."""
    run, total = view.run, view.run["total_iterations"]
    share = f" ({min(run['position'] / total, 1):.1%})"
    found = [
        ("state", state_words(run)),
        ("iteration", f"{number(run['position'])} of {number(total)}{share}"),
        ("LR", lr_words(view.groups)),
        ("revision", str(run["revision"])),
        ("attempt", number(run["attempt_number"])),
    ]
    if view.report is not None:
        iteration, value = view.report
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        found.append((view.metric, f"{shown} at iteration {number(iteration)}"))
    if run["rollback"]:
        found.append(("restart", rollback_words(run["rollback"])))
    return [*found, ("a change", f"would begin {run['next_change']['text']}")]


def _table(title: str, headings: tuple[str, ...], rows: Sequence[Sequence[str]], *, is_low: bool) -> RenderableType:
    """A table; on a low terminal without lines around it, each row on one line, so that the newest events have room."""
    if is_low:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, map(visible, row), widths)).rstrip() for row in rows]
        texts = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
        return Group(Text(visible(title), style="bold"), *texts)
    table = Table(title=cell(title), show_header=any(headings))
    for place, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*map(cell, row))
    return table


def _head(view: View, *, is_low: bool) -> RenderableType:
    """Name and value, side by side."""
    return _table(view.run["label"], ("", ""), facts(view), is_low=is_low)


def _changes(view: View, *, is_low: bool) -> list[RenderableType]:
    """The last changes, in order of acceptance."""
    if not view.changes:
        return []
    hidden = len(view.changes) - _CHANGES_SHOWN
    title = "changes" if hidden <= 0 else f"changes, after {hidden:,} others"
    rows = [
        (span_words(each), operation_words(each["operation"]), each["status"] or "", reason_words(each))
        for each in view.changes[-_CHANGES_SHOWN:]
    ]
    return [_table(title, ("iterations", "what", "status", "author: why"), rows, is_low=is_low)]


def _events(events: list[Event], *, is_low: bool) -> RenderableType:
    """The newest first."""
    rows = [(time_words(each["at"])[11:], each["kind"], event_words(each)) for each in events]
    return _table("events", ("UTC", "event", ""), rows, is_low=is_low)
