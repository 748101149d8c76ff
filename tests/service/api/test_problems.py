from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from preheat import errors
from preheat.errors import PreheatError
from reference import REFERENCE_SPEC
from rest import post, problem


@pytest.mark.parametrize(
    ("body", "pointer", "rule"),
    [
        ('{"target_lr": NaN, "total_iterations": 5}', "/target_lr", "finite"),
        ('{"target_lr": 1e999, "total_iterations": 5}', "/target_lr", "finite"),
        ('{"target_lr": -Infinity, "total_iterations": 5}', "/target_lr", "finite"),
        (f'{{"target_lr": 1{"0" * 400}, "total_iterations": 5}}', "/target_lr", "finite"),
        (f'{{"target_lr": 1, "total_iterations": 1{"0" * 400}}}', "/total_iterations", "≤"),
        ('{"target_lr": 1, "total_iterations": 5, "label": "\\ud800"}', "/label", "must be valid Unicode"),
        ('{"target_lr": 1, "target_lr": 2, "total_iterations": 5}', "", "more than once"),
        ("[" * 100_000, "", "nested too deeply"),
        ("", "", "not valid JSON"),
        ("null", "", "must be an object"),
        ('{"target_lr": "0.1", "total_iterations": 5}', "/target_lr", "must be a number"),
        ('{"target_lr": true, "total_iterations": 5}', "/target_lr", "must be a number"),
        ('{"target_lr": 1, "total_iterations": 5.5}', "/total_iterations", "whole number"),
        ('{"target_lr": 1, "total_iterations": 5, "warmup": {"iterations": 6}}', "/warmup/iterations", "(5)"),
        ('{"target_lr": 1, "total_iterations": 5, "lable": "x"}', "/lable", "did you mean label?"),
    ],
)
def test_bad_bodies_name_field_and_rule(http: httpx.Client, body: str, pointer: str, rule: str) -> None:
    """Whatever the body, the answer is 422 with a pointer and a rule, and is itself valid JSON."""
    answer = http.post("/v1/schedules", content=body, headers={"content-type": "application/json"})
    (error,) = problem(answer, 422, "invalid-spec")["errors"]
    assert error["pointer"] == pointer
    assert rule in error["detail"]


def test_every_mistake_is_named_at_once(http: httpx.Client) -> None:
    """Three mistakes have three entries."""
    spec = {"target_lr": -1, "total_iterations": 0, "after_scheduler": {"type": "StepLR", "step_size": 0}}
    entries = problem(post(http, spec), 422, "invalid-spec")["errors"]
    assert {entry["pointer"] for entry in entries} == {
        "/target_lr",
        "/total_iterations",
        "/after_scheduler/step_size",
    }


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_415(http: httpx.Client, content_type: str) -> None:
    """What curl sends by default is told how to do better."""
    answer = http.post("/v1/schedules", content="{}", headers={"content-type": content_type})
    assert "-H 'Content-Type: application/json'" in problem(answer, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize("declares_length", [True, False])
def test_a_large_body_is_413(service_with: Callable[..., httpx.Client], declares_length: bool) -> None:
    """A body is refused whether its length is declared or it comes in chunks; the limit is named."""

    def chunks() -> Iterator[bytes]:
        yield from (b" " * 100 for _ in range(20))

    content: Any = b" " * 2000 if declares_length else chunks()
    headers = {"content-type": "application/json"}
    answer = service_with(max_body_bytes=1000).post("/v1/schedules", content=content, headers=headers)
    document = problem(answer, 413, "request-entity-too-large")
    assert (document["setting"], document["limit"]) == ("max_body_bytes", 1000)


@pytest.mark.parametrize("path", ["/v2", "/v1/nothing", "/v1/schedules/x/y", "/%ff"])
def test_an_unknown_path_is_404(http: httpx.Client, path: str) -> None:
    """A path that no route has is answered with a problem document too."""
    problem(http.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("after_scheduler", "setting"),
    [
        ({"type": "ExponentialLR", "gamma": 0.9}, "max_total_iterations"),
        ({"type": "SWALR", "swa_lr": 0.1}, "max_total_iterations_stepped"),
    ],
)
def test_a_run_too_long_for_its_kind_is_refused(
    http: httpx.Client, after_scheduler: dict[str, Any], setting: str
) -> None:
    """Schedulers with a closed form and those without have limits of their own."""
    spec = {"target_lr": 1, "total_iterations": 10**13, "after_scheduler": after_scheduler}
    assert problem(post(http, spec), 422, "limit-exceeded")["setting"] == setting


def test_too_many_values_name_the_limit_and_the_way_around(service_with: Callable[..., httpx.Client]) -> None:
    """A list of more values than allowed is refused before it is computed, and a wider step is taken."""
    http = service_with(max_values_per_answer=100)
    spec = {"target_lr": 1, "total_iterations": 10**12}
    document = problem(post(http, spec, start=0), 422, "limit-exceeded")
    assert (document["setting"], document["limit"]) == ("max_values_per_answer", 100)
    assert "step" in document["detail"]
    assert len(post(http, spec, step=2 * 10**10).json()["groups"][0]["lr"]) == 51


def test_titles_are_the_kind_in_words(http: httpx.Client, schedule_id: str) -> None:
    """A person reads the title: what cannot be done, in plain English."""
    titles = {
        http.get(f"/v1/schedules/{schedule_id}/export?to=deepspeed"): "Cannot be expressed in the target",
        http.post("/v1/import", json={"library": "torch", "source": "x = 3"}): "Cannot be imported",
        http.get(f"/v1/diff?a={schedule_id}&b={schedule_id}&start=5&stop=5"): "Not comparable",
        post(http, {**REFERENCE_SPEC, "target_lr": -1}): "The spec breaks rules",
    }
    assert [answer.json()["title"] for answer in titles] == list(titles.values())


def test_every_error_says_its_problem() -> None:
    """An error class has a status, a kind of its own and a title, and is drawn with its status in the module's tree."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PreheatError)]
    named = {kind.__name__: kind for kind in kinds if kind is not PreheatError}
    assert len({kind.kind for kind in named.values()}) == len(named)
    rows = [row.split() for row in (errors.__doc__ or "").splitlines() if "──" in row]
    assert {row[1]: int(row[2]) for row in rows} == {name: kind.status for name, kind in named.items()}
    assert all(kind.title for kind in named.values())
