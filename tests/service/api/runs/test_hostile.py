"""Whatever is sent to a run is answered with a 4xx that says why, or done: never with a 500."""

import json
from typing import Any

import httpx
import pytest

from live_runs.rest_job import RestJob
from rest import problem

TOKEN = "0123456789abcdef"  # noqa: S105 - of nobody
HUGE = 9_007_199_254_740_992

OPERATIONS: list[Any] = [
    [], 5, {}, {"op": ["x"]}, {"op": None}, {"op": "set"},
    {"op": "scale"}, {"op": "scale", "factor": "NaN"}, {"op": "scale", "factor": [1]}, {"op": "scale", "factor": -1},
    {"op": "scale", "factor": 0.5, "stop": 3}, {"op": "scale", "factor": 0.5, "param_groups": []},
    {"op": "scale", "factor": 0.5, "param_groups": 5}, {"op": "scale", "factor": 0.5, "x": 1},
    {"op": "hold"}, {"op": "hold", "value": "later"}, {"op": "hold", "value": {"default": 1e300}},
    {"op": "hold", "value": "current", "param_groups": 5}, {"op": "hold", "value": "current", "param_groups": ["a"]},
    {"op": "hold", "value": "current", "hyperparameter": ["a"]}, {"op": "hold", "value": ["current"]},
    {"op": "hold", "value": "current", "hyperparameter": "momentum"},
    {"op": "replace"}, {"op": "replace", "schedule": 5}, {"op": "replace", "schedule": {"recipe": ["x"]}},
    {"op": "replace", "schedule": {"recipe": "none"}}, {"op": "replace", "schedule": {}},
    {"op": "rewarm", "iterations": 1e20}, {"op": "rewarm"}, {"op": "cooldown", "iterations": 0},
    {"op": "cooldown", "iterations": "5 ep"}, {"op": "cooldown", "iterations": {"a": 1}},
    {"op": "extend"}, {"op": "extend", "total_iterations": None}, {"op": "extend", "total_iterations": True},
    {"op": "extend", "total_iterations": 1e15}, {"op": "extend", "total_iterations": "x"},
    {"op": "extend", "total_iterations": 5}, {"op": "revert"}, {"op": "revert", "change": 5},
    {"op": "revert", "change": "none"}, {"op": "revert", "change": "\ud800"}, {"op": "\ud800"},
    {"op": "scale", "factor": 0.5, "\ud800": 1}, {"op": "scale", "factor": 0.5, "param_groups": ["\ud800"]},
    {"op": "hold", "value": {"\ud800": 1}}, {"op": "hold", "value": "current", "hyperparameter": "\ud800"},
    {"op": "replace", "schedule": {"\ud800": 1}}, {"op": "replace", "schedule": {"recipe": "\ud800"}},
]  # fmt: skip
WHEN: list[Any] = [
    {"at": -1}, {"at": True}, {"at": {"a": 1}}, {"at": 1e30}, {"at": "3 ep"}, {"at": []}, {"until": "1e30 tokens"},
    {"for_iterations": 0}, {"for_iterations": HUGE, "until": 5}, {"not_after": "x"}, {"why": " "}, {"why": 5},
]  # fmt: skip
BODIES: list[bytes] = [
    b"", b"[]", b"null", b'"x"', b"{", b'{"a":NaN}', b"1e999", b'{"label":"\\ud800","spec":{}}', b'{"label":"x"}',
    b'{"label":"x","spec":[1]}', b'{"label":"x","spec":{},"schedule_id":"x"}', b'{"label":"a\\u0000","spec":{}}',
    b'{"label":"x","schedule_id":"../"}', b'{"label":"x","label":"y"}', b"[" * 5000, b'{"x":' * 5000,
    b'{"after":-2,"changes":"drop","why":"x"}', b'{"after":5,"changes":"keep","why":"x"}', b'{"lock":5}',
    b'{"attempt":1,"iteration":9007199254740993,"label":"x"}', b'{"metric":"a","parameters":{"min_lr":{"x":1}}}',
    b'{"metric":"a","parameters":null}', b'{"metric":"a","parameters":{"min_lr":[1]}}', b'{"metric":"\\u0000"}',
    b'{"token":"x","seen_attempt":0,"position":1}', b'{"token":"0123456789abcdef","seen_attempt":0,"position":1e16}',
]  # fmt: skip
ROUTES = ["attempts", "windows", "reports", "changes?dry_run=true", "rollback", "fork", "lock", "controllers"]


@pytest.fixture(scope="module")
def http(service_with: Any) -> httpx.Client:
    """A client of a service in memory."""
    client: httpx.Client = service_with()
    return client


@pytest.fixture
def job(http: httpx.Client) -> RestJob:
    """A run whose job has its first window."""
    started = RestJob(http)
    started.attach()
    started.ask(1)
    return started


