"""Reports: kept until the service has them, bounded, and in a form that JSON has."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from preheat_client._core.logged import LONGEST_NAME
from preheat_client._runs.reports import MOST_AT_ONCE, MOST_VALUES, MOST_WAITING, Reports, is_about_reports


def test_a_batch_is_the_same_until_it_was_sent() -> None:
    """What is lost on the way is sent again, with what has come since."""
    reports = Reports()
    reports.add(1, {"loss": 2.5})
    assert reports.batch() == [{"iteration": 1, "values": {"loss": 2.5}}]
    reports.add(2, {"loss": 2.25, "grad_norm": 1})
    assert [each["iteration"] for each in reports.batch()] == [1, 2]
    assert not reports.is_empty
    reports.sent()
    assert reports.is_empty
    assert reports.batch() == []


def test_what_json_does_not_have_travels_as_text() -> None:
    """NaN and the infinities; numbers of numpy and torch are numbers."""
    reports = Reports()
    reports.add(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": np.float32(0.5), "e": torch.tensor(0.25)})
    values = {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 0.5, "e": 0.25}
    assert json.loads(json.dumps(reports.batch())) == [{"iteration": 1, "values": values}]


def test_the_oldest_are_dropped_where_there_is_no_room() -> None:
    """A service that is away for hours costs no more memory than this, and how much was lost is counted."""
    reports = Reports()
    for n in range(MOST_WAITING + 5):
        reports.add(n, {"loss": 1.0})
    assert reports.dropped == 5
    assert [each["iteration"] for each in reports.batch()[:2]] == [5, 6]
    for n in range(MOST_WAITING):
        reports.add(n, {"loss": 1.0})
    assert sum(len(each["values"]) for each in reports.batch()) == MOST_AT_ONCE


def test_a_batch_is_no_longer_than_the_service_takes() -> None:
    """By its bytes: names may have a hundred characters, and each of them six bytes in JSON; nothing is left behind."""
    reports = Reports()
    for n in range(3000):
        reports.add(n, {"é" * LONGEST_NAME: float(n)})
    seen = []
    while not reports.is_empty:
        batch = reports.batch()
        assert batch == reports.batch()
        assert len(json.dumps(batch)) < 1_100_000
        seen += [each["iteration"] for each in batch]
        reports.sent()
    assert seen == list(range(3000))


def test_one_that_waits_for_the_next_batch_is_not_dropped_by_those_that_come() -> None:
    """Nor counted twice."""
    reports = Reports()
    reports.add(0, {f"x{n}": 1.0 for n in range(MOST_AT_ONCE)})
    reports.add(1, {"loss": 1.0})
    assert {each["iteration"] for each in reports.batch()} == {0}
    for n in range(MOST_WAITING):
        reports.add(2 + n, {"loss": 1.0})
    reports.sent()
    assert [each["iteration"] for each in reports.batch()[:2]] == [1, 2]
    assert reports.dropped == 0
    reports.discard()
    assert (reports.dropped, reports.is_empty) == (1 + MOST_WAITING, True)


def test_one_of_more_values_than_the_service_takes_becomes_several() -> None:
    """A hundred each, in their order; as many reports of the same iteration as it takes."""
    reports = Reports()
    values = {f"x{n}": float(n) for n in range(2 * MOST_VALUES + 1)}
    reports.add(7, values)
    batch = reports.batch()
    assert [(each["iteration"], len(each["values"])) for each in batch] == [(7, 100), (7, 100), (7, 1)]
    assert {name: value for each in batch for name, value in each["values"].items()} == values


def test_of_a_batch_that_is_refused_those_alone_are_dropped_that_the_service_names() -> None:
    """The others are the next batch, in their order, before what has come since."""
    reports = Reports()
    for n in range(5):
        reports.add(n, {"loss": 1.0})
    assert len(reports.batch()) == 5
    reports.add(5, {"loss": 1.0})
    assert reports.refused({"errors": [{"pointer": "/reports/3/values/loss"}, {"pointer": "/reports/1"}]}) == 2
    assert [each["iteration"] for each in reports.batch()] == [0, 2, 4, 5]
    assert reports.dropped == 2


@pytest.mark.parametrize("bad", [0, 6, 12])
def test_one_that_the_service_refuses_without_naming_it_is_found_by_halves(bad: int) -> None:
    """As where a batch is too large for a proxy: it alone is dropped, and all others arrive, in their order."""
    reports, arrived = Reports(), []
    for n in range(13):
        reports.add(n, {"loss": 1.0})
    while batch := reports.batch():
        iterations = [each["iteration"] for each in batch]
        if bad in iterations:
            reports.refused({})
        else:
            arrived += iterations
            reports.sent()
    assert arrived == [n for n in range(13) if n != bad]
    assert (reports.dropped, reports.is_empty) == (1, True)


def test_a_refusal_that_names_something_else_is_not_one_of_reports() -> None:
    """No report is to be dropped for it."""
    assert is_about_reports({"errors": [{"pointer": "/reports/3/values"}, {"pointer": "/told/0/lrs"}]})
    assert is_about_reports({"errors": [{"pointer": "/reports"}]})
    assert is_about_reports({})
    assert not is_about_reports({"errors": [{"pointer": "/position"}]})


@pytest.mark.parametrize(
    ("iteration", "values", "error", "message"),
    [
        (1, {"loss": "2.5"}, TypeError, r"loss \('2.5'\) must be a number"),
        (1, {"loss": None}, TypeError, r"loss \(None\) must be a number"),
        (1, {"loss": torch.zeros(2)}, TypeError, "must be a number"),
        (1, {"loss": 10**400}, TypeError, "must be a number"),
        (-1, {"loss": 1.0}, ValueError, r"iteration \(-1\) must be ≥ 0"),
        (1, {"": 1.0}, ValueError, r"a name \(''\) must have 1 to 100 characters"),
        (1, {"loss\n": 1.0}, ValueError, "printable and not all blank"),
        (1, {" ": 1.0}, ValueError, "printable and not all blank"),
        (1, {"x" * (LONGEST_NAME + 1): 1.0}, ValueError, "must have 1 to 100 characters"),
        (1, {f"x{n}": 1.0 for n in range(MOST_AT_ONCE + 1)}, ValueError, "more than 10000"),
    ],
)
def test_what_is_no_report_is_refused(iteration: int, values: dict[str, Any], error: Any, message: str) -> None:
    """With name, value and rule; nothing of it is kept."""
    reports = Reports()
    with pytest.raises(error, match=message):
        reports.add(iteration, values)
    assert reports.is_empty


def test_what_the_service_has_no_time_for_is_sent_again_in_shorter_batches() -> None:
    """From the iteration on that it says, in order; and once it takes all of them, more at a time again."""
    reports = Reports()
    for n in range(1000):
        reports.add(n, {"loss": float(n)})
    reports.batch()
    reports.sent(left_from=10)
    assert [each["iteration"] for each in reports.batch()] == list(range(10, 30))
    reports.sent()
    assert [each["iteration"] for each in reports.batch()] == list(range(30, 70))
    reports.sent(left_from=30)
    assert [each["iteration"] for each in reports.batch()] == [30]
    assert reports.dropped == 0
