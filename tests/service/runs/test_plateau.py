"""Plateau: the same reductions as torch's own class makes, on every kind of base, after rewinds too."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from live_runs.script import CONSTANT, Script
from preheat.runs import making
from preheat.runs.limits import Limits

LIMITS = Limits(window_cap=8, first_window=2)
VALUES = st.sampled_from([1.0, 0.9, 0.5, 0.49999, 0.1, 0.0, -1.0, float("nan"), float("inf"), 2.0])


def torchs(values: list[float], lrs: list[float], **parameters: Any) -> list[list[float]]:
    """The LRs after each value, by torch's class on a plain optimizer."""
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in lrs], lr=0.0)
    scheduler = ReduceLROnPlateau(optimizer, **parameters)
    found = []
    for value in values:
        scheduler.step(value)
        found.append([float(group["lr"]) for group in optimizer.param_groups])
    return found


def reported(job: Script, values: list[float], first: int = 1) -> list[list[float]]:
    """The LRs from the next iteration that nobody has on, after each value is reported."""
    found = []
    for n, value in enumerate(values, start=first):
        job.run_to(n + 1)
        job.report(n, value)
        curve = job.shelf.curve(job.run.schedule_id)
        found.append(curve.lr(min(job.run.horizon, curve.total_iterations)))
    return found


PARAMETERS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["min", "max"]),
        "factor": st.sampled_from([0.1, 0.5, 0.9]),
        "patience": st.integers(0, 3),
        "threshold": st.sampled_from([0.0, 1e-4, 0.3]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 3),
        "min_lr": st.sampled_from([0.0, 1e-3, 0.02]),
        "eps": st.sampled_from([1e-8, 0.004]),
    }
)


@given(st.lists(VALUES, min_size=1, max_size=25), PARAMETERS)
@settings(max_examples=25)
def test_over_a_constant_base_every_lr_is_torchs_bit_for_bit(values: list[float], parameters: dict[str, Any]) -> None:
    """Two groups, modes, thresholds, cooldown, floor, NaN."""
    job = Script({**CONSTANT, "param_groups": [{}, {"target_lr": 0.03}]}, LIMITS)
    job.control(**parameters)
    job.attach()
    assert reported(job, values) == torchs(values, [0.1, 0.03], **parameters)


def by_torch(scheduler: Any, n: int) -> float:
    """The LR that torch's own closed form has at an iteration."""
    scheduler.last_epoch = n
    return float(scheduler._get_closed_form_lr()[0])


COSINE = CosineAnnealingLR(torch.optim.SGD([torch.zeros(1)], lr=0.1), T_max=200)
BASES: dict[str, tuple[dict[str, Any], Callable[[int], float]]] = {
    "constant": ({}, lambda _: 0.1),
    "cosine": ({"after_scheduler": {"type": "CosineAnnealingLR"}}, lambda n: by_torch(COSINE, n)),
    "warm-up": ({"warmup": 30}, lambda n: 0.1 * n / 30 if n <= 30 else 0.1),
}
"""What a spec says besides target and length, and the LR at n, computed without our code."""


class Judge:
    """Torch's class beside a base whose LRs move: after each report its optimizer has the LR that is free next."""

    def __init__(self, base: Callable[[int], float], parameters: dict[str, Any]) -> None:
        self.base, self.parameters = base, parameters
        self.reports: list[tuple[int, float]] = []
        self.reductions: list[tuple[int, int]] = []
        """The iteration whose report made it, and the first one that it holds for."""
        self.begin()

    def begin(self) -> None:
        """A new scheduler, which has seen the reports that count."""
        self.optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        self.scheduler = ReduceLROnPlateau(self.optimizer, **self.parameters)
        for _, value in self.reports:
            self.scheduler.step(value)

    def lr(self, n: int) -> float:
        """The base's LR, times the factor for each reduction, not below the floor, and never above what it was."""
        lr, factor, floor = self.base(n), self.parameters["factor"], self.parameters["min_lr"]
        for _, start in self.reductions:
            if n >= start:
                lr = min(lr, max(lr * factor, floor))
        return lr

    def report(self, n: int, value: float, free: int) -> None:
        """One report, where `free` is the next iteration that nobody has."""
        (group,) = self.optimizer.param_groups
        group["lr"] = before = self.lr(free)
        self.reports.append((n, value))
        self.scheduler.step(value)
        if group["lr"] != before:
            self.reductions.append((n, free))

    def rewind(self, k: int) -> None:
        """Reports of iterations k and more do not count; a reduction stays exactly if its report does."""
        self.reports = [(n, value) for n, value in self.reports if n < k]
        self.reductions = [(n, start) for n, start in self.reductions if n < k]
        self.begin()