@pytest.mark.parametrize("path", [*ROUTES, "attempts/1/close", "/v1/runs"])
def test_a_body_that_is_none_is_told_so(http: httpx.Client, path: str) -> None:
    """JSON of any shape, and what is none."""
    job = RestJob(http)
    job.attach()
    address = path if path.startswith("/") else f"{job.path}/{path}"
    for body in BODIES:
        headers = {"content-type": "application/json", "if-match": job.run()["etag"], "idempotency-key": "k"}
        answer = http.request("PUT" if path == "lock" else "POST", address, content=body, headers=headers)
        assert answer.status_code in {404, 422}, (body, answer.text)


@pytest.mark.parametrize("operation", OPERATIONS, ids=json.dumps)
def test_an_operation_that_is_none_is_told_so(job: RestJob, operation: Any) -> None:
    """With a pointer into it."""
    answer = _posted(job, "changes?dry_run=true", {"operation": operation, "why": "x"})
    assert answer.status_code in {404, 409, 422}, answer.text
    if answer.json()["type"] == "urn:preheat:invalid-spec":
        assert answer.json()["errors"][0]["pointer"].startswith("/operation")


def test_a_time_that_is_none_is_told_so(job: RestJob) -> None:
    """With a pointer to it."""
    for fields in WHEN:
        body = {"operation": {"op": "scale", "factor": 0.5}, "why": "x", **fields}
        document = problem(job.http.post(f"{job.path}/changes?dry_run=true", json=body), 422, "invalid-spec")
        assert document["errors"][0]["pointer"].removeprefix("/") in fields


TOLD: list[tuple[dict[str, Any], str]] = [
    ({"iteration": -1}, "iteration"), ({"rank": "x"}, "rank"), ({"rank": True}, "rank"),
    ({"revision": HUGE + 1}, "revision"), ({"lrs": []}, "lrs"), ({"lrs": {"default": "x"}}, "lrs/default"),
    ({"lrs": {"\ud800": 0.1}}, "lrs/\ufffd\ufffd\ufffd"), ({"lrs": {"": 0.1}}, "lrs/"),
    ({"lrs": {"x" * 101: 0.1}}, "lrs/xxx"), ({"x": 1}, "x"),
]  # fmt: skip


def test_what_no_rank_can_tell_is_told_so(job: RestJob) -> None:
    """With a pointer to it; what ranks do tell, whatever their param groups are called, is read as events."""
    told = {"iteration": 1, "rank": 0, "lrs": {}, "revision": 1}
    asked = {"attempt": 1, "token": job.token}
    windows = {**asked, "position": 1, "acknowledged": 1, "revision": 1}
    for path, body in ("reports", asked), ("windows", windows):
        for fields, place in TOLD:
            answer = _posted(job, path, {**body, "told": [told | fields]})
            pointer = problem(answer, 422, "invalid-spec")["errors"][0]["pointer"]
            assert pointer.startswith(f"/told/0/{place}")
    lrs = {"a\u2028\n": 0.1, "\U0001f600": "Infinity", "default": 1e-320}
    assert _posted(job, "reports", {**asked, "told": [{**told, "lrs": lrs}]}).json()["alarms"] == 1
    assert job.http.get(f"{job.path}/events?after=0").json()["events"][-1]["data"]["lrs"] == lrs


@pytest.mark.parametrize(
    ("knowledge", "position", "pointer"),
    [
        ({"attempt": HUGE, "revision": 1, "bound": 20}, 20, "/knowledge/attempt"),
        ({"attempt": 2, "revision": HUGE, "bound": 20}, 20, "/knowledge/revision"),
        ({"attempt": 2, "revision": 2, "bound": 20, "spec": {"x": 1}}, 20, "/knowledge/spec/target_lr"),
        ({"attempt": 2, "revision": 2, "bound": HUGE}, HUGE, None),
    ],
)
def test_what_nobody_can_know_is_refused(job: RestJob, knowledge: Any, position: int, pointer: str | None) -> None:
    """Else one request could freeze a run, or let its numbers run out."""
    answer = job.try_attach(position, knowledge=knowledge, take_over=True)
    if pointer is None:
        problem(answer, 409, "position-ahead")
    else:
        assert problem(answer, 422, "invalid-spec")["errors"][0]["pointer"] == pointer
    assert problem(job.try_ask(1, generation=HUGE), 422, "invalid-spec")["errors"][0]["pointer"] == "/generation"
    assert job.ask(1)["generation"] == 1


def test_knowledge_of_another_run_is_refused(job: RestJob) -> None:
    """A spec with other columns is not taken, and not passed over either."""
    spec = {"target_lr": 0.1, "total_iterations": 50, "param_groups": [{"name": "a"}, {"name": "b"}]}
    knowledge = {"attempt": 2, "revision": 2, "bound": 20, "spec": spec}
    document = problem(job.try_attach(20, knowledge=knowledge, take_over=True), 422, "invalid-spec")
    assert document["errors"][0]["pointer"] == "/knowledge/spec"


def _posted(job: RestJob, path: str, body: Any) -> httpx.Response:
    """The answer to a body as the standard library writes it, which lets half a character pass."""
    headers = {"content-type": "application/json"}
    return job.http.post(f"{job.path}/{path}", content=json.dumps(body), headers=headers)
