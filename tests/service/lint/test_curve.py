"""Lint's cost: it grows with the param groups that have schedulers of their own, and not with their square."""

from preheat.curve import Curve
from preheat.lint import lint
from preheat.schedule import Schedule
from support.bounded import calls


def curve_of(groups: int) -> Curve:
    """A curve of so many param groups, each with a scheduler of its own, that have a warm-up in common."""
    own = [{"name": f"g{n}", "after_scheduler": {"type": "CosineLR", "min_ratio": n / 100}} for n in range(groups)]
    spec = {"target_lr": 0.1, "total_iterations": 5000, "warmup": {"iterations": 100}, "param_groups": own}
    return Curve(Schedule.of(spec))


def test_a_group_is_computed_where_lint_looks_at_it_and_nowhere_else() -> None:
    """Ten times as many groups take ten times the calls; each has its own findings."""
    few, many = curve_of(3), curve_of(30)
    lint(few)  # what is made once for all
    assert calls(lint, many) < 12 * calls(lint, few)
    at_zero = [finding.pointer for finding in lint(many) if finding.rule == "last-update-at-zero"]
    assert at_zero == ["/param_groups/0/after_scheduler"]  # whose min_ratio alone is 0
