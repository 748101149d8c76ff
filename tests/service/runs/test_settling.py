"""Settling: which changes are no longer possible, and what holds of the current LR hold, of many at once."""

from dataclasses import replace
from typing import Any

import pytest

from live_runs.script import Script
from live_runs.shelf import Shelf
from preheat.budget import Deadline
from preheat.errors import ComputeTimeout
from preheat.runs import changes
from preheat.runs.draft import Draft
from preheat.runs.revision import settled
from preheat.runs.run import Change, Placement

_STEPPED = {"type": "MultiplicativeLR", "lr_lambda": 1.0}


class Impatient(Shelf):
    """A shelf that is asked at most so often whether there is time."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def check(self) -> None:
        """Takes one of those times."""
        self.left -= 1
        if self.left < 0:
            Deadline(-1.0).check()


def planned(job: Script, *placed: tuple[int, dict[str, Any]]) -> None:
    """Changes that are there already, each from an iteration on."""
    made = tuple(
        Change(f"p{i}", operation, "why", "ann", 0.0, (Placement(job.run.revision, 1, effect, "accepted"),), at=effect)
        for i, (effect, operation) in enumerate(placed)
    )
    job.run = replace(job.run, changes=(*job.run.changes, *made))


def begun(**fields: Any) -> Script:
    """A job that has begun."""
    job = Script({"target_lr": 0.1, "total_iterations": 1000, **fields})
    job.attach()
    job.ask(1)
    return job


def missed(found: Draft) -> list[tuple[str, str]]:
    """Changes that became `missed`, with why."""
    return [(each.data["change"], each.data["why"]) for each in found.events if each.kind == "change-missed"]


def test_a_hundred_changes_past_the_end_are_missed_in_one_look_and_one_to_see_that_nothing_else_is() -> None:
    """It does not take longer with every one of them: a run is held meanwhile."""
    job = begun()
    longer = job.change("extend", total_iterations=5000).change
    planned(job, *((2000 + i, {"op": "scale", "factor": 0.99}) for i in range(100)))
    precondition = changes.Precondition(job.run.etag, "k")
    for most in (0, 1):
        with pytest.raises(ComputeTimeout):
            changes.cancel(job.run, longer.id, "ann", precondition, job.now, Impatient(most), job.limits)
    found = changes.cancel(job.run, longer.id, "ann", precondition, job.now, Impatient(2), job.limits)
    gone = [event.data for event in found.events if event.kind == "change-missed"]
    assert [each["change"] for each in gone] == [f"p{i}" for i in range(100)]
    assert {each["why"] for each in gone} == {"the run ends with iteration 1000"}


def test_what_ends_a_run_before_it_begins_takes_nothing_with_it() -> None:
    """A run of 280 from 300 on is none; without it the run has 1,000 iterations again, and 500 is one of them."""
    job = begun()
    short = {"op": "replace", "schedule": {"target_lr": 0.05, "total_iterations": 280}, "clock": "run"}
    planned(job, (290, {"op": "scale", "factor": 0.9}), (300, short), (500, {"op": "scale", "factor": 0.5}))
    draft = Draft(job.run, job.now)
    assert settled(draft, job.shelf).spec.amended_total_iterations == 1000
    gone = dict(missed(draft))
    assert gone == dict.fromkeys(["p0", "p1"], "the run ends with iteration 280")


@pytest.mark.parametrize("after", [None, _STEPPED])
def test_holds_of_the_current_lr_take_what_is_there_without_those_after_them(after: dict[str, Any] | None) -> None:
    """All at 40, which is 0.1: held, halved, held, halved, held; and one of 0.3 behind the end of the first."""
    job = begun(**({} if after is None else {"after_scheduler": after}))
    half, hold = {"op": "scale", "factor": 0.5}, {"op": "hold", "value": "current"}
    planned(job, (40, hold), (40, half), (40, hold), (40, half), (40, hold), (60, {"op": "hold", "value": 0.3}))
    planned_later = Change("q", hold, "why", "ann", 0.0, (Placement(1, 1, 60, "accepted"),), at=60)
    job.run = replace(job.run, changes=(*job.run.changes, planned_later))
    draft = Draft(job.run, job.now)
    assert settled(draft, job.shelf).spec.has_closed_form is (after is None)
    held = [each.placement.value for each in draft.run.changes if each.operation == hold]
    assert held == [{"default": 0.1}, {"default": 0.05}, {"default": 0.025}, {"default": 0.3}]
