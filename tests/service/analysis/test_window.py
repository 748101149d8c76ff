"""Sums and means of curves, against sums in plain math."""

import math

import pytest

from preheat.analysis.window import totals
from preheat.errors import IterationOutOfRange
from support.specs import COSINE, cosine_lr, curve


def test_a_window_is_summed_without_its_stop() -> None:
    """Sum and mean are those of iterations start … stop − 1."""
    (total,) = totals(curve(COSINE), 50, 601)
    expected = math.fsum(cosine_lr(n) for n in range(50, 601))
    assert total.sum == pytest.approx(expected, rel=1e-12)
    assert total.mean == pytest.approx(expected / 551, rel=1e-12)


def test_every_column_has_its_own_total() -> None:
    """Groups and other hyperparameters are summed apart, in a run of several blocks."""
    groups = [{"name": "a"}, {"name": "b", "factor": 0.5}]
    decay = {"weight_decay": {"value": 0.3, "param_groups": ["b"]}}
    asked = curve(target_lr=0.1, total_iterations=200_000, warmup=None, param_groups=groups, hyperparameters=decay)
    found = {total.column.name: (total.sum, total.mean) for total in totals(asked, 0, 200_001)}
    assert found == {
        "a": pytest.approx((20_000.1, 0.1)),
        "b": pytest.approx((10_000.05, 0.05)),
        "b.weight_decay": pytest.approx((60_000.3, 0.3)),
    }


def test_an_empty_window_sums_to_zero() -> None:
    """Sum and mean of no iterations are 0."""
    (total,) = totals(curve(COSINE), 5, 5)
    assert (total.sum, total.mean) == (0.0, 0.0)


def test_a_window_outside_the_run_is_refused() -> None:
    """A sum over iterations that the run does not have is not a sum over fewer of them."""
    with pytest.raises(IterationOutOfRange, match=r"stop \(1002\) must be in 0 … 1001"):
        totals(curve(COSINE), 0, 1002)
