"""Sums, crossings, differences and seams, each against counting by hand."""

import math
from typing import Any

import pytest

from preheat.analysis.crossing import first_crossing
from preheat.analysis.difference import difference
from preheat.analysis.handover import seam
from preheat.analysis.totals import totals
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange, NotComparable, SeamRefused
from preheat.schedule import Schedule


def curve(**fields: Any) -> Curve:
    """Target 0.1, 1000 iterations, warm-up 100, cosine, unless said otherwise."""
    spec = {
        "target_lr": 0.1,
        "total_iterations": 1000,
        "warmup": {"iterations": 100},
        "after_scheduler": {"type": "CosineLR"},
        **fields,
    }
    return Curve(Schedule.of({name: value for name, value in spec.items() if value is not None}))


def by_hand(n: int) -> float:
    """The LR of the curve above."""
    return 0.1 * n / 100 if n <= 100 else 0.05 * (1 + math.cos(math.pi * (n - 100) / 900))


class TestTotals:
    """∑LR and mean LR."""

    def test_a_window_is_summed(self) -> None:
        """Half-open, as every window."""
        (total,) = totals(curve(), 50, 601)
        expected = math.fsum(by_hand(n) for n in range(50, 601))
        assert total.sum == pytest.approx(expected, rel=1e-12)
        assert total.mean == pytest.approx(expected / 551, rel=1e-12)

    def test_every_column_has_its_own(self) -> None:
        """Groups and hyperparameters; across many blocks."""
        asked = curve(
            total_iterations=200_000,
            warmup=None,
            after_scheduler=None,
            param_groups=[{"name": "a"}, {"name": "b", "factor": 0.5}],
            hyperparameters={"weight_decay": {"value": 0.3, "param_groups": ["b"]}},
        )
        found = {total.column.name: (total.sum, total.mean) for total in totals(asked, 0, 200_001)}
        assert found == {
            "a": pytest.approx((20_000.1, 0.1)),
            "b": pytest.approx((10_000.05, 0.05)),
            "b.weight_decay": pytest.approx((60_000.3, 0.3)),
        }

    def test_nothing_sums_to_nothing(self) -> None:
        """An empty window."""
        assert (totals(curve(), 5, 5)[0].sum, totals(curve(), 5, 5)[0].mean) == (0.0, 0.0)

    def test_a_window_outside_the_run_is_refused(self) -> None:
        """As everywhere."""
        with pytest.raises(IterationOutOfRange):
            totals(curve(), 0, 1002)


class TestCrossing:
    """The inverse question."""

    @pytest.mark.parametrize("value", [0.0005, 0.05, 0.0999, 0.1])
    @pytest.mark.parametrize("start", [0, 30, 99, 100, 101, 500])
    def test_it_is_the_first_of_all_iterations(self, value: float, start: int) -> None:
        """The same as looking at every one."""
        rises = by_hand(start) <= value
        reached = (n for n in range(start, 1001) if (by_hand(n) >= value if rises else by_hand(n) <= value))
        expected = next(reached, None)
        found = first_crossing(curve(), value, 0, start, 1001)
        assert (found.iteration if found else None) == expected
        if found:
            assert found.rises == rises
            assert found.value == pytest.approx(by_hand(found.iteration))

    def test_what_is_never_reached_is_none(self) -> None:
        """Above the peak, or before the window begins."""
        assert first_crossing(curve(), 0.11, 0, 0, 1001) is None
        assert first_crossing(curve(), 0.09, 0, 0, 80) is None
        assert first_crossing(curve(), 0.09, 0, 10, 10) is None

    def test_a_billion_iterations_take_no_longer(self) -> None:
        """Where a linear decay passes a tenth of its target."""
        asked = curve(total_iterations=10**9, warmup=None, after_scheduler={"type": "PolynomialDecayLR"})
        found = first_crossing(asked, 0.01, 0, 0, 10**9 + 1)
        assert found is not None
        assert found.iteration == pytest.approx(9 * 10**8, abs=1)

    def test_teeth_are_not_passed_over(self) -> None:
        """The first of many cycles that reaches a value."""
        saw = {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 10, "cycle_momentum": False}
        asked = curve(warmup=None, total_iterations=10**7, after_scheduler=saw)
        found = first_crossing(asked, 0.1, 0, 1234, 10**7)
        assert found is not None
        assert found.iteration == 1250


