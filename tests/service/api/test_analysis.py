import math
from typing import Any

import httpx
import pytest

from reference import REFERENCE_ROWS, REFERENCE_SPEC
from rest import posted_id

LRS = [0.0, *map(float, REFERENCE_ROWS)]


def created(http: httpx.Client, **fields: Any) -> str:
    """The path of a schedule that differs from the reference in some fields."""
    return f"/v1/schedules/{posted_id(http, {**REFERENCE_SPEC, **fields})}"


def test_a_window_is_summed(http: httpx.Client) -> None:
    """A window's sum and mean are those of the reference table; it has no step."""
    path = created(http)
    answer = http.get(f"{path}/sum", params={"start": 3, "stop": 21})
    assert answer.status_code == 200
    (column,) = answer.json()["columns"]
    assert column["sum"] == pytest.approx(sum(LRS[3:21]))
    assert column["mean"] == pytest.approx(sum(LRS[3:21]) / 18)
    assert (column["group"], column["hyperparameter"]) == ("default", "lr")
    assert http.get(f"{path}/sum", params={"step": 2}).status_code == 422


def test_a_crossing_is_found(http: httpx.Client) -> None:
    """A value is crossed upwards, downwards or never; a column that the schedule does not have is 422."""
    path = created(http)
    up = http.get(f"{path}/crossing", params={"value": 0.0051}).json()
    assert (up["iteration"], up["reached"], up["rises"]) == (6, 0.006, True)
    down = http.get(f"{path}/crossing", params={"value": 0.0051, "start": 10}).json()
    assert (down["iteration"], down["reached"], down["rises"]) == (15, 0.005, False)
    never = http.get(f"{path}/crossing", params={"value": 1.0})
    assert never.json()["iteration"] is None
    assert never.status_code == 200
    missing = http.get(f"{path}/crossing", params={"value": 1.0, "hyperparameter": "momentum"})
    assert missing.status_code == 422
    assert "must name a column of the schedule (known: default)" in missing.json()["detail"]


def test_two_schedules_are_compared(http: httpx.Client) -> None:
    """A diff has the first and the largest difference, a table, and pictures."""
    a, b = created(http), created(http, after_scheduler={"type": "PolynomialDecayLR"})
    ids = {"a": a.rpartition("/")[2], "b": b.rpartition("/")[2]}
    answer = http.get("/v1/diff", params={**ids, "rows": 3})
    assert answer.status_code == 200
    body = answer.json()
    assert body["first"]["iteration"] == 11
    assert body["first"]["a"] == LRS[11]
    assert body["first"]["b"] == pytest.approx(0.009)
    linear = [0.01 * (1 - (n - 10) / 10) if n > 10 else LRS[n] for n in range(21)]
    assert abs(body["largest"]["difference"]) == pytest.approx(
        max(abs(x - y) for x, y in zip(LRS, linear, strict=True))
    )
    assert [row["iteration"] for row in body["table"]] == [0, 7, 14]
    assert (body["total_iterations"], body["columns"]) == (
        {"a": 20, "b": 20},
        [{"group": "default", "hyperparameter": "lr"}],
    )
    for media_type, start in (("image/png", b"\x89PNG"), ("image/svg+xml", b"<?xml")):
        picture = http.get("/v1/diff", params=ids, headers={"accept": media_type})
        assert picture.headers["content-type"].startswith(media_type)
        assert picture.content.startswith(start)


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ({"b": "0" * 32}, 404, "schedule-not-found"),
        ({"start": 5, "stop": 5}, 422, "not-comparable"),
        ({"stop": 22}, 422, "iteration-out-of-range"),
        ({"rows": -1}, 422, "invalid-parameter"),
    ],
)
def test_what_cannot_be_compared_is_a_problem(
    http: httpx.Client, query: dict[str, Any], status: int, kind: str
) -> None:
    """An unknown schedule, an empty window, one outside the run and a bad parameter have problems of their own."""
    schedule_id = created(http).rpartition("/")[2]
    answer = http.get("/v1/diff", params={"a": schedule_id, "b": schedule_id, **query})
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:preheat:{kind}")
    assert (
        http.get("/v1/diff", params={"a": schedule_id, "b": schedule_id}, headers={"accept": "text/csv"}).status_code
        == 406
    )


def test_a_handover_is_advised_on(http: httpx.Client) -> None:
    """A handover is told with its jump, rescaled so that there is none, or refused."""
    path, longer = created(http), {**REFERENCE_SPEC, "total_iterations": 40}
    kept = http.post(f"{path}/resume", params={"iteration": 14}, json=longer).json()
    assert kept["iteration"] == 15
    assert kept["groups"][0]["old_lr"] == LRS[15]
    assert kept["groups"][0]["new_lr"] == pytest.approx(0.00933012701892219)
    assert not kept["groups"][0]["is_continuous"]
    rescaled = http.post(f"{path}/resume", params={"iteration": 14, "policy": "rescale"}, json=longer).json()
    assert rescaled["groups"][0]["is_continuous"]
    new = http.post("/v1/schedules", json=rescaled["spec"])
    assert new.json()["groups"][0]["lr"][15] == pytest.approx(LRS[15])
    refused = http.post(f"{path}/resume", params={"iteration": 14, "policy": "refuse"}, json=longer)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:preheat:seam-refused")
    assert refused.json()["old_lr"] == LRS[15]


