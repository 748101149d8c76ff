"""The command runs watch: shows a run as it goes on, through lost connections."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preheat.cli.output import OUT
from preheat.cli.runs.answers import NoAnswer, Refused
from preheat.cli.runs.connection import Connection
from preheat.cli.runs.feed import Event, events_as_they_happen
from preheat.cli.runs.found import RunName, find_run, path_of
from preheat.cli.runs.looking import events_of
from preheat.cli.runs.screen import Lines, LiveTable, Screen
from preheat.cli.runs.service import Service, with_service
from preheat.cli.runs.view import look
from preheat.cli.runs.words import has_run_to_end

if TYPE_CHECKING:  # httpx takes a while to import; --help does not need it
    import httpx

_EVENTS_BEFORE = 8
"""Events of before that are shown at the beginning."""


@with_service
def watch(
    service: Service,
    run_name: RunName,
    metric: Annotated[str, typer.Option(help="Name of the reported number to show.")] = "loss",
    every_s: Annotated[
        float, typer.Option("--every", metavar="SECONDS", help="How often to look where it is.", min=0.1, max=3600)
    ] = 2.0,
) -> None:
    """Watch a run until its end, or Ctrl-C: where it is, its LR, its changes, and events as they happen.

    The end is where it is finished, or its job has run the last iteration and said goodbye.
    Without a terminal it writes a line for every event and every change of state, and one a minute while the run moves.
    """
    run = find_run(service, run_name)
    screen: Screen = LiveTable() if OUT.is_terminal else Lines()
    # That somebody has seen enough is no error.
    with suppress(KeyboardInterrupt), screen:
        last = _tell(screen, events_of(service, run, max(run["events"] - _EVENTS_BEFORE, 0)), run["events"])
        last = asyncio.run(_watch(service.connection, run, last, metric, every_s, screen))
        # That it is at its end may have been seen before everything was told.
        _tell(screen, events_of(service, run, last), last)


def _tell(screen: Screen, events: Iterable[Event], last: int) -> int:
    """The number of the last event, after showing all; `last` where there is none."""
    for event in events:
        screen.tell(event)
        last = event["number"]
    return last


async def _watch(
    connection: Connection, run: Mapping[str, Any], last: int, metric: str, every_s: float, screen: Screen
) -> int:
    """Shows a run until its end, and events after the last one; the number of the last that was shown.

    Raises ServiceError for what asking again does not mend.
    """
    news: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
    async with connection.async_client() as http:
        events = events_as_they_happen(http, f"{path_of(run)}/events", last)
        feeding = asyncio.create_task(_feed(events, news))
        try:
            while not await _is_over(http, connection, run, metric, screen):
                found = await _next(news, every_s)
                last = _tell(screen, (each for each in found if isinstance(each, dict)), last)
                for each in found:
                    if isinstance(each, Exception):
                        raise each
            return last
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)


async def _is_over(
    http: "httpx.AsyncClient", connection: Connection, run: Mapping[str, Any], metric: str, screen: Screen
) -> bool:
    """Whether the run is at its end, after showing it as it is, or why there is no answer."""
    try:
        view = await look(http, connection.address, run["id"], metric)
    except (NoAnswer, Refused) as error:
        if isinstance(error, Refused) and not error.may_pass:
            raise
        screen.say_lost(error.lines[0])
        return False
    screen.show(view)
    return bool(view.run["is_finished"] or has_run_to_end(view.run))


async def _feed(events: AsyncIterator[Event | None], news: "asyncio.Queue[Event | Exception | None]") -> None:
    """Puts events into a queue, and what ended them."""
    try:
        async for event in events:
            news.put_nowait(event)
    except Exception as error:  # noqa: BLE001 - raised again by who reads the queue
        news.put_nowait(error)


async def _next(news: "asyncio.Queue[Any]", wait_s: float) -> list[Any]:
    """Whatever is new, as soon as something is, or nothing after a time."""
    try:
        # Not wait_for: before Python 3.12 it loses a Ctrl-C that comes together with news (cpython#86296).
        async with asyncio.timeout(wait_s):
            found = [await news.get()]
    except TimeoutError:
        return []
    while not news.empty():
        found.append(news.get_nowait())
    return found
