"""Which scope each route needs: every scope tried on every route that the app has."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.routing import Match, compile_path

from preheat.api import create_app
from preheat.api.access import ROUTES, access_of
from preheat.settings import Settings
from reference import REFERENCE_SPEC
from rest import UNKNOWN, posted_id, problem
from support.keys import Keyed, asked, bearer, keyed_service

APP = create_app(Settings(database_url="sqlite:///:memory:"))
DESCRIBED = {
    (method.upper(), path): operation
    for path, methods in APP.openapi()["paths"].items()
    for method, operation in methods.items()
}
EVERY = sorted(
    (method, str(route.path_format))
    for route in iter_route_contexts(APP.routes)
    for method in (route.methods or set()) - {"HEAD"}
)
HIDDEN = set(EVERY) - DESCRIBED.keys()
PUBLIC = {path for _, path in HIDDEN} | {"/livez", "/readyz"}
WRITES = {("POST", "/v1/schedules"), ("DELETE", "/v1/schedules/{schedule_id}")}
OF_JOBS = {"/v1/runs", *(f"/v1/runs/{{run_id}}/{name}" for name in ("attempts", "windows", "reports"))}
OF_JOBS |= {"/v1/runs/{run_id}/attempts/{attempt}/close"}
ADMITS = {
    "read": {"read", "write", "run", "steer", "admin"},
    **{scope: {scope, "admin"} for scope in ("write", "run", "steer", "admin")},
}


def needed_scope(method: str, template: str) -> str:
    """What a route needs: jobs speak, people steer, administrators delete, all of them look."""
    if method == "GET" or not template.startswith("/v1/runs"):
        return "write" if (method, template) in WRITES else "read"
    if (method, template) == ("DELETE", "/v1/runs/{run_id}"):
        return "admin"
    return "run" if template in OF_JOBS else "steer"


@pytest.fixture(scope="module")
def keyed() -> Iterator[Keyed]:
    """A service with a key of each scope."""
    with keyed_service() as running:
        yield running


def test_every_route_has_its_scope() -> None:
    """And the table has no other; the app would not start with one that is missing."""
    assert sorted((method, path) for path, methods in ROUTES.items() for method in methods) == EVERY
    assert len(EVERY) > 25


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/secrets"), ("POST", "/metrics"), ("GET", "/a/{name}")])
@pytest.mark.parametrize("described", [True, False])
def test_a_route_without_a_scope_stops_the_start(method: str, path: str, *, described: bool) -> None:
    """Whether the OpenAPI document has it or not, and a new method of a public path too, which anybody could use."""
    app = create_app(Settings(database_url="sqlite:///:memory:"))
    app.add_api_route(path, lambda: None, methods=[method], include_in_schema=described)

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pass

    with pytest.raises(LookupError, match=re.escape(f"who may use {method} {path}")):
        asyncio.run(start())


@pytest.mark.parametrize(("method", "template"), EVERY)
def test_a_key_does_what_its_scopes_admit(keyed: Keyed, method: str, template: str) -> None:
    """Without a key 401, without the scope 403 that names it, with it whatever the route says; HEAD is as GET."""
    path = re.sub("{(schedule|run|change|controller)_id}", UNKNOWN, template).replace("{name}", "none")
    path = re.sub("{(iteration|attempt)}", "3", path)
    needed = needed_scope(method, template)
    admitted = ADMITS[needed]
    without = keyed.http.request(method, path)
    if template in PUBLIC:
        assert without.status_code in {200, 307}
        assert "private" not in without.headers["cache-control"]
        return
    assert problem(without, 401, "key-required")["detail"].startswith("this service asks for a key")
    for scope, token in keyed.tokens.items():
        answer = keyed.http.request(method, path, headers=bearer(token))
        if scope in admitted:
            assert answer.status_code not in {401, 403, 500}, scope
            assert "authorization" in answer.headers["vary"]
        else:
            assert problem(answer, 403, "scope-missing")["scope"] == needed
            assert answer.headers["www-authenticate"].endswith(f'error="insufficient_scope", scope="{needed}"')
    if method == "GET":
        head = keyed.http.head(path)
        assert (head.status_code, head.content) == (401, b"")
        assert head.headers["www-authenticate"] == without.headers["www-authenticate"]


@pytest.mark.parametrize(("method", "template"), sorted(DESCRIBED))
def test_the_document_says_so(method: str, template: str) -> None:
    """Its security schemes, the scope of each operation, and the statuses of a refusal."""
    operation = DESCRIBED[method, template]
    assert list(APP.openapi()["components"]["securitySchemes"]) == ["key"]
    if template in PUBLIC:
        assert operation["security"] == []
        return
    needed = needed_scope(method, template)
    assert operation["security"] == [{"key": [needed]}, {}]
    assert {"401", "403", "429", "503"} <= set(operation["responses"])


def test_a_key_is_required_by_the_document_where_it_always_is() -> None:
    """With a key of the settings the service is never without one."""
    app = create_app(Settings(database_url="sqlite:///:memory:", first_key="0123456789abcdef" * 4))
    assert app.openapi()["paths"]["/v1/lint"]["post"]["security"] == [{"key": ["read"]}]


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/schedules/", "/metrics/", "//v1/schedules", "/v1/schedules/x/y"])
def test_only_a_key_is_told_that_there_is_nothing(keyed: Keyed, path: str) -> None:
    """401 without one, 404 or a redirect with any."""
    assert keyed.http.get(path).status_code == 401
    assert keyed.http.get(path, headers=bearer(keyed.tokens["steer"])).status_code in {404, 307}


def test_methods_that_a_path_has_not_are_told_to_any_key(keyed: Keyed) -> None:
    """OPTIONS and 405, as without keys; those of a public path to anybody."""
    key = bearer(keyed.tokens["run"])
    assert keyed.http.options("/v1/schedules").status_code == 401
    assert keyed.http.options("/v1/schedules", headers=key).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert keyed.http.put("/v1/schedules", headers=key).status_code == 405
    assert keyed.http.put("/livez").status_code == 405
    assert keyed.http.options("/docs").status_code == 204


def test_metrics_ask_for_a_key_by_choice(keyed: Keyed) -> None:
    """Anybody reads them, unless `metrics_need_key`: then as any other route, and probes stay open."""
    assert keyed.http.get("/metrics").is_success
    assert keyed.http.put("/metrics").status_code == 405
    with keyed_service(metrics_need_key=True) as running:
        problem(running.http.get("/metrics"), 401, "key-required")
        assert running.http.head("/metrics").status_code == 401
        assert running.http.put("/metrics").status_code == 401
        assert running.http.put("/metrics", headers=bearer(running.tokens["read"])).status_code == 405
        answer = running.http.get("/metrics", headers=bearer(running.tokens["read"]))
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert "preheat_build_info" in answer.text
        assert running.http.get("/livez").is_success
    for host, status in (("127.0.0.1", 200), ("10.0.0.7", 403)):
        app = create_app(Settings(database_url="sqlite:///:memory:", metrics_need_key=True))
        assert asked(app, "/metrics", server=(host, 80))[0] == status


def test_metrics_need_no_key_where_nothing_does() -> None:
    """Settings that contradict each other stop the start, whichever was meant."""
    with pytest.raises(ValidationError, match="must not be set beside without_keys"):
        Settings(metrics_need_key=True, without_keys=True)


def test_a_write_key_makes_reads_and_deletes(keyed: Keyed) -> None:
    """Through the short way of points too, which asks for the key as every other does."""
    with httpx.Client(base_url=keyed.http.base_url, headers=bearer(keyed.tokens["write"]), timeout=60) as http:
        schedule_id = posted_id(http, REFERENCE_SPEC)
        assert http.get(f"/v1/schedules/{schedule_id}/lr/20").json()["groups"][0]["lr"] == 0.0
        assert keyed.http.get(f"/v1/schedules/{schedule_id}/lr/20").status_code == 401
        assert http.delete(f"/v1/schedules/{schedule_id}").status_code == 204


def needed(method: str, path: str) -> Any:
    """What the routes themselves say: the operation that a request reaches, and so the scope that it needs."""
    request = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "app": APP}
    if not any(route.matches(dict(request))[0] is Match.FULL for route in APP.routes):
        return None
    # Starlette's own compiler, on every path of the document: what is reached is one of these.
    return [template for wanted, template in EVERY if wanted == method and compile_path(template)[0].match(path)]


PIECES = st.sampled_from(
    [*{part for path in ROUTES for part in path.split("/") if "{" not in part}, "x", "\n", ".", "%2e", "lr\n", "", " "]
)
TEMPLATES = st.sampled_from(sorted(ROUTES))


@st.composite
def paths(draw: st.DrawFn) -> str:
    """Paths of routes with a piece changed, lengthened, or ended by what a pattern's $ lets through."""
    template = re.sub(r"{[a-z_]+}", lambda _: draw(PIECES) or "y", draw(TEMPLATES))
    parts = template.split("/")
    if draw(st.booleans()):
        parts[draw(st.integers(0, len(parts) - 1))] = draw(PIECES)
    return "/" + "/".join(parts).lstrip("/") + draw(st.sampled_from(["", "", "\n", "/", "\n\n", "\0"]))


@given(st.sampled_from(["GET", "POST", "DELETE", "PUT"]), paths())
def test_no_request_reaches_a_route_past_the_table(method: str, path: str) -> None:
    """Whatever the path: what a route answers has the access of that route."""
    reached = needed(method, path)
    if reached is None:
        assert access_of(method, path, "anybody") in {"any key", "anybody"}
    else:
        assert access_of(method, path, "by setting") in {ROUTES[template][method] for template in reached}
        assert reached
