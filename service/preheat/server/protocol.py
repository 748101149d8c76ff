"""HTTP/1.1 on one connection: uvicorn's httptools protocol, with limits on size, number and time of what a client does.

A connection is in one phase at a time, and each has its limit:

    HEAD       the client's turn: the head of a request must arrive within head_timeout_s
    BODY       the client's turn: the body must arrive within body_timeout_s
    ANSWERING  the application's turn; the client may send more requests, up to max_pipelined_requests
    IDLE       the client's turn: the connection is kept for keep_alive_timeout_s
    CLOSING    nothing more is answered; what comes is thrown away

In each of them a client that does not read what is sent to it is cut after send_timeout_s.
"""

import asyncio
import logging
from typing import Any, NoReturn

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from preheat.errors import (
    HeadTooLarge,
    PreheatError,
    RequestMalformed,
    RequestTimeout,
    TargetTooLong,
    TooManyBodies,
    TooManyConnections,
)
from preheat.server.answer import Cycle, LingeringTransport
from preheat.server.arriving import Arriving
from preheat.server.connections import PROBES, Phase, find_room
from preheat.server.head import check_framing, set_target
from preheat.server.refusal import ON_REFUSAL, REFUSAL, refusal_bytes, refusing
from preheat.server.timeouts import Timeouts
from preheat.server.unsent import Unsent, cut_slowest
from preheat.settings import Settings

_LOG = logging.getLogger("preheat")

HEAD, BODY, ANSWERING, IDLE, CLOSING = Phase  # looked up several times a request, which an Enum takes its time for


