import csv
import io
import math
import time
from typing import Any

import httpx
import numpy as np
import pytest

from preheat.errors import NotAcceptable
from preheat.formats import MOST_ACCEPT_CHARACTERS, negotiate
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from rest import post, problem

IN_UNITS: dict[str, Any] = {
    **REFERENCE_SPEC,
    "units": {"iterations_per_epoch": 2.5, "samples_per_iteration": 64, "tokens_per_iteration": 4e6},
}

WITH_WEIGHT_DECAY: dict[str, Any] = {
    "target_lr": 0.1,
    "total_iterations": 20,
    "param_groups": [{"name": "a"}, {"name": "b", "factor": 0.5}],
    "hyperparameters": {"weight_decay": {"value": 0.4, "warmup": {"iterations": 20}, "param_groups": ["b"]}},
}


def test_every_format_has_the_same_digits(http: httpx.Client, schedule_id: str) -> None:
    """JSON, CSV and NPY of the reference schedule are the printed table."""
    path = f"/v1/schedules/{schedule_id}/lr"
    as_json = http.get(path).json()["groups"][0]["lr"]
    as_csv = list(csv.reader(io.StringIO(http.get(path, headers={"accept": "text/csv"}).text)))
    as_npy = np.load(io.BytesIO(http.get(path, headers={"accept": "application/x-npy"}).content))
    assert [str(lr) for lr in as_json[1:]] == list(REFERENCE_ROWS)
    assert as_csv[0] == ["iteration", "default"]
    assert as_csv[2:] == [[str(n), row] for n, row in enumerate(REFERENCE_ROWS, start=1)]
    assert (as_npy.shape, as_npy.dtype) == ((21, 1), np.float64)
    assert [str(lr) for lr in as_npy[1:, 0].tolist()] == list(REFERENCE_ROWS)


@pytest.mark.parametrize(("accept", "start"), [("image/png", b"\x89PNG"), ("image/svg+xml", b"<?xml")])
def test_pictures_are_formats_too(http: httpx.Client, schedule_id: str, accept: str, start: bytes) -> None:
    """A window can be asked for as a picture of itself."""
    answer = http.get(f"/v1/schedules/{schedule_id}/lr", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(accept)
    assert answer.content.startswith(start)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("text/*", "text/csv; charset=utf-8"),
        ("text/html, application/x-npy;q=0.5, text/csv;q=0.4", "application/x-npy"),
        ("application/json;q=0.1, image/*;q=0.9", "image/png"),
        ("*/*, application/json;q=0, image/png;q=0", "image/svg+xml"),
    ],
)
def test_accept_is_negotiated(http: httpx.Client, schedule_id: str, accept: str, content_type: str) -> None:
    """By weight, then by how specific the range is, then by our order (RFC 9110 §12.5.1)."""
    answer = http.get(f"/v1/schedules/{schedule_id}/lr", headers={"accept": accept})
    assert answer.headers["content-type"] == content_type
    assert answer.headers["vary"] == "accept"


