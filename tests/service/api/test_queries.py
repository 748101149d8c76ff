import itertools
import string

import httpx
import pytest

from rest import UNKNOWN, problem


@pytest.mark.parametrize("path", ["", "/lr", "/lr/7", "/plot.png", "/sum"])
def test_an_unknown_parameter_is_refused(http: httpx.Client, schedule_id: str, path: str) -> None:
    """A mistyped name is not ignored, and the nearest that the route knows is named."""
    answer = http.get(f"/v1/schedules/{schedule_id}{path}?strat=3")
    detail = problem(answer, 422, "invalid-parameter")["detail"]
    assert ("did you mean start?" in detail) == (path in {"/lr", "/plot.png", "/sum"})


def test_a_parameter_of_a_post_has_its_name_suggested(http: httpx.Client) -> None:
    """POST and GET of one path have parameters of their own: each suggests what it knows."""
    spec = {"target_lr": 1, "total_iterations": 5}
    assert "did you mean stop?" in http.post("/v1/schedules?stpo=3", json=spec).json()["detail"]
    assert "did you mean limit?" in http.get("/v1/schedules?limt=3").json()["detail"]
    assert "stop" not in http.get("/v1/schedules?stpo=3").json()["detail"].replace("stpo", "")


def test_a_repeated_parameter_is_refused(http: httpx.Client, schedule_id: str) -> None:
    """Neither of two values is silently taken."""
    for name in ("start", "rule", "parameters"):
        answer = http.get(f"/v1/schedules/{schedule_id}/lr?{name}=3&{name}=4")
        (error,) = problem(answer, 422, "invalid-parameter")["errors"]
        assert (error["parameter"], error["rule"]) == (name, "must be given once")


def test_thousands_of_parameters_have_a_small_answer(http: httpx.Client, schedule_id: str) -> None:
    """A hundred of the errors are told, and how many more there are; once it was all of them, in 748 KB."""
    names = ("".join(each) for each in itertools.product(string.ascii_lowercase, repeat=3))
    answer = http.get(f"/v1/schedules/{schedule_id}/lr?{'&'.join(itertools.islice(names, 5000))}")
    assert len(problem(answer, 422, "invalid-parameter")["errors"]) == 101  # the last says how many more there are
    assert len(answer.content) < 50_000


@pytest.mark.parametrize("cursor", ["x", "!!!", "AAAA", "LTE", "é"])
def test_a_made_up_cursor_is_refused(http: httpx.Client, cursor: str) -> None:
    """A cursor that no page gave is 422, which names the parameter."""
    answer = http.get("/v1/schedules", params={"cursor": cursor})
    assert problem(answer, 422, "invalid-parameter")["errors"][0]["parameter"] == "cursor"


@pytest.mark.parametrize("path", ["/v1/schedules/{id}/lr", "/v1/diff?a={id}&b={id}"])
def test_a_bad_parameter_comes_before_accept_and_accept_before_the_store(http: httpx.Client, path: str) -> None:
    """Of several mistakes the same one is named on every route: parameters (422), then Accept (406), then the id."""
    place = path.replace("{id}", UNKNOWN)
    joint = "&" if "?" in place else "?"
    nothing = {"accept": "text/html"}
    problem(http.get(f"{place}{joint}start=-1", headers=nothing), 422, "invalid-parameter")
    problem(http.get(place, headers=nothing), 406, "not-acceptable")
    problem(http.get(place), 404, "schedule-not-found")


def test_a_post_names_its_body_before_accept(http: httpx.Client) -> None:
    """A spec that breaks rules is said to, whatever the client accepts; a parameter that does comes before Accept."""
    nothing = {"accept": "text/html"}
    problem(http.post("/v1/schedules", json={"target_lr": -1}, headers=nothing), 422, "invalid-spec")
    spec = {"target_lr": 1, "total_iterations": 5}
    problem(http.post("/v1/schedules?start=-1", json=spec, headers=nothing), 422, "invalid-parameter")
    problem(http.post("/v1/schedules", json=spec, headers=nothing), 406, "not-acceptable")