def test_a_run_rewarms_to_a_spec_that_can_be_posted(http: httpx.Client) -> None:
    """From the LR of the last update up to a new peak, then down: the answer's spec is the schedule to go on with."""
    path = created(http)
    new = {**REFERENCE_SPEC, "total_iterations": 60, "target_lr": 0.02}
    answer = http.post(f"{path}/resume", params={"iteration": 14, "policy": "rewarm"}, json=new)
    assert answer.status_code == 200
    found = answer.json()
    (group,) = found["groups"]
    assert (group["last_lr"], group["old_lr"]) == (LRS[14], LRS[15])
    assert group["new_lr"] == pytest.approx(LRS[14] + (0.02 - LRS[14]) / 10)
    assert group["is_ordinary"]
    lrs = http.post("/v1/schedules", json=found["spec"]).json()["groups"][0]["lr"]
    assert lrs[24] == pytest.approx(0.02)
    assert lrs[42] == pytest.approx(0.01)
    assert lrs[60] == pytest.approx(0, abs=1e-17)
    refused = http.post(f"{path}/resume", params={"iteration": 14, "policy": "rewarm"}, json={**new, "warmup": {}})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:preheat:not-comparable")


@pytest.mark.parametrize(
    ("unit", "amount", "old_units", "new_units"),
    [
        ("samples", 409_600, {"samples_per_iteration": 1024}, {"samples_per_iteration": 2048}),
        ("tokens", 4e8, {"tokens_per_iteration": 1e6}, {"tokens_per_iteration": 2e6}),
        ("epoch", 4, {"iterations_per_epoch": 100}, {"iterations_per_epoch": 50}),
    ],
)
def test_a_run_goes_on_at_the_same_place_with_other_units(
    http: httpx.Client, unit: str, amount: float, old_units: dict[str, int], new_units: dict[str, int]
) -> None:
    """A place in epochs, samples or tokens is another iteration for each schedule, by its own units."""
    run = {"target_lr": 0.01, "after_scheduler": {"type": "CosineLR"}}
    old = {**run, "total_iterations": 1000, "units": old_units}
    new = {**run, "total_iterations": 500, "units": new_units}
    schedule = http.post("/v1/schedules?stop=0", json=old).json()["id"]
    found = http.post(f"/v1/schedules/{schedule}/resume", params={unit: amount}, json=new).json()
    assert (found["iteration"], found["old_iteration"]) == (201, 401)
    assert found["groups"][0]["last_lr"] == pytest.approx(0.005 * (1 + math.cos(math.pi * 0.4)))
    assert found["groups"][0]["new_lr"] == pytest.approx(0.005 * (1 + math.cos(math.pi * 201 / 500)))
    without = {**new, "units": None}
    refused = http.post(f"/v1/schedules/{schedule}/resume", params={unit: amount}, json=without)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["parameter"] == unit
    assert "in the posted spec" in error["rule"]
    twice = http.post(f"/v1/schedules/{schedule}/resume", params={unit: amount, "iteration": 400}, json=new)
    assert "exactly one of iteration, epoch, samples, tokens" in twice.text


def test_what_is_left_of_a_handed_over_run_is_linted(http: httpx.Client) -> None:
    """The answer has lint's findings about the spec to go on with, of what is still to come."""
    run = {"target_lr": 5e-5, "total_iterations": 1000, "after_scheduler": {"type": "PolynomialDecayLR"}}
    schedule = http.post("/v1/schedules?stop=0", json=run).json()["id"]
    longer = {**run, "total_iterations": 2000, "after_scheduler": {"type": "PolynomialDecayLR", "length": 1500}}
    found = http.post(f"/v1/schedules/{schedule}/resume", params={"iteration": 900}, json=longer).json()
    details = {finding["rule"]: finding["detail"] for finding in found["lint"]}
    assert "45% of the updates" in details["stays-at-zero"]
    dead = http.post(f"/v1/schedules/{schedule}/resume", params={"iteration": 1000, "policy": "rescale"}, json=longer)
    assert (dead.status_code, dead.json()["type"]) == (422, "urn:preheat:not-comparable")
    assert "Choose rewarm" in dead.json()["detail"]


def test_a_crossing_says_where_it_may_be_missed(http: httpx.Client) -> None:
    """Where a formula turns cannot be told: in a long window the answer says that a sample was looked at."""
    spec = {
        "target_lr": 0.1,
        "total_iterations": 100_000,
        "after_scheduler": {"type": "ExpressionLR", "expression": "1 if n == 12345 else 0.5"},
    }
    path = f"/v1/schedules/{http.post('/v1/schedules?stop=0', json=spec).json()['id']}/crossing"
    found = http.get(path, params={"value": 0.1}).json()
    assert (found["iteration"], found["is_sampled"]) == (None, True)
    found = http.get(path, params={"value": 0.1, "stop": 60_000}).json()
    assert (found["iteration"], found["is_sampled"]) == (12345, False)
