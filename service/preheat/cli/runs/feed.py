"""Feed: events of a live run as they happen (server-sent events), through lost connections."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import orjson

from preheat.cli.runs.answers import Refused, refusal

if TYPE_CHECKING:  # httpx takes a while to import; --help does not need it
    import httpx

_AGAIN_S = 1.0
_SILENCE_S = 40.0
"""The service sends something every 15 s: after so long nobody is there any more."""

Event = dict[str, Any]


async def events_as_they_happen(http: "httpx.AsyncClient", path: str, after: int) -> AsyncIterator[Event | None]:
    """Events after a number; None wherever the connection was lost, or is there again.

    Events that came meanwhile follow, but for those that are no longer kept. Raises Refused for what will not pass.
    """
    import httpx  # noqa: PLC0415

    while True:
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        timeout = httpx.Timeout(http.timeout.connect, read=_SILENCE_S)
        try:
            async with http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if not response.is_success:
                    await response.aread()
                    raise refusal(response)
                yield None
                async for event in _events(response):
                    after = event["number"]
                    yield event
        except httpx.HTTPError:
            yield None
        except Refused as error:
            if error.kind == "events-trimmed":
                after = error.problem["first"] - 1
                continue
            if not error.may_pass:
                raise
        await asyncio.sleep(_AGAIN_S)


async def _events(response: "httpx.Response") -> AsyncIterator[Event]:
    """The events of a stream; their numbers and kinds are in their data too."""
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield orjson.loads(line.removeprefix("data:"))
