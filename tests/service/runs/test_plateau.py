"""Plateau: the same reductions as torch's own class makes, on every kind of base, after rewinds too."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

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


@given(
    st.lists(VALUES, min_size=1, max_size=25),
    st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.sampled_from([0.1, 0.5, 0.9]),
            "patience": st.integers(0, 3),
            "threshold": st.sampled_from([0.0, 1e-4, 0.3]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0.0, 1e-3, 0.02]),
        }
    ),
)
@settings(max_examples=40)
def test_over_a_constant_base_every_lr_is_torchs_bit_for_bit(values: list[float], parameters: dict[str, Any]) -> None:
    """Two groups, modes, thresholds, cooldown, floor, NaN."""
    job = Script({**CONSTANT, "param_groups": [{}, {"target_lr": 0.03}]}, LIMITS)
    job.control(**parameters)
    job.attach()
    assert reported(job, values) == torchs(values, [0.1, 0.03], **parameters)


def test_each_group_has_its_own_floor() -> None:
    """Torch's list of min_lr, by name; a group at its floor is left out of the change."""
    groups = [{"name": "body"}, {"name": "head", "target_lr": 0.03}]
    job = Script({**CONSTANT, "param_groups": groups}, LIMITS)
    job.control(factor=0.5, patience=0, min_lr={"body": 0.01, "head": 0.02})
    job.attach()
    values = [1.0] * 8
    assert reported(job, values) == torchs(values, [0.1, 0.03], factor=0.5, patience=0, min_lr=[0.01, 0.02])


@pytest.mark.parametrize(
    "shape",
    [
        lambda n: 0.1 * n / 50 if n <= 50 else 0.1,
        lambda n: 0.1 * (1 + math.cos(math.pi * n / 200)) / 2,
    ],
    ids=["warm-up", "cosine"],
)
def test_over_another_base_a_reduction_scales_what_follows(shape: Any) -> None:
    """After m reductions the LR is the base's times 0.5 m times, from the iterations on that were free then."""
    is_cosine = shape(1) < 0.1 and shape(0) == 0.1
    own = {"after_scheduler": {"type": "CosineAnnealingLR"}} if is_cosine else {"warmup": 50}
    job = Script({**CONSTANT, "total_iterations": 200, **own}, LIMITS)
    job.control(factor=0.5, patience=1)
    job.attach()
    starts = []
    for n in range(1, 41):
        job.run_to(n + 1)
        before = len(job.run.changes)
        job.report(n, 1.0)
        if len(job.run.changes) > before:
            starts.append(job.run.horizon)
    # reports 1, 2, 3: the best, one bad, two bad; then every second one
    assert len(starts) == 19
    for n in range(1, 60):
        expected = shape(n)
        for start in starts:
            expected *= 0.5 if n >= start else 1.0
        assert job.lr(n) == pytest.approx(expected, rel=1e-12)
    assert all(change.author == "plateau" for change in job.run.changes)
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


def test_a_locked_run_goes_on_without_reductions() -> None:
    """The report counts; the reduction that torch would make is refused, and said."""
    job = Script(CONSTANT, LIMITS)
    job.control(factor=0.5, patience=0)
    job.attach()
    job.save(making.lock(job.run, "ann", job.now, is_locked=True))
    assert reported(job, [1.0, 1.0, 1.0])[-1] == [0.1]
    assert job.kinds().count("reduction-refused") == 2