class LimitedHTTP(HttpToolsProtocol):
    """One connection.

    NOTE: what is overridden of uvicorn's protocol are its callbacks, with the same duties; on_headers_complete and
    on_response_complete are written anew. Its version is pinned for that.
    """

    def __init__(
        self,
        settings: Settings,
        timeouts: Timeouts,
        arriving: Arriving,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings, self._timeouts = settings, timeouts
        self._arriving, self.arriving_bytes, self.arriving_since = arriving, 0, 0.0
        self._max_headers, self._max_target_bytes = settings.max_headers, settings.max_target_bytes
        self._max_head_bytes = settings.max_head_bytes
        self.phase, self.since = HEAD, self.loop.time()
        self._framing_bytes = self._read_bytes = 0
        self._in_head = self._is_last = self._is_deaf = False
        self._may_keep_alive = self.is_beyond_limit = False
        self._refusal: PreheatError | None = None
        self._behind_bytes = 0
        self.unsent: Unsent
        self._next: tuple[Cycle, ASGI3Application] | None = None
        self._at_work: RequestResponseCycle | None = None
        self._timer: asyncio.TimerHandle | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """A client has connected."""
        super().connection_made(transport)
        self.unsent = Unsent(transport)
        self._timer = self.loop.call_later(self._timeouts.look_s, self._look)
        if len(self.connections) > self._settings.max_connections:
            find_room(self, self._settings.max_connections)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        if self._timer is not None:
            self._timer.cancel()
        self.phase = CLOSING
        self._arriving.forget(self)
        if self._at_work is not None:
            self._at_work.disconnected = True  # uvicorn tells the request that came last, which may be queued
            self._at_work.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses what has come, and has a request that has its turn answered."""
        if self._is_deaf or self.phase is CLOSING:
            return
        if self.phase is IDLE:
            self._enter(HEAD)
        self._parse(data)
        if self.pipeline:  # read on, or nobody would see the client leave; but take no more than that from it
            self._behind_bytes += len(data)
            if self._behind_bytes > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
        if self._next is not None:
            (cycle, app), self._next = self._next, None
            if (rest := cycle.begin(app)) is not None:
                self._at_work = cycle
                self._start_asgi_task(cycle, rest)

    def pause_writing(self) -> None:
        """The client is slow to read an answer."""
        super().pause_writing()
        self.unsent.note(self.loop.time())
        cut_slowest(self.connections, self._settings.max_unsent_bytes)

    # What the parser calls

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._is_last:
            self._is_deaf = True
            raise httptools.HttpParserError("the connection ends with the request before")
        super().on_message_begin()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A part of the target has come."""
        self.url += url
        if len(self.url) > self._max_target_bytes:
            self._stop(TargetTooLong(self._max_target_bytes))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come."""
        if not self._in_head:  # a trailer could pretend to be any header
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers = self.headers
        headers.append((name, value))
        if len(headers) > self._max_headers:
            self._stop(HeadTooLarge("the number of headers", "max_headers", self._max_headers))

    def on_headers_complete(self) -> None:
        """The head is complete: the request is next, or is queued behind an earlier one."""
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        path = self._check_head(version)
        self._in_head, self._framing_bytes = False, 0
        self._may_keep_alive = version != "1.0" and parser.should_keep_alive() and not self._is_last
        before, app = self.cycle, self.app
        if self.is_beyond_limit:
            self._may_keep_alive = False
            app = app if path in PROBES else self._too_many()
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=False,  # until the body is there: an answer before that is the last one on the connection
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self.phase, self.since = BODY, self.loop.time()
            self._next = self.cycle, app  # once it is known whether a body is to come
        else:
            self._queue(app)

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        self._framing_bytes = 0
        try:
            self._arriving.add(self, len(body))
        except TooManyBodies as error:
            self._stop(error)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._framing_bytes = 0
        if self.arriving_bytes:
            self._arriving.forget(self)
        cycle = self.cycle
        if self._may_keep_alive and not cycle.response_started:
            cycle.keep_alive = True
        if self.phase is BODY:
            self.phase = ANSWERING
            cycle.transport = self.transport
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    # What uvicorn calls

    def on_response_complete(self) -> None:
        """An answer is complete: the next request has its turn."""
        self.server_state.total_requests += 1
        self._at_work = None
        if self.phase is CLOSING:
            return
        if self.transport.is_closing():
            self._enter(CLOSING)
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._enter(ANSWERING)
            if cycle.more_body:
                self._enter(BODY)
                self._expect_body(cycle)
            self._at_work = cycle
            self._start_asgi_task(cycle, app)
        elif self._is_last:
            if self._refusal is not None:
                self.transport.write(refusal_bytes(self._refusal, self.server_state.default_headers))
            self.linger()
        else:
            self._behind_bytes = 0
            self._enter(HEAD if self._in_head else IDLE)

    def shutdown(self) -> None:
        """The service ends: so does the connection, after the answers to what is there already."""
        self._is_last, self._may_keep_alive = True, False
        super().shutdown()

    # What all of these lean on

    def linger(self) -> None:
        """Closes the connection so that the client can still read the last answer (RFC 9112 §9.6).

        Closing at once would reset it while a body is on its way, and the answer be lost.
        """
        self._enter(CLOSING)
        self._arriving.forget(self)
        self.flow.resume_reading()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        self._read_bytes = len(data)
        self._framing_bytes += self._read_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the request is answered, and no other protocol is spoken after it
            self._is_last = True
        except httptools.HttpParserError as error:
            if not self._is_deaf:
                self.refuse(self._refusal or RequestMalformed(f"the request is no HTTP/1.1: {error}"))
            return
        if self._framing_bytes > self._max_head_bytes:
            what = "request line and headers" if self._in_head else "sizes, extensions and trailers of a chunked body"
            self.refuse(HeadTooLarge(what, "max_head_bytes", self._max_head_bytes))
        elif self.phase is BODY:
            self._expect_body(self.cycle)

    def _check_head(self, version: str) -> str:
        """Writes the target into the scope, and gives the path; stops at a head that is too large or malformed."""
        # A part of these bytes may be a body, or another request, that has come with it.
        if max(self._framing_bytes, self._read_bytes) > self._max_head_bytes:
            head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if head_bytes > self._max_head_bytes:
                self._stop(HeadTooLarge("request line and headers", "max_head_bytes", self._max_head_bytes))
        is_upgrade = self.parser.should_upgrade()
        self._is_last |= is_upgrade
        try:
            check_framing(self.headers, version, is_upgrade=is_upgrade)
            return set_target(self.scope, self.url, self.root_path)
        except RequestMalformed as error:
            self._stop(error)

    def _expect_body(self, cycle: RequestResponseCycle) -> None:
        """An answer that comes before the body leaves a body behind, which nobody is to read as a request."""
        cycle.transport = LingeringTransport(self.transport, self.linger)  # type: ignore[assignment]

    def _queue(self, app: ASGI3Application) -> None:
        self.pipeline.appendleft((self.cycle, app))
        if len(self.pipeline) >= self._settings.max_pipelined_requests:
            # Answered with Connection: close, upon which a client sends the rest again (RFC 9112 §9.3.2).
            self._is_last, self._may_keep_alive = True, False

    def _stop(self, error: PreheatError) -> NoReturn:
        """Ends parsing, from within a callback of the parser."""
        self._refusal = error
        raise httptools.HttpParserError(str(error))

    def refuse(self, error: PreheatError) -> None:
        """Answers what cannot be parsed any further, after the answers to the requests before, and closes."""
        cycle = self.cycle
        self._is_last = self._is_deaf = True
        self._arriving.forget(self)
        if self.phase is not BODY:
            self._tell(error, self.scope if self._in_head else {"client": self.client})
        if self.phase is ANSWERING:
            if self.pipeline and self.pipeline[0][0].more_body:  # the broken one, which nobody has begun to answer
                self.pipeline.popleft()
            self._refusal = error
            return
        if self.phase is BODY:  # the application waits for the rest
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                self._enter(CLOSING)
                return
            cycle.scope[REFUSAL] = error  # type: ignore[literal-required]
        self.transport.write(refusal_bytes(error, self.server_state.default_headers))
        self.linger()

    def _tell(self, error: PreheatError, scope: Any) -> None:
        """Has the application record a request that it never sees."""
        if ON_REFUSAL in self.app_state:
            self.app_state[ON_REFUSAL](error, scope)

    def _enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, self.loop.time()

    def _look(self) -> None:
        """Ends what has taken too long.

        A timer of its own rhythm costs requests nothing, as one that they set and cancel would.
        """
        now = self.loop.time()
        if self.unsent.is_stuck(now, self._settings.send_timeout_s):
            _LOG.info("%s: cut, since it did not read its answer", self.client[0] if self.client else "a client")
            self.transport.abort()
            return
        timeout_s = self._timeouts.of_phase.get(self.phase)
        if self.unsent.count or self.flow.read_paused:
            self.since = now  # what the client waits for, or reads, is not its idleness
        elif timeout_s is not None and now - self.since > timeout_s:
            self._time_out(timeout_s)
        self._timer = self.loop.call_later(self._timeouts.look_s, self._look)

    def _time_out(self, timeout_s: float) -> None:
        if self.phase is CLOSING:
            self.transport.abort()
        elif self.phase is BODY:
            self.refuse(RequestTimeout("body", "body_timeout_s", timeout_s))
        elif self.phase is HEAD and (self._in_head or self._framing_bytes):
            self.refuse(RequestTimeout("head", "head_timeout_s", timeout_s))
        else:
            self.close_silently()

    def close_silently(self) -> None:
        """Closes the connection of a client that has asked for nothing."""
        self._enter(CLOSING)
        self.transport.close()

    def _too_many(self) -> ASGI3Application:
        error = TooManyConnections(self._settings.max_connections)
        self._tell(error, self.scope)
        return refusing(error)
