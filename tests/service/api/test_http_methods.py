import asyncio

import httpx
import pytest
from starlette.types import Message

from preheat.api import create_app
from preheat.settings import Settings
from rest import UNKNOWN, problem

ALLOWED = {
    "/": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
    "/docs/swagger-ui.css": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/livez": "GET, HEAD, OPTIONS",
    "/v1/schedules": "GET, HEAD, OPTIONS, POST",
    f"/v1/schedules/{UNKNOWN}": "DELETE, GET, HEAD, OPTIONS",
    f"/v1/schedules/{UNKNOWN}/lr/3": "GET, HEAD, OPTIONS",
    f"/v1/schedules/{UNKNOWN}/resume": "OPTIONS, POST",
    "/v1/plot.png": "GET, HEAD, OPTIONS",
    "/v1/lint": "OPTIONS, POST",
}


@pytest.mark.parametrize("path", ALLOWED)
def test_options_and_405_list_every_method(http: httpx.Client, path: str) -> None:
    """OPTIONS is 204 with every method of the path in Allow; any other method is 405 with the same."""
    options = http.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, ALLOWED[path], b"")
    for method in {"PUT", "PATCH", "DELETE", "TRACE"} - set(ALLOWED[path].split(", ")):
        answer = http.request(method, path)
        assert method in problem(answer, 405, "method-not-allowed")["detail"]
        assert answer.headers["allow"] == ALLOWED[path]


def test_every_documented_path_has_its_methods(http: httpx.Client) -> None:
    """OPTIONS lists what the OpenAPI document lists, for each of its paths, and HEAD wherever there is GET."""
    for path, methods in http.get("/openapi.json").json()["paths"].items():
        names = {method.upper() for method in methods}
        expected = names | {"OPTIONS"} | ({"HEAD"} if "GET" in names else set())
        allow = http.options(path.replace("{", "").replace("}", "")).headers["allow"]
        assert set(allow.split(", ")) == expected, path


def test_head_of_a_path_without_get_is_405(http: httpx.Client) -> None:
    """HEAD is no more than GET without a body: where there is no GET, there is no HEAD."""
    answer = http.head("/v1/lint")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "OPTIONS, POST", b"")


@pytest.mark.parametrize(("method", "has_body"), [("GET", True), ("HEAD", False)])
def test_head_has_no_body_whatever_the_server(method: str, has_body: bool) -> None:
    """The app itself leaves out the body, which uvicorn would drop and other servers might not."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    request = {"type": "http", "method": method, "path": "/livez", "query_string": b"", "headers": []}
    app = create_app(Settings(database_url="sqlite:///:memory:"))
    asyncio.run(app(request, receive, send))
    assert sent[0]["status"] == 200
    assert any(message.get("body") for message in sent) == has_body


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD", "PUT"])
def test_an_unknown_path_is_404_for_every_method(http: httpx.Client, method: str) -> None:
    """A path that no route has is not found, whatever the method."""
    assert http.request(method, "/v1/nothing").status_code == 404


def test_the_root_leads_to_the_documentation(http: httpx.Client) -> None:
    """Whoever opens the printed address in a browser finds the routes."""
    answer = http.get("/", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/docs")
