from typing import Any

import httpx
import pytest

from preheat.api import create_app
from preheat.settings import Settings
from reference import REFERENCE_SPEC
from rest import post, posted_id
from running_service import serving

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
NO_STORE = "no-store"
SPEC = '{"target_lr": 0.1, "total_iterations": 9}'

ROUTES = {
    "/": ("/", NO_STORE),
    "/docs": ("/docs", REVALIDATE),
    "/docs/swagger-ui-bundle.js": ("/docs/swagger-ui-bundle.js", REVALIDATE),
    "/docs/swagger-ui.css": ("/docs/swagger-ui.css", REVALIDATE),
    "/openapi.json": ("/openapi.json", NO_STORE),
    "/livez": ("/livez", NO_STORE),
    "/readyz": ("/readyz", NO_STORE),
    "/v1/schedules": ("/v1/schedules?label=none", REVALIDATE),
    "/v1/schedules/{schedule_id}": ("/v1/schedules/{a}", REVALIDATE),
    "/v1/schedules/{schedule_id}/lr": ("/v1/schedules/{a}/lr?start=3", IMMUTABLE),
    "/v1/schedules/{schedule_id}/lr/{iteration}": ("/v1/schedules/{a}/lr/7", IMMUTABLE),
    "/v1/schedules/{schedule_id}/at": ("/v1/schedules/{a}/at?iteration=7", IMMUTABLE),
    "/v1/schedules/{schedule_id}/sum": ("/v1/schedules/{a}/sum", IMMUTABLE),
    "/v1/schedules/{schedule_id}/crossing": ("/v1/schedules/{a}/crossing?value=0.005", IMMUTABLE),
    "/v1/schedules/{schedule_id}/plot.png": ("/v1/schedules/{a}/plot.png", REVALIDATE),
    "/v1/schedules/{schedule_id}/plot.svg": ("/v1/schedules/{a}/plot.svg?compare={b}", REVALIDATE),
    "/v1/schedules/{schedule_id}/export": ("/v1/schedules/{a}/export?to=torch", REVALIDATE),
    "/v1/plot.png": (f"/v1/plot.png?spec={SPEC}", REVALIDATE),
    "/v1/plot.svg": (f"/v1/plot.svg?spec={SPEC}", REVALIDATE),
    "/v1/diff": ("/v1/diff?a={a}&b={b}", REVALIDATE),
    "/v1/recipes": ("/v1/recipes", REVALIDATE),
    "/v1/recipes/{name}": ("/v1/recipes/bert-base", REVALIDATE),
}
"""Every path with GET: an address of it, and how its answer may be kept."""

FORMATS = {
    ("/v1/schedules/{schedule_id}/lr", "text/csv"): IMMUTABLE,
    ("/v1/schedules/{schedule_id}/lr", "application/x-npy"): IMMUTABLE,
    ("/v1/schedules/{schedule_id}/lr", "image/png"): REVALIDATE,
    ("/v1/schedules/{schedule_id}/lr", "image/svg+xml"): REVALIDATE,
    ("/v1/diff", "image/png"): REVALIDATE,
}
"""Other formats of the same address: a picture also follows from the version that draws it."""

CASES = [(path, "*/*", policy) for path, (_, policy) in ROUTES.items()]
CASES += [(path, accept, policy) for (path, accept), policy in FORMATS.items()]

OF_A_BODY = {"content-type", "content-length"}
OF_A_MOMENT = {"date", "x-request-id"}


def address(http: httpx.Client, path: str) -> str:
    """The address of a path, with the ids of two schedules of the service in it."""
    a = posted_id(http, REFERENCE_SPEC)
    b = posted_id(http, {**REFERENCE_SPEC, "target_lr": 0.02})
    return ROUTES[path][0].replace("{a}", a).replace("{b}", b)


def headers_of(answer: httpx.Response, *, without: set[str]) -> dict[str, str]:
    """The headers but for some."""
    return {name: value for name, value in answer.headers.items() if name not in without}


def test_every_path_with_get_is_in_the_table(http: httpx.Client) -> None:
    """A route that is added says here how its answer may be kept."""
    documented = {path for path, methods in http.get("/openapi.json").json()["paths"].items() if "get" in methods}
    # What runs answer is of a moment, and never kept: tests/service/api/runs/test_document.py.
    documented = {path for path in documented if not path.startswith("/v1/runs")}
    page = {path for path in ROUTES if path.startswith("/docs/")}  # what it loads is looked at with the page
    assert documented | page | {"/", "/docs", "/openapi.json"} == set(ROUTES)


