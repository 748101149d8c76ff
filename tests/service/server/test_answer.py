"""The head of an answer: the bytes that uvicorn itself would send."""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from preheat.server.answer import Cycle

LENGTH = (b"content-length", b"5")
DATE = (b"date", b"Sat, 28 Nov 2026 19:50:02 GMT")


class Transport:
    """Notes what is written."""

    def __init__(self) -> None:
        self.written, self.is_closed = b"", False

    def write(self, data: bytes) -> None:
        """Sends."""
        self.written += data

    def close(self) -> None:
        """Ends the connection."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Whether that was done."""
        return self.is_closed


def sent(kind: type[RequestResponseCycle], headers: Any, status: int, method: str, *, keep_alive: bool) -> Any:
    """What is written for an answer, whether the connection is closed, and how sending it fails, if it does."""
    transport: Any = Transport()

    async def answer() -> None:
        cycle = kind(
            scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
            transport=transport,
            flow=FlowControl(transport),
            logger=logging.getLogger(),
            access_logger=logging.getLogger(),
            access_log=False,
            default_headers=[DATE],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=lambda: None,
        )
        start: Any = {"type": "http.response.start", "status": status, "headers": headers}
        await cycle.send(start)
        await cycle.send({"type": "http.response.body", "body": b"hello", "more_body": False})

    try:
        asyncio.run(answer())
    except (RuntimeError, ValueError) as error:
        return transport.written, transport.is_closed, str(error)
    return transport.written, transport.is_closed, None


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize(
    ("headers", "status", "method"),
    [
        ([LENGTH], 200, "GET"),
        ([LENGTH, (b"etag", b'"a"'), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")], 404, "GET"),
        ([LENGTH, (b"x-tab", b"a\tb"), (b"x-latin", "Zürich".encode("latin-1")), (b"x-empty", b"")], 200, "GET"),
        ([LENGTH], 200, "HEAD"),
        ([(b"Content-Length", b"5")], 200, "GET"),
        ([], 200, "GET"),
        ([(b"transfer-encoding", b"chunked")], 200, "GET"),
        ([LENGTH, (b"connection", b"close")], 200, "GET"),
        ([LENGTH, LENGTH], 200, "GET"),
        ([(b"content-length", b"4")], 200, "GET"),
        ([(b"content-length", b"many")], 200, "GET"),
        ([LENGTH, (b"x-split", b"a\r\nset-cookie: b=1")], 200, "GET"),
        ([LENGTH, (b"x-line", b"a\nb")], 200, "GET"),
        ([LENGTH, (b"x name", b"a")], 200, "GET"),
        ([LENGTH, (b"x-name:", b"a")], 200, "GET"),
    ],
)
def test_an_answer_is_what_uvicorn_sends(headers: Any, status: int, method: str, *, keep_alive: bool) -> None:
    """The same bytes, the same end of the connection, the same refusals."""
    ours, uvicorns = (
        sent(kind, headers, status, method, keep_alive=keep_alive) for kind in (Cycle, RequestResponseCycle)
    )
    assert ours == uvicorns


@given(st.lists(st.tuples(st.sampled_from([b"a", b"B", b"x-c", b"c d", b"content-length"]), st.binary(max_size=4))))
def test_no_header_is_sent_that_uvicorn_refuses(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever bytes a header has."""
    given_headers = [LENGTH, *headers]
    ours, uvicorns = (sent(kind, given_headers, 200, "GET", keep_alive=True) for kind in (Cycle, RequestResponseCycle))
    assert ours == uvicorns
