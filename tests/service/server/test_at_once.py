"""Answers that are there at once, on a real connection: nobody sees that they had no task."""

from typing import Any

from preheat.server import Answer
from running_service import wait_until
from support.raw_client import PATIENCE_S, Application, RawClient, limited, statuses


class AtOnce(Application):
    """Answers a number with the path, and at once if nothing is before it; leaves the others to its tasks."""

    def responder(self, scope: Any) -> Any:
        """What answers a request."""
        path = scope["path"]
        if path == "/fails":
            raise LookupError("there is no answer at once")
        return whole(path) if path[1:].isdigit() else super().__call__

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The same in a task."""
        is_number = scope["type"] == "http" and scope["path"][1:].isdigit()
        await (whole(scope["path"]) if is_number else super().__call__)(scope, receive, send)


def whole(path: str) -> Answer:
    """An answer with a path."""
    return Answer(200, [(b"content-length", b"%d" % len(path))], path.encode())


def get(path: str, *headers: str) -> bytes:
    """A request."""
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: x", *headers, "", "")).encode()


def test_requests_are_answered_in_order_whatever_answers_them() -> None:
    """Several in one packet, one in two, some at once and some by a task, the last one on the connection."""
    asked = [get("/1"), get("/task"), get("/2"), get("/fails"), get("/3", "Connection: close")]
    with limited(AtOnce()) as url, RawClient(url) as client:
        client.send(b"".join(asked[:3]) + asked[3][:9])
        client.send(asked[3][9:], asked[4])
        received = client.until_closed()
    assert statuses(received) == [200] * 5
    bodies = [part.partition(b"HTTP/1.1")[0] for part in received.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"/1", b"hello", b"/2", b"hello", b"/3"]


def test_a_request_whose_body_is_still_coming_is_left_to_the_application() -> None:
    """It sees the whole body; the next request on the connection is answered at once."""
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n"
    app = AtOnce()
    with limited(app) as url, RawClient(url) as client:
        client.send(head + b"abc")
        wait_until(lambda: app.paths, PATIENCE_S)
        client.send(b"def", get("/4", "Connection: close"))
        received = client.until_closed()
    assert [part.partition(b"HTTP/1.1")[0] for part in received.split(b"\r\n\r\n")[1:]] == [b"6", b"/4"]