@pytest.mark.parametrize(("path", "accept", "policy"), CASES)
def test_304_and_head_have_the_headers_of_get(http: httpx.Client, path: str, accept: str, policy: str) -> None:
    """Cache-Control is the policy of the path; HEAD has every header of GET, 304 all but those of a body."""
    place = address(http, path)
    get = http.get(place, headers={"accept": accept})
    assert get.status_code == (307 if path == "/" else 200)
    assert get.headers["cache-control"] == policy
    head = http.head(place, headers={"accept": accept})
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert headers_of(head, without=OF_A_MOMENT) == headers_of(get, without=OF_A_MOMENT)
    assert ("etag" in get.headers) == (policy != NO_STORE)
    if policy == NO_STORE:
        return
    tag = get.headers["etag"]
    assert tag.startswith('"')
    for given in ([tag], [f'"x", {tag}'], [f"W/{tag}"], ["*"], ['"x"', tag]):
        again = http.get(place, headers=[("accept", accept), *(("if-none-match", line) for line in given)])
        assert (again.status_code, again.content) == (304, b"")
        assert headers_of(again, without=OF_A_MOMENT) == headers_of(get, without=OF_A_MOMENT | OF_A_BODY)
    other = http.get(place, headers={"accept": accept, "if-none-match": '"x"'})
    assert (other.status_code, other.content) == (200, get.content)


def test_a_window_says_where_it_is_and_that_it_depends_on_accept(http: httpx.Client, schedule_id: str) -> None:
    """Content-Location has the window that was meant, written out; Vary names Accept, for 304 too."""
    first = http.get(f"/v1/schedules/{schedule_id}/lr?start=3")
    again = http.get(f"/v1/schedules/{schedule_id}/lr?start=3", headers={"if-none-match": first.headers["etag"]})
    for answer in (first, again):
        assert answer.headers["content-location"] == f"/v1/schedules/{schedule_id}/lr?start=3&stop=21&step=1"
        assert answer.headers["vary"] == "accept"


def test_formats_and_windows_have_tags_of_their_own(http: httpx.Client, schedule_id: str) -> None:
    """Two different bodies never share a tag."""
    answers = [
        http.get(f"/v1/schedules/{schedule_id}/lr", params=query, headers={"accept": accept})
        for query in ({}, {"start": 1}, {"stop": 4}, {"step": 2})
        for accept in ("application/json", "text/csv", "application/x-npy")
    ]
    assert len({answer.headers["etag"] for answer in answers}) == len({answer.content for answer in answers}) == 12


def test_tags_change_with_the_version() -> None:
    """What another version of the service wrote down is asked for again: no tag is the same for two versions."""
    tags: dict[str, dict[Any, str]] = {}
    for version in ("1.0.0", "1.0.1"):
        app = create_app(Settings(database_url="sqlite:///:memory:"))
        app.version = version
        with serving(app) as url, httpx.Client(base_url=url, timeout=30) as http:
            answers = {
                (path, accept): http.get(address(http, path), headers={"accept": accept})
                for path, accept, policy in CASES
                if policy != NO_STORE
            }
        tags[version] = {case: answer.headers["etag"] for case, answer in answers.items()}
    old, new = tags.values()
    assert [case for case in old if old[case] == new[case]] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/schedules", REFERENCE_SPEC),
        ("/v1/lint", REFERENCE_SPEC),
        ("/v1/import", {"library": "torch", "source": "CosineAnnealingLR(o, T_max=20)", "target_lr": 0.1}),
        ("/v1/schedules/{a}/resume?iteration=3", REFERENCE_SPEC),
    ],
)
def test_an_answer_to_post_is_not_kept(http: httpx.Client, schedule_id: str, path: str, body: Any) -> None:
    """No cache keeps what a POST is answered with, and it has no tag."""
    answer = http.post(path.replace("{a}", schedule_id), json=body)
    assert answer.is_success
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


def test_a_picture_is_drawn_once(watched: Any) -> None:
    """A picture comes from the cache when no time is left to draw it, and another picture does not."""
    path = f"/v1/schedules/{posted_id(watched.http, {'target_lr': 1, 'total_iterations': 10**7})}/plot.svg"
    first = watched.http.get(path)
    watched.expire_deadlines()
    again = watched.http.get(path)
    assert (again.status_code, again.content) == (200, first.content)
    assert watched.http.get(f"{path}?theme=dark").status_code == 503


def test_lint_is_computed_once(watched: Any) -> None:
    """Findings are there when no time is left to compute them, and those of another schedule are not."""
    spec = {"target_lr": 1, "total_iterations": 10**7, "after_scheduler": {"type": "CosineAnnealingLR"}}
    first = post(watched.http, spec, stop=1).json()
    other = posted_id(watched.http, {**spec, "target_lr": 2})
    watched.expire_deadlines()
    answer = watched.http.get(f"/v1/schedules/{first['id']}")
    assert answer.json()["lint"] == first["lint"] != []
    assert watched.http.get(f"/v1/schedules/{other}").json()["lint"] is None
