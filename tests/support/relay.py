"""A relay in front of a service: an HTTP server that loses answers, or lets somebody else in before a request."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_OWN = {"connection", "transfer-encoding", "content-length", "host", "date", "server"}


class Relay:
    """What becomes of requests that are no GET; all others are passed on as they are.

    `lose`: of so many the service gets the request, and nobody the answer. `before`: is called once before the next
    of them is passed on.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = httpx.Client(base_url=upstream, timeout=60)
        self.url = ""
        self.lose = 0
        self.before: Callable[[], object] | None = None
        self.keys: list[str | None] = []
        """Idempotency-Key of each request that was no GET."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        relay: Relay = self.server.relay  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        is_lost = False
        if self.command != "GET":
            relay.keys.append(self.headers.get("idempotency-key"))
            if relay.before is not None:
                before, relay.before = relay.before, None
                before()
            is_lost, relay.lose = relay.lose > 0, max(relay.lose - 1, 0)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
        answer = relay.upstream.request(self.command, self.path, content=body, headers=headers)
        if is_lost:
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name not in _OWN:
                self.send_header(name, value)
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815 - the names of http.server

    def log_message(self, *_: object) -> None:
        """Nothing: it would be written to stderr."""


@contextmanager
def relayed(upstream: str) -> Iterator[Relay]:
    """A relay that runs."""
    relay = Relay(upstream)
    with relay.upstream, ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.relay = relay  # type: ignore[attr-defined]
        server.daemon_threads = True
        relay.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield relay
        finally:
            server.shutdown()
            thread.join(10)