@pytest.mark.parametrize("base", BASES)
@given(
    st.lists(VALUES, min_size=1, max_size=25), PARAMETERS, st.integers(1, 20), st.lists(VALUES, min_size=1, max_size=10)
)
@settings(max_examples=40)
def test_over_any_base_and_after_a_rewind_lrs_are_those_of_torchs_class_bit_for_bit(
    base: str, values: list[float], parameters: dict[str, Any], k: int, again: list[float]
) -> None:
    """What torch's class makes of the LR that is free next, at every iteration; again after a restart at k."""
    own, lr = BASES[base]
    job, judge = Script({**CONSTANT, "total_iterations": 200, **own}, LIMITS), Judge(lr, parameters)
    job.control(**parameters)
    job.attach()
    k = min(k, len(values) + 1)
    for first, losses in ((1, values), (k, again)):
        if losses is again:
            job.attach(k, checkpoint=True)
            judge.rewind(k)
        for n, value in enumerate(losses, start=first):
            job.run_to(n + 1)
            judge.report(n, value, job.run.horizon)
            job.report(n, value)
        assert [job.lr(n) for n in range(1, 60)] == [judge.lr(n) for n in range(1, 60)]


def test_each_group_has_its_own_floor() -> None:
    """Torch's list of min_lr, by name; a group at its floor is left out of the change."""
    groups = [{"name": "body"}, {"name": "head", "target_lr": 0.03}]
    job = Script({**CONSTANT, "param_groups": groups}, LIMITS)
    job.control(factor=0.5, patience=0, min_lr={"body": 0.01, "head": 0.02})
    job.attach()
    values = [1.0] * 8
    assert reported(job, values) == torchs(values, [0.1, 0.03], factor=0.5, patience=0, min_lr=[0.01, 0.02])


def test_a_reduction_says_in_words_what_it_is_for() -> None:
    """By the author plateau, with the metric and how long it has not improved: reports 1 to 3, then every second."""
    job = Script({**CONSTANT, "warmup": 50}, LIMITS)
    job.control(factor=0.5, patience=1)
    job.attach()
    reported(job, [1.0] * 8)
    assert [change.cause.iteration for change in job.run.changes if change.cause] == [3, 5, 7]
    assert {change.author for change in job.run.changes} == {"plateau"}
    assert "loss has not come below its best in 2 reports" in job.run.changes[0].why


def test_after_a_rewind_reports_from_there_on_do_not_count() -> None:
    """A reduction stays exactly if its report does, and the fold goes on as torch's would with what is left."""
    job = Script(CONSTANT, LIMITS)
    job.control(factor=0.5, patience=1)
    job.attach()
    first = [1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0]
    reported(job, first)
    assert [change.effect is not None for change in job.run.changes] == [True, True]
    # The second reduction was for the report of 6; the first, for that of 3, is in force from 5 on.
    assert [change.cause.iteration for change in job.run.changes if change.cause] == [3, 6]
    job.attach(5, checkpoint=True)
    assert [change.effect is not None for change in job.run.changes] == [True, False]
    again = [0.6, 0.6, 0.6, 0.6]
    expected = torchs([*first[:4], *again], [0.1], factor=0.5, patience=1)[4:]
    assert reported(job, again, first=5) == expected


def test_snapshots_are_thinned_and_rewinds_read_reports_again() -> None:
    """After two hundred reports a rewind far back is what a fold of the reports before it is."""
    job = Script(CONSTANT, LIMITS)
    job.control(factor=0.9, patience=2)
    job.attach()
    values = [math.sin(n) for n in range(200)]
    reported(job, values)
    assert len(job.run.controllers[0].snapshots) <= 64
    job.attach(37, checkpoint=True)
    again = [1.0] * 9
    assert reported(job, again, first=37)[-1] == torchs([*values[:36], *again], [0.1], factor=0.9, patience=2)[-1]


def test_each_report_counts_once_and_conflicts_are_events() -> None:
    """The same again is nothing, another value and a late one are events, and none of them stops anything."""
    job = Script(CONSTANT, LIMITS)
    job.control(patience=5)
    job.attach()
    job.run_to(5)
    job.report(3, float("nan"))
    state = job.run.controllers[0].state
    job.report(3, float("nan"))
    assert "report-conflict" not in job.kinds()
    job.report(3, 1.0)
    job.report(2, 1.0)
    assert job.kinds()[-2:] == ["report-conflict", "report-late"]
    assert job.events[-2].data["kept"] == "NaN"
    assert job.run.controllers[0].state == state
    assert (1, 2, "loss") not in job.stored


def test_a_report_that_nobody_can_have_made_does_not_make_later_ones_late() -> None:
    """Counted, one of iteration 10¹⁴ would let the controller wait for it; it is an event, and not stored."""
    job = Script(CONSTANT, LIMITS)
    job.control(patience=0)
    job.attach()
    job.run_to(4)
    job.report(3, 1.0)
    for iteration in (10**14, job.run.horizon + LIMITS.window_cap):
        job.report(iteration, 0.5)
        assert job.kinds()[-1] == "report-ahead"
    job.report(4, 2.0)
    assert [(each.folded, each.metric) for each in job.run.controllers] == [(4, "loss")]
    assert sorted(job.stored) == [(1, 3, "loss"), (1, 4, "loss")]
    assert job.run.changes[-1].author == "plateau"


def test_a_locked_run_goes_on_without_reductions() -> None:
    """The report counts; the reduction that torch would make is refused, and said."""
    job = Script(CONSTANT, LIMITS)
    job.control(factor=0.5, patience=0)
    job.attach()
    job.save(making.lock(job.run, "ann", job.now, is_locked=True))
    assert reported(job, [1.0, 1.0, 1.0])[-1] == [0.1]
    assert job.kinds().count("reduction-refused") == 2
