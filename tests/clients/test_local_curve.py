"""Fallbacks: what is computed without the service is what the service would have said."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from preheat_client import InvalidFallback
from preheat_client.local_curve import LocalCurve, curve_of_file
from reference import REFERENCE_ROWS, REFERENCE_SPEC


def lrs(fallback: Any, count: int) -> list[Any]:
    """The first LRs of a fallback."""
    curve = LocalCurve(fallback, "fallback")
    return [curve.window(n // curve.layout.size).lrs[n % curve.layout.size] for n in range(count)]


def test_the_reference_spec_gives_the_reference_table() -> None:
    """Digit for digit."""
    assert [str(lr) for lr in lrs(REFERENCE_SPEC, 21)[1:]] == list(REFERENCE_ROWS)


@pytest.mark.parametrize("warmup", [0, 7])
@pytest.mark.parametrize(
    "after_scheduler",
    [
        None,
        {"type": "CosineAnnealingLR"},
        {"type": "CosineAnnealingLR", "T_max": 30, "eta_min": 0.002},
        {"type": "PolynomialLR", "total_iters": 50, "power": 2.0},
        {"type": "StepLR", "step_size": 9, "gamma": 0.3},
        {"type": "MultiStepLR", "milestones": [3, 20, 21]},
        {"type": "ExponentialLR", "gamma": 0.95},
    ],
)
def test_every_spec_means_what_it_means_to_the_service(http: httpx.Client, after_scheduler: Any, warmup: int) -> None:
    """At every iteration, to the last place but what a power rounds."""
    spec: dict[str, Any] = {"target_lr": 0.03, "total_iterations": 2500, "warmup": {"iterations": warmup}}
    if after_scheduler is not None:
        spec["after_scheduler"] = after_scheduler
    theirs = http.post("/v1/schedules", json=spec).json()["groups"][0]["lr"]
    assert lrs(spec, 2501) == pytest.approx(theirs, rel=1e-12, abs=1e-18)


def test_values_are_lrs_by_iteration_and_the_last_is_held() -> None:
    """Index = iteration; a number is the same LR for ever."""
    assert lrs([0.1, 0.2, 0.3], 3) == [0.1, 0.2, 0.3]
    assert lrs(0.5, 2000) == [0.5] * 2000


def test_groups_are_rows() -> None:
    """In the order in which they are given, each of its own kind."""
    curve = LocalCurve({"a": 0.5, "b": [0.1, 0.2], "c": REFERENCE_SPEC}, "fallback", 20)
    assert curve.document.group_names == ("a", "b", "c")
    assert list(curve.window(0).lrs)[:3] == [[0.5, 0.1, 0.0], [0.5, 0.2, 0.001], [0.5, 0.2, 0.002]]
    assert curve.document.total_iterations == 20


@pytest.mark.parametrize(
    ("fallback", "message"),
    [
        (-0.1, r"default \(-0.1\) must be a number ≥ 0"),
        (float("nan"), r"default \(nan\)"),
        (True, r"default \(True\)"),
        ("0.1", r"default \('0.1'\)"),
        ([], r"default \(\[\]\) must have at least one LR"),
        ([0.1, float("inf")], r"default\[1\] \(inf\)"),
        ({}, "at least one param group"),
        ({"a": None}, r"a \(None\)"),
        ({"target_lr": 0.1}, r"total_iterations \(None\) must be iterations, a whole number ≥ 1"),
        ({"target_lr": 0.1, "total_iterations": "5ep"}, r"total_iterations \('5ep'\)"),
        ({"target_lr": 0.1, "total_iterations": 5, "units": {}}, "a fallback spec knows no 'units'"),
        ({"target_lr": 0.1, "total_iterations": 5, "warmup": 3}, r"warmup of a fallback spec \(3\) must be an object"),
        ({"target_lr": 0.1, "total_iterations": 5, "warmup": {"iterations": 6}}, r"\(6\) must not exceed .* \(5\)"),
        (
            {"target_lr": 0.1, "total_iterations": 5, "warmup": {"iterations": 1, "shape": "cosine"}},
            "warmup of a fallback spec knows no 'shape'",
        ),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": "OneCycleLR"}},
            r"after_scheduler.type \('OneCycleLR'\) of a fallback must be one of CosineAnnealingLR",
        ),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": "StepLR", "step_size": 2, "x": 1}},
            "after_scheduler.x is not known in a fallback's StepLR",
        ),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": "ExponentialLR", "gamma": 2}},
            r"after_scheduler.gamma \(2.0\) of a fallback must be in 0 … 1",
        ),
    ],
)
def test_what_is_no_lr_is_refused(fallback: Any, message: str) -> None:
    """With name, value and rule, when the schedule is opened and not when the service is first away."""
    with pytest.raises(InvalidFallback, match=message):
        LocalCurve(fallback, "fallback")


def test_a_file_is_a_fallback_in_json(tmp_path: Path) -> None:
    """What is wrong in it names the file."""
    path = tmp_path / "override.json"
    path.write_text(json.dumps(REFERENCE_SPEC))
    assert str(curve_of_file(path).window(0).lrs[13]) == REFERENCE_ROWS[12]
    for text in ("", "{", "[[[", '{"a": "b"}', "[" * 100_000, "null"):
        path.write_text(text)
        with pytest.raises(InvalidFallback, match=r"override\.json: "):
            curve_of_file(path)
