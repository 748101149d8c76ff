"""Differences of two schedules, against differences in plain math."""

import pytest

from preheat.analysis.difference import difference, evenly
from preheat.errors import IterationOutOfRange, NotComparable
from support.specs import COSINE, cosine_lr, curve


def linear_lr(n: int) -> float:
    """The LR of COSINE with a linear decay in place of the cosine."""
    return 0.1 * n / 100 if n <= 100 else 0.1 * (1 - (n - 100) / 900)


def test_the_first_and_the_largest_difference_are_found() -> None:
    """After the same warm-up a cosine differs from a line at once, and most where plain math says so."""
    found = difference(curve(COSINE), curve(COSINE, after_scheduler={"type": "PolynomialDecayLR"}), range(1001), 11)
    distances = [abs(linear_lr(n) - cosine_lr(n)) for n in range(1001)]
    assert found.first is not None
    assert found.largest is not None
    assert found.first.iteration == 101
    assert distances[found.largest.iteration] == pytest.approx(max(distances), rel=1e-9)
    assert abs(found.largest.difference) == pytest.approx(max(distances))


def test_the_table_has_both_values_at_even_distances() -> None:
    """Eleven rows of a thousand iterations are 91 iterations apart."""
    found = difference(curve(COSINE), curve(COSINE, after_scheduler={"type": "PolynomialDecayLR"}), range(1001), 11)
    assert [row.iteration for row in found.table] == list(range(0, 1001, 91))
    assert [row.a for row in found.table] == pytest.approx([cosine_lr(n) for n in range(0, 1001, 91)])
    assert [row.b for row in found.table] == pytest.approx([linear_lr(n) for n in range(0, 1001, 91)], abs=1e-15)


def test_the_largest_is_the_greatest_in_size_of_a_long_run() -> None:
    """A fall of a half counts more than a rise of a tenth, in whichever block of the run it is."""
    points = [(0, 1.0), (50_000, 1.1), (150_000, 0.5), (200_000, 1.0)]
    piecewise = {"type": "PiecewiseLR", "points": [{"at": at, "factor": factor} for at, factor in points]}
    constant = {"target_lr": 0.1, "total_iterations": 200_000}
    found = difference(curve(constant), curve(constant, after_scheduler=piecewise), range(200_001), 0)
    assert found.first is not None
    assert found.largest is not None
    assert (found.first.iteration, found.largest.iteration) == (1, 150_000)
    assert found.largest.difference == pytest.approx(-0.05)


def test_a_schedule_does_not_differ_from_itself() -> None:
    """Under another label there is neither a first nor a largest difference."""
    found = difference(curve(COSINE), curve(COSINE, label="another"), range(1001), 0)
    assert (found.first, found.largest, found.table) == (None, None, [])


def test_groups_are_matched_by_name() -> None:
    """In another order, or with one group more; single groups whatever their names are."""
    a = curve(COSINE, param_groups=[{"name": "x"}, {"name": "y", "factor": 0.5}])
    b = curve(COSINE, param_groups=[{"name": "y", "factor": 0.25}, {"name": "x"}, {"name": "z"}])
    found = difference(a, b, range(0, 1001, 10), 0)
    assert [column.name for column in found.columns] == ["x", "y"]
    assert found.largest is not None
    assert (found.largest.column.name, found.largest.iteration) == ("y", 100)
    renamed = curve(COSINE, param_groups=[{"name": "only"}])
    assert difference(curve(COSINE), renamed, range(1001), 0).first is None


def test_schedules_without_a_common_column_are_refused() -> None:
    """The refusal names the columns of both."""
    a = curve(COSINE, param_groups=[{"name": "x"}, {"name": "y"}])
    b = curve(COSINE, param_groups=[{"name": "u"}, {"name": "v"}])
    with pytest.raises(NotComparable, match="one has x, y, the other u, v"):
        difference(a, b, range(10), 0)


def test_a_window_beyond_the_shorter_run_is_refused() -> None:
    """Only iterations that both runs have can be compared."""
    with pytest.raises(IterationOutOfRange, match=r"stop \(1001\) must be in 0 … 501"):
        difference(curve(COSINE), curve(COSINE, total_iterations=500), range(1001), 0)


@pytest.mark.parametrize("most", [1, 2, 3, 10, 99, 100, 101, 1000])
def test_even_distances_leave_no_more_than_asked_for(most: int) -> None:
    """The first iteration is there, and the distance is the smallest that gives no more than `most`."""
    window = range(7, 107)
    chosen = evenly(window, most)
    assert chosen[0] == 7
    assert len(chosen) <= most
    assert chosen.step == 1 or len(window[:: chosen.step - 1]) > most