@pytest.mark.parametrize("piece", ["a/b,", "a/b;q=0.5,", ",", ";", "application/json;", "é,", "q=9"])
def test_a_long_accept_header_is_refused_before_it_is_read(piece: str) -> None:
    """One that is just short enough is read in little time; of sixty times as much nothing is."""
    short, long = (piece * (length // len(piece)) for length in (MOST_ACCEPT_CHARACTERS - 3, 60_000))
    assert negotiate(f"{short.strip(',')},*/*"[-MOST_ACCEPT_CHARACTERS:]) == "application/json"
    begun = time.process_time()
    for _ in range(10):
        with pytest.raises(NotAcceptable, match=rf"Accept \({len(long)} characters\) must have at most 1000"):
            negotiate(long)
        negotiate(f"{short},*/*"[-MOST_ACCEPT_CHARACTERS:])
    assert time.process_time() - begun < 0.2, "10 of each must take some milliseconds"


def test_a_long_accept_header_is_406(http: httpx.Client, schedule_id: str) -> None:
    """The answer names the header, its length and the rule, and what there is."""
    for path in (f"/v1/schedules/{schedule_id}/lr", f"/v1/diff?a={schedule_id}&b={schedule_id}"):
        answer = http.get(path, headers={"accept": "*/*," * 10_000})
        document = problem(answer, 406, "not-acceptable")
        assert document["detail"].startswith("Accept (40000 characters) must have at most 1000, and admit one of ")
        assert "application/json" in document["available"]


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=x", "nonsense"])
def test_no_format_in_common_is_406(http: httpx.Client, schedule_id: str, accept: str) -> None:
    """The answer lists what there is, for POST and for GET."""
    for answer in (
        http.get(f"/v1/schedules/{schedule_id}/lr", headers={"accept": accept}),
        http.post("/v1/schedules", json=REFERENCE_SPEC, headers={"accept": accept}),
    ):
        assert "application/x-npy" in problem(answer, 406, "not-acceptable")["available"]


@pytest.mark.parametrize(("query", "first"), [("start=22", 0), ("stop=22", 0), ("start=5&stop=4", 5)])
def test_a_window_outside_the_run_has_the_valid_range(
    http: httpx.Client, schedule_id: str, query: str, first: int
) -> None:
    """A window that leaves the run is 422, with the first and last iteration of the run."""
    document = problem(http.get(f"/v1/schedules/{schedule_id}/lr?{query}"), 422, "iteration-out-of-range")
    assert document["first"] == first
    assert document["last"] in {20, 21}


def test_a_point_is_the_tables_row(http: httpx.Client, schedule_id: str) -> None:
    """Digit for digit, for every iteration, and in this form."""
    for n, row in enumerate(REFERENCE_ROWS, start=1):
        answer = http.get(f"/v1/schedules/{schedule_id}/lr/{n}")
        assert answer.text == f'{{"iteration":{n},"groups":[{{"name":"default","lr":{row}}}]}}'


@pytest.mark.parametrize("iteration", [21, 10**15])
def test_past_the_end_is_refused_with_the_valid_range(http: httpx.Client, schedule_id: str, iteration: int) -> None:
    """The API does not hold the last value past the end: it answers 422 with 0 … 20."""
    answer = http.get(f"/v1/schedules/{schedule_id}/lr/{iteration}")
    document = problem(answer, 422, "iteration-out-of-range")
    assert (document["first"], document["last"]) == (0, 20)
    assert document["errors"][0]["parameter"] == "iteration"


@pytest.mark.parametrize("iteration", ["-1", "one", "1.5", "1" + "0" * 400])
def test_what_cannot_be_an_iteration_is_refused(http: httpx.Client, schedule_id: str, iteration: str) -> None:
    """What cannot be an iteration is 422, which names the parameter."""
    answer = http.get(f"/v1/schedules/{schedule_id}/lr/{iteration}")
    assert problem(answer, 422, "invalid-parameter")["errors"][0]["parameter"] == "iteration"


def test_a_trillion_iterations_are_answered_at_any_point(http: httpx.Client) -> None:
    """A closed form is computed at any point of 10¹² iterations: the cosine, written out."""
    spec = {"target_lr": 0.1, "total_iterations": 10**12, "after_scheduler": {"type": "CosineAnnealingLR"}}
    schedule_id = post(http, spec, stop=0).json()["id"]
    lr = http.get(f"/v1/schedules/{schedule_id}/lr/123456789012").json()["groups"][0]["lr"]
    assert lr == pytest.approx(0.05 * (1 + math.cos(math.pi * 0.123456789012)), rel=1e-12)


@pytest.mark.parametrize(
    ("query", "iteration"),
    [({"epoch": 3.0}, 8), ({"samples": 640}, 10), ({"tokens": 47.9e6}, 12), ({"iteration": 7}, 7)],
)
def test_a_place_is_the_nearest_iteration(http: httpx.Client, query: Any, iteration: int) -> None:
    """An epoch, or a number of samples or tokens, is answered as the iteration nearest to it."""
    schedule_id = post(http, IN_UNITS).json()["id"]
    answer = http.get(f"/v1/schedules/{schedule_id}/at", params=query)
    assert answer.status_code == 200
    assert answer.json() == http.get(f"/v1/schedules/{schedule_id}/lr/{iteration}").json()
    assert answer.json()["groups"][0]["lr"] == float(REFERENCE_ROWS[iteration - 1])


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"epoch": 9.0}, "iteration (23) must be in 0 … 20"),
        ({}, "must be exactly one of iteration, epoch, samples, tokens"),
        ({"epoch": 1, "tokens": 1}, "must be exactly one of iteration, epoch, samples, tokens"),
        ({"epoch": -1}, "must be ≥ 0"),
        ({"epoch": "nan"}, "must be"),
        ({"epochs": 1}, "did you mean epoch?"),
    ],
)
def test_another_place_is_refused(http: httpx.Client, query: Any, detail: str) -> None:
    """A place outside the run, or none, or two at once, is 422 with the parameter and the rule."""
    schedule_id = post(http, IN_UNITS).json()["id"]
    answer = http.get(f"/v1/schedules/{schedule_id}/at", params=query)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


def test_a_unit_that_the_spec_does_not_have_is_named(http: httpx.Client) -> None:
    """Without units in its spec a schedule cannot know how long an epoch is, and says which field is missing."""
    schedule_id = post(http, REFERENCE_SPEC).json()["id"]
    answer = http.get(f"/v1/schedules/{schedule_id}/at", params={"epoch": 3})
    assert answer.status_code == 422
    assert "give units.iterations_per_epoch in the schedule's spec" in answer.json()["detail"]


def test_every_format_has_the_hyperparameters(http: httpx.Client) -> None:
    """Hyperparameters are in JSON by group, in CSV by header, in NPY by column, and in the point."""
    body = post(http, WITH_WEIGHT_DECAY).json()
    assert body["columns"][2] == {"group": "b", "hyperparameter": "weight_decay"}
    assert body["groups"][0] == {"name": "a", "lr": [0.1] * 21}
    assert body["groups"][1]["hyperparameters"]["weight_decay"] == [0.4 * n / 20 for n in range(21)]
    path = f"/v1/schedules/{body['id']}"
    lines = http.get(f"{path}/lr", headers={"accept": "text/csv"}).text.splitlines()
    assert (lines[0], lines[6]) == ("iteration,a,b,b.weight_decay", "5,0.1,0.05,0.1")
    table = np.load(io.BytesIO(http.get(f"{path}/lr", headers={"accept": "application/x-npy"}).content))
    assert table[5].tolist() == [0.1, 0.05, 0.1]
    assert http.get(f"{path}/lr/5").json()["groups"] == [
        {"name": "a", "lr": 0.1},
        {"name": "b", "lr": 0.05, "hyperparameters": {"weight_decay": 0.1}},
    ]


def test_a_formula_without_a_value_is_a_problem(http: httpx.Client) -> None:
    """An iteration at which the formula has no value is 422, and the problem says which it is."""
    spec = {
        "target_lr": 1.0,
        "total_iterations": 10**7 + 7,
        "after_scheduler": {"type": "ExpressionLR", "expression": "1 / abs(n - 1234567)"},
    }
    created = http.post("/v1/schedules", json=spec, params={"stop": 0})
    answer = http.get(f"{created.headers['location']}/lr/1234567")
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:preheat:undefined-lr"
    assert answer.json()["iteration"] == 1234567
