import tracemalloc
from typing import Any

import httpx
import pytest

from preheat.api.app import served_app
from preheat.server import Answer, server_options
from preheat.settings import Settings
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from rest import UNKNOWN, posted_id
from running_service import serving

STEPPED: dict[str, Any] = {
    "target_lr": 1,
    "total_iterations": 9000,
    "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.9},
}


def headers_of(answer: httpx.Response) -> dict[str, str]:
    """Every header but those of the one request: its time of day and its id."""
    return {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}


def test_a_point_is_answered_without_a_route(watched: Any) -> None:
    """A point whose LR is at hand is answered before routing, while a conditional request for it reaches the route."""
    path = f"/v1/schedules/{posted_id(watched.http, REFERENCE_SPEC)}/lr/7"
    short = watched.http.get(path)
    long = watched.http.get(path, headers={"if-none-match": '"another"'})
    assert [(entry["path"], entry["reached_a_route"]) for entry in watched.seen[-2:]] == [(path, False), (path, True)]
    assert (short.status_code, short.json()["groups"][0]["lr"]) == (200, float(REFERENCE_ROWS[6]))
    assert (short.content, headers_of(short)) == (long.content, headers_of(long))


def test_a_middleware_sees_the_short_way(watched: Any) -> None:
    """A middleware that is added to the app sees a point's request and answer, and can add a header to it."""
    path = f"/v1/schedules/{posted_id(watched.http, REFERENCE_SPEC)}/lr/9"
    answer = watched.http.get(path)
    assert watched.seen[-1] == {"path": path, "status": 200, "reached_a_route": False}
    assert answer.headers["x-watched"] == "42"


def test_what_a_server_runs_answers_points_as_its_routes_do(http: httpx.Client) -> None:
    """It has the short way around the FastAPI application, and its points, problems and start are those of the app."""
    settings = Settings(database_url="sqlite:///:memory:")
    with (
        serving(served_app(settings), **server_options(settings)) as url,
        httpx.Client(base_url=url, timeout=60) as served,
    ):
        path = f"/v1/schedules/{posted_id(served, REFERENCE_SPEC)}/lr"
        posted_id(http, REFERENCE_SPEC)
        for suffix, asked in (("/9", {}), ("/9", {"if-none-match": '"another"'}), ("/21", {}), ("/9?x=1", {})):
            headers = {"x-request-id": "an-id", **asked}
            answer, expected = (each.get(f"{path}{suffix}", headers=headers) for each in (served, http))
            assert (answer.status_code, answer.content) == (expected.status_code, expected.content)
            assert headers_of(answer) == headers_of(expected)
            assert answer.headers["x-request-id"] == "an-id"
        metrics = served.get("/metrics").text
    point = 'preheat_http_requests_total{method="GET",route="/v1/schedules/{schedule_id}/lr/{iteration}",status="200"}'
    assert f"{point} 2.0" in metrics


def test_a_block_is_not_stepped_on_the_event_loop(watched: Any) -> None:
    """A stepped point goes to its route, and so to a thread, until its block of iterations is in memory."""
    path = f"/v1/schedules/{posted_id(watched.http, STEPPED)}/lr"
    first, again = watched.http.get(f"{path}/8200"), watched.http.get(f"{path}/8201")
    assert [entry["reached_a_route"] for entry in watched.seen[-2:]] == [True, False]
    assert again.json()["groups"][0]["lr"] == first.json()["groups"][0]["lr"] * 0.9


@pytest.mark.parametrize("spec", [REFERENCE_SPEC, STEPPED])
def test_the_short_way_answers_as_the_route_does(http: httpx.Client, spec: dict[str, Any]) -> None:
    """With and without what makes a request take the long way, body and headers are the same."""
    path = f"/v1/schedules/{posted_id(http, spec)}/lr/17"
    long_way = http.get(path, headers={"if-none-match": '"another"'})
    short_way = http.get(path)
    assert (short_way.content, headers_of(short_way)) == (long_way.content, headers_of(long_way))


@pytest.mark.parametrize(
    ("method", "suffix", "status"),
    [("GET", "/lr/21", 422), ("GET", "/lr/7?x=1", 422), ("HEAD", "/lr/7", 200), ("PUT", "/lr/7", 405)],
)
def test_what_is_out_of_the_ordinary_reaches_the_routes(watched: Any, method: str, suffix: str, status: int) -> None:
    """Past the end, with a query, or with another method, a point is answered by routing."""
    schedule = posted_id(watched.http, REFERENCE_SPEC)
    answer = watched.http.request(method, f"/v1/schedules/{schedule}{suffix}")
    assert answer.status_code == watched.seen[-1]["status"] == status
    assert watched.http.get(f"/v1/schedules/{UNKNOWN}/lr/7").status_code == 404


def test_a_point_that_is_known_is_gone_with_its_schedule(watched: Any) -> None:
    """What answered a point before answers nothing once the schedule is deleted, and is there again with it."""
    path = f"/v1/schedules/{posted_id(watched.http, REFERENCE_SPEC)}"
    points = [watched.http.get(f"{path}/lr/7") for _ in range(2)]
    assert points[0].content == points[1].content
    watched.http.delete(path)
    assert watched.http.get(f"{path}/lr/7").status_code == 404
    posted_id(watched.http, REFERENCE_SPEC)
    assert watched.http.get(f"{path}/lr/7").content == points[0].content


def test_points_take_a_bounded_part_of_memory() -> None:
    """However many different ones are asked for: all 20,000, of about 700 bytes each, would be 14 MB."""
    settings = Settings(database_url="sqlite:///:memory:")
    short_way = served_app(settings)
    with serving(short_way, **server_options(settings)) as url, httpx.Client(base_url=url, timeout=60) as http:
        path = f"/v1/schedules/{posted_id(http, {**REFERENCE_SPEC, 'total_iterations': 30_000})}/lr/"
        scope = {"type": "http", "method": "GET", "query_string": b"", "headers": [], "server": ("127.0.0.1", 80)}
        tracemalloc.start()
        try:
            for iteration in range(20_000):
                assert isinstance(short_way.responder({**scope, "path": f"{path}{iteration}"}), Answer)
            held_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held_bytes < 6_000_000
