"""Moves: an extend that moves the last phase, when that phase is another one afterwards."""

import math
from typing import Any

import pytest

from live_runs.script import Script
from preheat.schedule import Schedule

_COSINE = {"target_lr": 0.1, "total_iterations": 150, "after_scheduler": {"type": "CosineAnnealingLR"}}
_WSD = {"target_lr": 0.1, "total_iterations": 150, "after_scheduler": {"type": "WSDLR", "decay_length": 20}}


def cosine(n: int) -> float:
    """0.05 · (1 + cos(π n / 150))."""
    return 0.05 * (1 + math.cos(math.pi * n / 150))


def begun(spec: dict[str, Any]) -> Script:
    """A job that has begun."""
    job = Script(spec)
    job.attach()
    job.ask(1)
    return job


def lrs(job: Script, start: int, stop: int) -> list[float]:
    """The LRs of iterations start … stop − 1, by a schedule that is what its spec says."""
    found = job.shelf.curve(job.run.schedule_id).schedule
    assert Schedule.of(found.spec_dict).id == found.id == job.run.schedule_id
    return [job.lr(n) for n in range(start, stop)]


@pytest.mark.parametrize("way", ["cancel", "revert", "missed", "drop"])
@pytest.mark.parametrize("ground", ["cooldown", "hold"])
def test_rule_01_what_a_move_has_handed_out_stays_when_its_ground_goes(ground: str, way: str) -> None:
    """98 began the phase that it moves; without it that would be the cosine, which 11 is in the middle of."""
    job = begun(_COSINE)
    fields: dict[str, Any] = {"iterations": 20, "to": 0.0} if ground == "cooldown" else {"value": 0.0}
    first = job.change(ground, at=98, **fields).change
    moving = job.change("extend", total_iterations=210, policy="move-cooldown").change
    assert moving.effect == 11
    job.run_to(60)
    told, end = lrs(job, 1, job.run.horizon), job.run.horizon
    assert told == pytest.approx([cosine(n) for n in range(1, end)], rel=1e-12)
    if way == "cancel":
        job.cancel(first.id)
    elif way == "revert":
        job.change("revert", change=first.id)
    elif way == "missed":
        job.change("cooldown", iterations=10, to=0.0)
        assert [each.data["change"] for each in job.events if each.kind == "change-missed"] == [first.id]
    else:
        job.roll_back(49, "drop")
        job.attach(50, checkpoint=True)
    assert lrs(job, 1, end) == told
    if way == "missed":
        assert job.run.total_iterations == end + 9
        return
    assert job.run.total_iterations == 210
    planned = [cosine(n) for n in range(1, 98)] + [cosine(97)] * 60 + [cosine(n) for n in range(98, 151)]
    assert lrs(job, 1, 211) == pytest.approx(planned, rel=1e-12, abs=1e-17)


def test_rule_02_what_is_moved_stays_where_it_is_being_used() -> None:
    """30 to 39 to 0 was moved to 51 to 60; reverted in the middle of that, nothing before it changes."""
    job = begun(_COSINE)
    first = job.change("cooldown", at=30, iterations=10, to=0.0).change
    job.change("extend", total_iterations=60, policy="move-cooldown")
    job.run_to(45)
    end = job.run.horizon
    told = lrs(job, 1, end)
    falling = [cosine(29) * (10 - i) / 10 for i in range(1, 11)]
    expected = [*(cosine(n) for n in range(1, 30)), *[cosine(29)] * 21, *falling]
    assert end > 52
    assert told == pytest.approx(expected[: end - 1], rel=1e-12)
    job.change("revert", change=first.id)
    assert lrs(job, 1, end) == told


def test_a_move_that_has_not_begun_is_computed_anew() -> None:
    """First the cooldown from 100 on, and without it the tail of the schedule itself, 131 to 150, by 60."""
    job = begun(_WSD)
    first = job.change("cooldown", at=100, iterations=10, to=0.0).change
    job.change("extend", at=90, total_iterations=210, policy="move-cooldown")
    assert lrs(job, 199, 203) == pytest.approx([0.1, 0.1, 0.09, 0.08], rel=1e-12)
    job.cancel(first.id)
    assert lrs(job, 1, 211) == pytest.approx([0.1] * 190 + [0.1 * (210 - n) / 20 for n in range(191, 211)], rel=1e-12)


def test_a_move_of_what_has_begun_before_it_is_missed_and_says_why() -> None:
    """Without the cooldown from 130 on the last phase is the cosine, which begins at 1."""
    job = begun(_COSINE)
    first = job.change("cooldown", at=130, iterations=20, to=0.0).change
    moving = job.change("extend", at=120, total_iterations=210, policy="move-cooldown").change
    job.cancel(first.id)
    missed = [event.data for event in job.events if event.kind == "change-missed"]
    assert [(each["change"], each["before"], each["effect"]) for each in missed] == [(moving.id, 120, None)]
    assert "begins with iteration 1 " in missed[0]["why"]
    assert job.run.total_iterations == 150
    assert lrs(job, 1, 151) == pytest.approx([cosine(n) for n in range(1, 151)], rel=1e-12, abs=1e-17)


@pytest.mark.parametrize("at", [None, 36])
@pytest.mark.parametrize("way", ["revert", "revert and on"])
def test_rule_01_what_was_handed_out_of_a_longer_run_stays_when_what_made_it_longer_goes(
    at: int | None, way: str
) -> None:
    """13 iterations were made 40, and these 70; without the first the second would find the run at its end at 13."""
    decay = {"type": "CosineAnnealingLR", "eta_min": 0.01}
    job = begun({"target_lr": 0.1, "total_iterations": 13, "after_scheduler": decay})
    first = job.change("extend", total_iterations=40, confirm=True).change
    job.change(factor=0.5, at=15)
    job.change("extend", total_iterations=70, at=at, confirm=True)
    job.run_to(22)
    end = job.run.horizon
    told = lrs(job, 1, end)
    base = [0.01 + 0.045 * (1 + math.cos(math.pi * n / 13)) for n in range(1, 14)]
    assert told == pytest.approx([*base, 0.01, *[0.005] * (end - 15)], rel=1e-12)
    job.change(op="hold", value=0.02, confirm=True)
    held = job.run.horizon
    job.run_to(held + 2)
    end = job.run.horizon
    told = lrs(job, 1, end)
    assert told[held - 1 :] == [0.02] * (end - held)
    job.change("revert", change=first.id, confirm=True)
    assert lrs(job, 1, end) == told
    if way == "revert and on":
        job.run_to(end + 5)
        end = job.run.horizon
        told = lrs(job, 1, end)
        job.change(factor=0.5)
        assert lrs(job, 1, end) == told
    assert job.run.total_iterations == 70
