"""Crossings and peaks of curves, against a search through every iteration."""

import pytest

from preheat.analysis.window import first_crossing, peak
from preheat.errors import IterationOutOfRange
from support.specs import COSINE, cosine_lr, curve

SAW = {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 10, "cycle_momentum": False}


@pytest.mark.parametrize("value", [0.0005, 0.05, 0.0999, 0.1])
@pytest.mark.parametrize("start", [0, 30, 99, 100, 101, 500])
def test_the_crossing_is_the_first_of_all_iterations(value: float, start: int) -> None:
    """It is the iteration that a look at every one of them finds first."""
    rises = cosine_lr(start) <= value
    reached = (n for n in range(start, 1001) if (cosine_lr(n) >= value if rises else cosine_lr(n) <= value))
    expected = next(reached, None)
    found = first_crossing(curve(COSINE), value, 0, start, 1001)
    assert (found.iteration if found else None) == expected
    if found:
        assert found.rises == rises
        assert found.value == pytest.approx(cosine_lr(found.iteration))


def test_a_value_that_is_never_reached_has_no_crossing() -> None:
    """Above the peak, outside the window, in a window of one iteration, and in an empty one."""
    for value, start, stop in ((0.11, 0, 1001), (0.09, 0, 80), (0.09, 10, 11), (0.09, 10, 10)):
        assert first_crossing(curve(COSINE), value, 0, start, stop) is None


def test_a_window_outside_the_run_is_refused() -> None:
    """A crossing is looked for in iterations that the run has."""
    with pytest.raises(IterationOutOfRange, match=r"stop \(1002\)"):
        first_crossing(curve(COSINE), 0.05, 0, 0, 1002)


def test_a_crossing_is_found_in_a_billion_iterations() -> None:
    """A linear decay passes a tenth of its target at nine tenths of its length."""
    asked = curve(COSINE, total_iterations=10**9, warmup=None, after_scheduler={"type": "PolynomialDecayLR"})
    found = first_crossing(asked, 0.01, 0, 0, 10**9 + 1)
    assert found is not None
    assert found.iteration == pytest.approx(9 * 10**8, abs=1)


def test_the_teeth_of_a_saw_are_not_passed_over() -> None:
    """Of half a million cycles the first after the start reaches the value."""
    asked = curve(COSINE, warmup=None, total_iterations=10**7, after_scheduler=SAW)
    found = first_crossing(asked, 0.1, 0, 1234, 10**7)
    assert found is not None
    assert found.iteration == 1250


@pytest.mark.parametrize(("window", "expected"), [(range(1001), 100), (range(60), 59), (range(101, 700), 101)])
def test_the_peak_is_the_highest_of_a_window(window: range, expected: int) -> None:
    """At the top of the warm-up, or at the end of the window that is nearest to it."""
    assert peak(curve(COSINE), 0, window) == pytest.approx((expected, cosine_lr(expected)))


def test_the_peak_of_equal_values_is_the_first() -> None:
    """Of the tips of a saw, and of a constant."""
    saw = curve(COSINE, warmup=None, total_iterations=10**7, after_scheduler=SAW)
    assert peak(saw, 0, range(1234, 10**7)) == pytest.approx((1250, 0.1), rel=1e-12)
    assert peak(curve(), 0, range(21))[0] == 10
