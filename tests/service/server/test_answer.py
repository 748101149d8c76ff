"""Answers: the bytes that uvicorn itself would send."""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from preheat.server.answer import Answer, Cycle

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


class Responding:
    """An application that knows its answer at once, if it has one."""

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer

    def responder(self, _scope: Any) -> Answer:
        """The answer."""
        if self._answer is None:
            raise LookupError("it has none")
        return self._answer


def cycle_of(kind: type[RequestResponseCycle], method: str, *, keep_alive: bool) -> Any:
    """A cycle, and the transport that it writes to."""
    transport: Any = Transport()
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
    return cycle, transport


def sent(kind: type[RequestResponseCycle], headers: Any, status: int, method: str, *, keep_alive: bool) -> Any:
    """What is written for an answer, whether the connection is closed, and how sending it fails, if it does."""
    cycle, transport = cycle_of(kind, method, keep_alive=keep_alive)
    try:
        asyncio.run(Answer(status, headers, b"hello")({}, None, cycle.send))
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


@pytest.mark.parametrize("headers", [[], [(b"Transfer-Encoding", b"chunked")]])
def test_an_answer_without_a_length_is_bare_in_http_1_0(headers: Any) -> None:
    """As RFC 9112 §6.3 has it: the end of the connection is its end. With a length it is what uvicorn sends."""

    async def answer(cycle: Any) -> None:
        await cycle.send({"type": "http.response.start", "status": 200, "headers": headers})
        await cycle.send({"type": "http.response.body", "body": b"one", "more_body": True})
        await cycle.send({"type": "http.response.body", "body": b"two", "more_body": True})
        assert not transport.is_closed
        await cycle.send({"type": "http.response.body"})

    cycle, transport = cycle_of(Cycle, "GET", keep_alive=False)
    cycle.scope["http_version"] = "1.0"
    asyncio.run(answer(cycle))
    date = b"date: Sat, 28 Nov 2026 19:50:02 GMT"
    assert transport.written == b"HTTP/1.1 200 OK\r\n" + date + b"\r\nconnection: close\r\n\r\nonetwo"
    assert transport.is_closed


@given(st.lists(st.tuples(st.sampled_from([b"a", b"B", b"x-c", b"c d", b"content-length"]), st.binary(max_size=4))))
def test_no_header_is_sent_that_uvicorn_refuses(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever bytes a header has."""
    given_headers = [LENGTH, *headers]
    ours, uvicorns = (sent(kind, given_headers, 200, "GET", keep_alive=True) for kind in (Cycle, RequestResponseCycle))
    assert ours == uvicorns


@pytest.mark.parametrize("headers", [[LENGTH], [LENGTH, (b"connection", b"close")], [LENGTH, (b"x-line", b"a\nb")]])
@pytest.mark.parametrize(("method", "keep_alive"), [("GET", True), ("GET", False), ("HEAD", True)])
def test_an_answer_at_once_is_what_uvicorn_sends(headers: Any, method: str, *, keep_alive: bool) -> None:
    """The same bytes and the same end of the connection; what is not plain is left to a task, and nothing is sent."""
    answer = Answer(200, headers, b"hello")
    cycle, transport = cycle_of(Cycle, method, keep_alive=keep_alive)
    cycle.more_body = False
    rest = cycle.begin(Responding(answer))
    if headers == [LENGTH] and method == "GET":
        expected = sent(RequestResponseCycle, headers, 200, method, keep_alive=keep_alive)
        assert (rest, cycle.response_complete) == (None, True)
        assert (transport.written, transport.is_closed, None) == expected
    else:
        assert (rest, transport.written, cycle.response_started) == (answer, b"", False)


def test_a_request_is_left_to_a_task_while_its_body_comes_and_where_choosing_fails() -> None:
    """The application itself is run then, which sees the body, or fails where that is answered."""
    for app, more_body in ((Responding(Answer(200, [LENGTH], b"hello")), True), (Responding(None), False)):
        cycle, transport = cycle_of(Cycle, "GET", keep_alive=True)
        cycle.more_body = more_body
        assert cycle.begin(app) is app
        assert transport.written == b""
