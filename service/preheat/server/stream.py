"""Streams: answers that go on after the tasks of their requests have ended, so that waiting costs little memory."""

from typing import Any

STREAM = "preheat.stream"
"""An extension of ASGI, in `scope["extensions"]` where the server has it, and the type of the message that uses it.

After the start of an answer without a Content-Length `{"type": STREAM, "to": take}` gives `take`, at once, a `Stream`;
then the application returns, and the answer goes on until the stream is ended.
"""


class Stream:
    """The rest of an answer; belongs to the event loop. `cycle` is the request's `Cycle`."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle

    @property
    def is_open(self) -> bool:
        """Whether somebody may still read it."""
        return not self._cycle.disconnected and not self._cycle.response_complete

    @property
    def is_slow(self) -> bool:
        """Whether the client has yet to read what was written; it is cut after send_timeout_s."""
        return bool(self._cycle.flow.write_paused)

    def write(self, chunk: bytes) -> None:
        """Sends some bytes, at least one."""
        self._cycle.write(chunk)

    def end(self) -> None:
        """Completes the answer."""
        if self.is_open:
            self._cycle.complete()
