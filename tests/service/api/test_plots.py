import json

import httpx
import pytest

from rest import UNKNOWN, post, problem


@pytest.mark.parametrize(
    "query",
    ["", "width_px=480&height_px=320", "scale=log", "theme=dark", "start=3&stop=9", "at=12", "at=0&scale=log"],
)
def test_every_option_draws(http: httpx.Client, schedule_id: str, query: str) -> None:
    """Each option draws a PNG and an SVG that differ from the default."""
    for name, start in (("plot.png", b"\x89PNG"), ("plot.svg", b"<?xml")):
        answer = http.get(f"/v1/schedules/{schedule_id}/{name}?{query}")
        assert answer.content.startswith(start)
        if query:
            assert answer.content != http.get(f"/v1/schedules/{schedule_id}/{name}").content


def test_size_is_in_pixels(http: httpx.Client, schedule_id: str) -> None:
    """The PNG's header says what was asked for."""
    picture = http.get(f"/v1/schedules/{schedule_id}/plot.png?width_px=523&height_px=217").content
    assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (523, 217)


def test_others_can_be_compared(http: httpx.Client, schedule_id: str) -> None:
    """A repeated `compare` draws more lines; an unknown id is 404."""
    other = post(http, {"target_lr": 0.02, "total_iterations": 30, "label": "the other one"}).json()["id"]
    svg = http.get(f"/v1/schedules/{schedule_id}/plot.svg?compare={other}&compare={schedule_id}").text
    assert "the other one" in svg
    answer = http.get(f"/v1/schedules/{schedule_id}/plot.svg?compare={UNKNOWN}")
    problem(answer, 404, "schedule-not-found")


def test_a_spec_in_the_address_is_drawn_and_not_stored(http: httpx.Client) -> None:
    """A spec in the address gives a picture and no schedule."""
    spec = {"target_lr": 0.123, "total_iterations": 456, "label": "passing by"}
    svg = http.get("/v1/plot.svg", params={"spec": json.dumps(spec)}).text
    assert "passing by" in svg
    assert http.get("/v1/plot.png", params={"spec": json.dumps(spec)}).content.startswith(b"\x89PNG")
    listed = http.get("/v1/schedules", params={"label": "passing by"}).json()["schedules"]
    assert listed == []


def test_a_bad_spec_in_the_address_names_field_and_rule(http: httpx.Client) -> None:
    """A spec in the address is checked as a posted one is, and the problem points into it."""
    answer = http.get("/v1/plot.png", params={"spec": '{"target_lr": 1}'})
    assert problem(answer, 422, "invalid-spec")["errors"][0]["pointer"] == "/total_iterations"


@pytest.mark.parametrize("query", ["at=21", "start=21", "stop=22", "start=4&stop=4"])
def test_outside_the_run_is_refused(http: httpx.Client, schedule_id: str, query: str) -> None:
    """A window or a mark outside the run is 422."""
    answer = http.get(f"/v1/schedules/{schedule_id}/plot.png?{query}")
    problem(answer, 422, "iteration-out-of-range")


@pytest.mark.parametrize(
    ("query", "setting"),
    [
        ("width_px=4001", "max_width_px"),
        ("height_px=4001", "max_height_px"),
        ("width_px=9000&height_px=1000", "max_width_px"),
    ],
)
def test_a_picture_over_a_limit_names_it(http: httpx.Client, schedule_id: str, query: str, setting: str) -> None:
    """A picture wider or higher than the operator allows is 422, with the setting that says so."""
    answer = http.get(f"/v1/schedules/{schedule_id}/plot.png?{query}")
    document = problem(answer, 422, "limit-exceeded")
    assert (document["setting"], document["limit"]) == (setting, 4000)


def test_a_recipe_in_a_wiki_is_one_line(http: httpx.Client) -> None:
    """A plot's address can name a recipe and a field of one's own."""
    spec = json.dumps({"recipe": "gpt-3-175b", "target_lr": 1e-4})
    assert http.get("/v1/plot.svg", params={"spec": spec}).status_code == 200
