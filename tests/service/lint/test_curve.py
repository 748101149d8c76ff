"""Lint's cost: what rules ask of a curve is computed once, however many param groups have schedulers of their own."""

from collections import Counter
from typing import Any

from typing_extensions import override

from preheat.curve import Curve
from preheat.lint import lint
from preheat.schedule import Schedule


class CountingCurve(Curve):
    """A curve that counts what is computed."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.asked: Counter[tuple[Any, ...]] = Counter()

    @override
    def lr(self, iteration: int, *rest: Any) -> list[float]:
        self.asked[iteration,] += 1
        return super().lr(iteration, *rest)

    @override
    def envelope(self, start: int, stop: int, *rest: Any) -> Any:
        self.asked[start, stop] += 1
        return super().envelope(start, stop, *rest)


def curve_of(groups: int) -> CountingCurve:
    """A curve of so many param groups, each with a scheduler of its own, that have a warm-up in common."""
    own = [{"name": f"g{n}", "after_scheduler": {"type": "CosineLR", "min_ratio": n / 100}} for n in range(groups)]
    spec = {"target_lr": 0.1, "total_iterations": 5000, "warmup": {"iterations": 100}, "param_groups": own}
    return CountingCurve(Schedule.of(spec))


def test_groups_share_what_is_computed() -> None:
    """Nothing is computed twice, and twenty groups ask for nothing that two do not; each has its own findings."""
    few, many = curve_of(2), curve_of(20)
    findings = lint(many)
    lint(few)
    assert few.asked.keys() == many.asked.keys()
    assert set(many.asked.values()) == {1}
    at_zero = [finding.pointer for finding in findings if finding.rule == "last-update-at-zero"]
    assert at_zero == ["/param_groups/0/after_scheduler"]  # whose min_ratio alone is 0