class TestDifference:
    """What tells two apart."""

    def test_first_and_largest_are_found(self) -> None:
        """The same warm-up, then cosine against linear."""
        a, b = curve(), curve(after_scheduler={"type": "PolynomialDecayLR"})
        found = difference(a, b, range(1001), 11)
        linear = [0.1 * n / 100 if n <= 100 else 0.1 * (1 - (n - 100) / 900) for n in range(1001)]
        apart = [abs(linear[n] - by_hand(n)) for n in range(1001)]
        assert found.first is not None
        assert found.largest is not None
        assert found.first.iteration == 101
        assert found.largest.iteration in {n for n in range(1001) if apart[n] == pytest.approx(max(apart), rel=1e-9)}
        assert abs(found.largest.difference) == pytest.approx(max(apart))
        assert [place.iteration for place in found.table] == list(range(0, 1001, 91))
        assert [place.a for place in found.table] == pytest.approx([by_hand(n) for n in range(0, 1001, 91)])
        assert [place.b for place in found.table] == pytest.approx([linear[n] for n in range(0, 1001, 91)], abs=1e-15)

    def test_the_largest_is_found_in_whichever_part_of_a_long_run(self) -> None:
        """By its size and not its sign, also where the run is compared in several parts."""
        points = [{"at": 0, "factor": 1.0}, {"at": 50_000, "factor": 1.1}, {"at": 150_000, "factor": 0.5}]
        a = curve(total_iterations=200_000, warmup=None, after_scheduler=None)
        b = curve(
            total_iterations=200_000,
            warmup=None,
            after_scheduler={"type": "PiecewiseLR", "points": [*points, {"at": 200_000, "factor": 1.0}]},
        )
        found = difference(a, b, range(200_001), 0)
        assert found.first is not None
        assert found.largest is not None
        assert (found.first.iteration, found.largest.iteration) == (1, 150_000)
        assert found.largest.difference == pytest.approx(-0.05)

    def test_a_schedule_is_no_different_from_itself(self) -> None:
        """Neither first nor largest."""
        found = difference(curve(), curve(label="another"), range(1001), 0)
        assert (found.first, found.largest, found.table) == (None, None, [])

    def test_groups_are_matched_by_name(self) -> None:
        """In another order, or with one more; single groups whatever they are called."""
        a = curve(param_groups=[{"name": "x"}, {"name": "y", "factor": 0.5}])
        b = curve(param_groups=[{"name": "y", "factor": 0.25}, {"name": "x"}, {"name": "z"}])
        found = difference(a, b, range(0, 1001, 10), 0)
        assert [column.name for column in found.columns] == ["x", "y"]
        assert found.largest is not None
        assert (found.largest.column.name, found.largest.iteration) == ("y", 100)
        renamed = curve(param_groups=[{"name": "only"}])
        assert difference(curve(), renamed, range(1001), 0).first is None

    def test_without_anything_in_common_it_is_refused(self) -> None:
        """With the names of both."""
        a, b = curve(param_groups=[{"name": "x"}, {"name": "y"}]), curve(param_groups=[{"name": "u"}, {"name": "v"}])
        with pytest.raises(NotComparable, match="one has x, y, the other u, v"):
            difference(a, b, range(10), 0)


class TestSeam:
    """Going over to another schedule in the middle of a run."""

    def test_keep_says_how_far_it_jumps(self) -> None:
        """A longer run, from update 501 on."""
        longer = curve(total_iterations=2000)
        found = seam(curve(), 500, longer, "keep")
        new_lr = 0.05 * (1 + math.cos(math.pi * 401 / 1900))
        assert found.iteration == 501
        assert (found.handovers[0].old_lr, found.handovers[0].new_lr) == pytest.approx((by_hand(501), new_lr))
        assert found.handovers[0].ratio == pytest.approx(new_lr / by_hand(501))
        assert not found.handovers[0].is_continuous
        assert found.spec == longer.schedule.spec

    @pytest.mark.parametrize("min_lr", [0.0, 0.02])
    def test_rescale_goes_on_where_it_was(self, min_lr: float) -> None:
        """Also where the new schedule has an absolute end, which is not rescaled."""
        longer = curve(total_iterations=2000, after_scheduler={"type": "CosineLR", "min_lr": min_lr})
        found = seam(curve(), 500, longer, "rescale")
        assert found.handovers[0].is_continuous
        assert Curve(Schedule(found.spec)).lr(501) == pytest.approx([by_hand(501)])
        height = (1 + math.cos(math.pi * 401 / 1900)) / 2
        assert found.spec.target_lr == pytest.approx((by_hand(501) - min_lr) / height + min_lr)

    def test_every_group_is_rescaled(self) -> None:
        """Each to its own LR."""
        old = curve(param_groups=[{"name": "x"}, {"name": "y", "target_lr": 0.3}])
        new = curve(total_iterations=3000, param_groups=[{"name": "x"}, {"name": "y", "target_lr": 0.1}])
        found = seam(old, 700, new, "rescale")
        assert Curve(Schedule(found.spec)).lr(701) == pytest.approx(old.lr(701))

    def test_refuse_refuses_a_jump_and_nothing_else(self) -> None:
        """The same schedule under another label hands over without one."""
        with pytest.raises(SeamRefused, match=r"would jump from 0\.05\S+ to 0\.08\S+ at iteration 501"):
            seam(curve(), 500, curve(total_iterations=2000), "refuse")
        assert seam(curve(), 500, curve(label="another"), "refuse").handovers[0].is_continuous

    def test_a_run_that_has_ended_goes_on_from_its_last_lr(self) -> None:
        """Trained to the end, then on with a longer one."""
        old = curve(after_scheduler={"type": "CosineLR", "min_lr": 0.01})
        assert seam(old, 1000, curve(total_iterations=2000), "keep").handovers[0].old_lr == 0.01

    def test_what_cannot_be_handed_over_is_refused(self) -> None:
        """Other groups, an iteration outside either run, an LR that no target reaches."""
        with pytest.raises(NotComparable, match="the param groups differ: default and x, y"):
            seam(curve(), 5, curve(param_groups=[{"name": "x"}, {"name": "y"}]), "keep")
        with pytest.raises(IterationOutOfRange, match=r"iteration \(1001\) must be in 0 … 1000"):
            seam(curve(), 1001, curve(total_iterations=2000), "keep")
        with pytest.raises(IterationOutOfRange, match=r"iteration \(500\) must be in 0 … 499"):
            seam(curve(), 500, curve(total_iterations=500), "keep")
        table = {"type": "TableLR", "values": [0.3]}
        with pytest.raises(NotComparable, match="no target LR brings the new schedule to"):
            seam(curve(), 500, curve(after_scheduler=table), "rescale")
