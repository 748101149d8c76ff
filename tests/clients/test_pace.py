"""Pace: how long an iteration takes, by a clock that is passed in, and how many iterations a window has."""

import pytest

from preheat_client._runs.pace import Pace, iterations_ahead


def test_an_iteration_takes_as_long_as_was_measured() -> None:
    """None before one was run; no progress is no measurement."""
    pace = Pace(5, 100.0)
    assert pace.iteration_s is None
    pace.note(5, 130.0)
    assert pace.iteration_s is None
    pace.note(9, 101.5)
    assert pace.iteration_s == 0.5


def test_the_end_of_the_first_iteration_is_no_measure() -> None:
    """The first update attaches: what follows until the next iteration is a step of the scheduler, and no iteration."""
    pace = Pace(1, 100.0)
    pace.note(2, 100.02)
    assert pace.iteration_s is None
    pace.note(3, 101.02)
    assert pace.iteration_s == pytest.approx(1.0)


def test_a_long_evaluation_between_two_iterations_does_not_count() -> None:
    """One of the last five measurements that is long is not the median, nor is the first, while torch compiles."""
    pace = Pace(0, 0.0)
    for position, now_s in ((1, 60.0), (11, 61.0), (21, 62.0), (22, 362.0), (32, 363.0)):
        pace.note(position, now_s)
    assert pace.iteration_s == pytest.approx(0.1)


def test_a_faster_loop_is_followed_at_once() -> None:
    """Of two measurements the lower counts: windows that last too short a time make a loop wait."""
    pace = Pace(0, 0.0)
    for position, now_s in ((1, 1.0), (2, 61.0), (12, 61.1)):
        pace.note(position, now_s)
    assert pace.iteration_s == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("iteration_s", "expected"), [(None, 16), (0.5, 11), (60.0, 2), (1e-9, 256), (5.0, 2), (2.4, 3)]
)
def test_a_window_is_a_length_of_time(iteration_s: float | None, expected: int) -> None:
    """clamp(5 s / iteration_s, 2, 256), rounded up; 16 while it is not known."""
    assert iterations_ahead(iteration_s, 5.0, 256) == expected
