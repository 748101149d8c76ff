"""The rules of live runs, as far as they concern the pure room: fencing, checkpoints, events, states, recovery."""

import math
from dataclasses import replace
from typing import Any

import pytest

from live_runs.script import CONSTANT, Script
from preheat.runs import attempts, knowledge, making, reports
from preheat.runs.errors import (
    EventsTrimmed,
    KnowsMore,
    PositionAhead,
    Superseded,
)
from preheat.runs.events import check_kept
from preheat.runs.facts import Overrun
from preheat.runs.knowledge import Knowledge
from preheat.runs.limits import Limits
from preheat.runs.record import entries, entry
from preheat.runs.run import Run
from preheat.runs.states import seconds_until, state_of
from preheat.runs.status import status_now

COSINE = {"target_lr": 0.1, "total_iterations": 200, "after_scheduler": {"type": "CosineAnnealingLR"}}


def started(spec: Any = CONSTANT, **limits: Any) -> Script:
    """A run whose job has its first window, 1 … 10."""
    job = Script(spec, Limits(**({"window_cap": 64, "first_window": 10} | limits)))
    job.attach()
    job.ask(1)
    return job


# 9. fencing


def test_rule_09_only_the_newest_attempt_gets_anything() -> None:
    """Windows, reports and goodbyes of the zombie are refused; its own lane stays what it was."""
    job = started()
    job.run_to(20)
    zombie = job.token
    job.attach(15, checkpoint=True)
    with pytest.raises(Superseded) as refused:
        job.ask(20, attempt=1, token=zombie)
    assert refused.value.members == {"attempt": 1, "present": 2}
    with pytest.raises(Superseded):
        job.ask(20, attempt=2, token=zombie)
    with pytest.raises(Superseded):
        attempts.close(job.run, 1, zombie, 20, job.now)
    with pytest.raises(Superseded):
        reports.report(job.run, 1, zombie, (reports.Report(3, "loss", 1.0),), {}, job.now, job.shelf)
    found = entry(job.run, 1, 19)
    assert found is not None
    assert found.certainty == "used"


# 10. checkpoint


def test_rule_10_attaching_corrects_the_record_of_what_the_checkpoint_knows() -> None:
    """The service died with the job: its overrun is known by the checkpoint alone, up to where that goes on."""
    job = started()
    job.change(factor=0.5)
    saved = job.checkpoint(18, Overrun(11, 25, 1))
    job.attach(18, checkpoint=saved)
    assert [job.lr(n) for n in (11, 17, 18)] == [0.1, 0.1, 0.05]
    known = [entry(job.run, 2, n) for n in (10, 17, 18)]
    assert [(each.certainty, each.is_overrun) for each in known if each] == [
        ("used", False),
        ("used", True),
        ("planned", False),
    ]


def test_rule_10_an_overrun_in_a_checkpoint_leads_at_most_a_cap_past_the_end() -> None:
    """Further on would be a horizon behind which nothing can be changed any more: the planned change stays."""
    job = started()
    change = job.change(factor=0.5, at=900).change
    for position in (10**14, 1001 + 65):
        with pytest.raises(PositionAhead) as refused:
            job.attach(position, checkpoint=job.checkpoint(position, Overrun(11, position, 1)))
        assert refused.value.members["handed"] == 1001 + 64
    assert (job.run.horizon, [each.effect for each in job.run.changes]) == (11, [change.effect])
    end = 1001 + 64
    job.attach(end, checkpoint=job.checkpoint(end, Overrun(11, end, 1)))
    assert job.run.horizon == end


def test_rule_10_the_first_lr_is_logged_and_a_jump_is_an_event() -> None:
    """Replay goes on as it was; a rollback with a factor does not."""
    job = started(COSINE)
    job.run_to(60)
    job.attach(40, checkpoint=True)
    assert job.events[-1].kind == "first-lr"
    assert job.events[-1].data["lr"] == {"default": pytest.approx(0.05 * (1 + math.cos(math.pi * 40 / 200)))}
    assert job.events[-1].data["last"] == {"default": pytest.approx(0.05 * (1 + math.cos(math.pi * 39 / 200)))}
    job.run_to(60)
    job.change(factor=0.5)
    job.roll_back(49, "from-here")
    job.attach(50, checkpoint=True)
    assert job.events[-1].kind == "lr-jump"
    before, after = job.events[-1].data["jumps"]["default"]
    assert after == pytest.approx(before / 2, rel=0.02)


def test_rule_10_the_record_of_a_run_of_many_attempts_is_read_in_one_walk() -> None:
    """10,000 restarts, each a little further on, are as many parts; and who went back owns what it ran anew."""
    job = started()
    first = job.run.attempts[0]
    many = [replace(first, number=n, parent=n - 1 or None, start=n, position=n + 1, handed=n + 1, is_closed=True)
            for n in range(1, 10_001)]  # fmt: skip
    run = replace(job.run, attempts=tuple(many))
    parts = entries(run, 10_000, 1, 10_001)
    assert [(part.start, at.attempt) for part, at in parts] == [(n, n) for n in range(1, 10_001)]
    back = replace(many[-1], number=10_001, parent=10_000, start=3, position=5, handed=5)
    run = replace(run, attempts=(*many, back))
    assert [(part, at.attempt) for part, at in entries(run, 10_001, 0, 5)] == [
        (range(1), 1), (range(1, 2), 1), (range(2, 3), 2), (range(3, 5), 10_001),
    ]  # fmt: skip


# 11. plateau: test_plateau.py


# 12. push


def test_rule_12_events_are_numbered_without_a_gap() -> None:
    """1, 2, 3, … over every kind of request; a refused one leaves no number out."""
    job = started()
    job.change(factor=0.9)
    with pytest.raises(Superseded):
        job.ask(1, revision=1, attempt=0)
    job.run_to(20)
    job.attach(15, checkpoint=True)
    job.ask(15, 15, revision=2, overrun=Overrun(15, 30, 2))
    assert [event.number for event in job.events] == list(range(1, len(job.events) + 1))
    assert job.run.events == len(job.events)


def test_rule_12_events_that_are_trimmed_are_gone() -> None:
    """After 4 … 9, where 5 … 9 are kept, nothing is missing; after 3 something is, and after 10 something was lost."""
    for after in (4, 9):
        check_kept(after, 5, 9)
    for after, reason in (3, "the first is 5"), (10, "the last is 9"):
        with pytest.raises(EventsTrimmed, match=reason) as refused:
            check_kept(after, 5, 9)
        assert refused.value.members == {"first": 5}
    with pytest.raises(
        EventsTrimmed, match=r"no event 1,234: the last is 9; it never was, or the database has lost it"
    ):
        check_kept(1234, 5, 9)


# 13. states


def test_rule_13_states_by_what_was_last_heard() -> None:
    """WAITING, RUNNING, SILENT after two leases, STALLED where heartbeats come at one iteration, CLOSED, FINISHED."""
    job = Script(CONSTANT, Limits(first_window=10, window_cap=64, stalled_after_s=100))
    assert state_of(job.run, job.now, job.limits) == "WAITING"
    job.attach()
    assert state_of(job.run, job.now + 10, job.limits) == "RUNNING"
    assert state_of(job.run, job.now + 10.1, job.limits) == "SILENT"
    for _ in range(60):
        job.now += 2
        job.ask(1, 1)
    assert state_of(job.run, job.now, job.limits) == "STALLED"
    job.ask(2, 11)
    assert state_of(job.run, job.now, job.limits) == "RUNNING"
    job.save(attempts.close(job.run, 1, job.token, 2, job.now))
    assert state_of(job.run, job.now, job.limits) == "CLOSED"
    job.save(making.finish(job.run, "ann", job.now))
    assert state_of(job.run, job.now, job.limits) == "FINISHED"


def test_rule_13_a_clock_that_jumped_ahead_is_forgotten() -> None:
    """Once it is set back: with the next heartbeat, and for a job that is dead as well."""
    job = started()
    job.now += 1e6
    job.ask(2)
    job.now -= 1e6
    assert state_of(job.run, job.now, job.limits) == "SILENT"
    job.ask(3)
    assert state_of(job.run, job.now, job.limits) == "RUNNING"
    assert state_of(job.run, job.now + 11, job.limits) == "SILENT"


def test_rule_13_a_rank_with_another_lr_is_an_alarm() -> None:
    """As an event, with both values; the same LR is none."""
    job = started()
    told = (reports.Told(5, 0, {"default": 0.1}, 1), reports.Told(5, 3, {"default": 0.05}, 1))
    assert job.save(reports.alarms(job.run, 1, job.token, told, job.now, job.shelf)).answer == 1
    assert job.events[-1].data["rank"] == 3
    assert job.events[-1].data["expected"] == {"default": 0.1}


def test_rule_03_and_13_about_how_many_seconds_until_an_iteration() -> None:
    """By the measured time of one; None while nothing is measured."""
    job = started()
    assert seconds_until(job.run.attempts[-1], 10) is None
    job.ask(3, iteration_s=0.5)
    assert seconds_until(job.run.attempts[-1], 11) == 4.0


# 14. less than was known


def test_rule_14_a_database_that_knows_less_fences_everything_and_takes_the_facts() -> None:
    """A backup from before the change is restored: the job tells what it knows, and goes on as it was."""
    job = started(COSINE)
    backup = job.run
    job.change(factor=0.5)
    job.run_to(30)
    spec = job.shelf.curve(job.run.schedule_id).schedule.spec_dict
    seen = Knowledge(attempt=1, revision=job.run.revision, bound=job.run.horizon, spec=spec)
    used = [job.lr(n) for n in range(1, 200)]
    job.run = backup
    with pytest.raises(KnowsMore) as told:
        job.ask(30, seen.bound, revision=seen.revision)
    assert told.value.members["lost"] == {"revision": [2, 1]}
    job.save(knowledge.raise_generation(job.run, told.value.members["generation"], job.now))
    with pytest.raises(Superseded):
        job.ask(30, 11, revision=1)
    checkpoint = attempts.Checkpoint("run-1", 1, seen.revision, 30, seen.bound)
    answer = job.attach(30, checkpoint=checkpoint, knowledge=seen)
    assert (answer.generation, answer.attempt) == (2, 2)
    assert answer.revision > seen.revision
    assert [job.lr(n) for n in range(1, 200)] == used


def test_rule_14_who_was_fenced_for_knowing_more_is_told_so_again() -> None:
    """The answer got lost, and nothing but the bound with the tail: the same window is no zombie's, and may recover."""
    job = started()
    backup = job.run
    job.run_to(30)
    bound, job.run = job.run.horizon, backup
    lost: dict[str, Any] = {"position": 30, "acknowledged": bound, "generation": 1, "attempt": 1, "token": job.token}
    with pytest.raises(KnowsMore) as told:
        job.ask(**lost)
    job.save(knowledge.raise_generation(job.run, told.value.members["generation"], job.now))
    with pytest.raises(KnowsMore) as again:
        job.ask(**lost)
    assert again.value.members == {"generation": 2, "lost": {"generation": [1, 2]}}
    answer = job.attach(bound, seen_attempt=1, take_over=False, knowledge=Knowledge(1, 1, bound, CONSTANT))
    assert (answer.attempt, answer.start, answer.generation) == (2, bound, 2)
    with pytest.raises(Superseded):
        job.ask(**lost)


@pytest.mark.parametrize("ahead", [{"revision": 2}, {"generation": 2}, {"acknowledged": 40}])
def test_rule_14_a_wrong_token_that_knows_more_is_fenced(ahead: dict[str, Any]) -> None:
    """Else anybody could close a job that is alive."""
    job = started()
    with pytest.raises(Superseded):
        job.ask(1, ahead.pop("acknowledged", None), token=job.token[::-1], **ahead)


def test_rule_14_who_comes_from_a_lost_attempt_is_told_so_and_closes_nothing() -> None:
    """Nobody can tell whether its token ever was one. When it attaches, the generation is raised."""
    job = started()
    with pytest.raises(KnowsMore) as told:
        job.ask(1, attempt=2, token=job.token[::-1])
    job.save(knowledge.raise_generation(job.run, told.value.members["generation"], job.now))
    assert (job.run.generation, job.run.attempts[-1].is_closed) == (1, False)
    assert job.attach(12, knowledge=Knowledge(2, 1, 12, CONSTANT)).generation == 2


def test_rule_14_what_is_not_ahead_is_no_knowledge() -> None:
    """A client that sends what it knows along, as always, attaches as always; a checkpoint that is ahead tells."""
    job = started()
    job.attach(5, checkpoint=True, knowledge=Knowledge(1, 1, 11, CONSTANT))
    assert (job.run.revision, job.run.changes) == (1, ())
    with pytest.raises(KnowsMore):
        job.attach(8, checkpoint=attempts.Checkpoint("run-1", 2, 1, 8, 12))


@pytest.mark.parametrize(("field", "value"), [("generation", 2), ("revision", 2), ("attempt", 2), ("acknowledged", 12)])
def test_rule_14_every_number_that_is_ahead_tells(field: str, value: int) -> None:
    """Generation, revision, attempt, bound."""
    job = started()
    with pytest.raises(KnowsMore):
        job.ask(1, **{field: value})


def test_rule_14_an_attempt_that_was_lost_with_the_tail_is_in_the_record_again() -> None:
    """The numbers of attempts go on from what the job has seen."""
    job = started()
    backup = job.run
    job.attach(5, checkpoint=True)
    job.attach(5, checkpoint=True)
    seen = Knowledge(attempt=3, revision=1, bound=15, spec=CONSTANT)
    job.run = backup
    checkpoint = attempts.Checkpoint("run-1", 3, 1, 12, 15)
    with pytest.raises(KnowsMore):
        job.attach(12, checkpoint=checkpoint)
    job.save(knowledge.raise_generation(job.run, 2, job.now))
    assert job.attach(12, checkpoint=checkpoint, knowledge=seen, seen_attempt=3).attempt == 4


def restored(job: Script, backup: Run, position: int) -> None:
    """A backup that somebody may have changed since; the job comes back to it with what it was told."""
    spec = job.shelf.curve(job.run.schedule_id).schedule.spec_dict
    seen = Knowledge(attempt=1, revision=job.run.revision, bound=job.run.horizon, spec=spec)
    checkpoint = attempts.Checkpoint("run-1", 1, seen.revision, position, seen.bound)
    job.run = backup
    job.save(knowledge.raise_generation(job.run, 2, job.now))
    job.attach(position, checkpoint=checkpoint, knowledge=seen)


def standing(job: Script) -> list[tuple[Any, ...]]:
    """Author, E and status of every change, in order."""
    return [(each.author, each.effect, status_now(job.run, each)) for each in job.run.changes]


def test_rule_14_facts_replace_what_was_handed_out_and_nothing_that_is_still_to_come() -> None:
    """A ×0.5 is lost with the tail; on the backup people planned a hold at 500 and a ×0.1 at once. Told: up to 40."""
    job = started()
    backup = job.run
    job.change(factor=0.5)  # from 11 on, the end of the first window
    job.run_to(31)
    told, lost = job.run.horizon, job.run
    job.run = backup
    job.change("hold", value=0.02, at=500, confirm=True)
    job.change(factor=0.3)
    job.change(factor=0.1, not_after=20, confirm=True)
    backup, job.run = job.run, lost
    restored(job, backup, 31)
    assert standing(job) == [
        ("preheat", 11, "applied"),
        ("ann", 500, "scheduled"),
        ("ann", told, "scheduled"),
        ("ann", None, "missed"),
    ]
    lrs = [job.lr(n) for n in (10, 11, told - 1, told, 499, 500)]
    assert lrs == pytest.approx([0.1, 0.05, 0.05, 0.015, 0.015, 0.02 * 0.3], rel=1e-12)
    assert {"change-accepted", "change-moved", "change-missed"} <= set(job.kinds())
    job.run_to(501)
    assert [status for _, _, status in standing(job)] == ["applied", "applied", "applied", "missed"]


def test_rule_14_a_change_that_both_know_stays_one_change_and_can_be_reverted() -> None:
    """Planned for 20 before the backup, and for 60; by an overrun that was lost the job had the first from 35 on."""
    job = started()
    first = job.change(factor=0.5, at=20).change
    job.change(factor=0.25, at=60)
    backup = job.run
    job.ask(35, 11, revision=1, overrun=Overrun(11, 35, 1))
    assert job.run.changes[0].effect == 35
    restored(job, backup, 36)
    assert standing(job) == [("ann", 35, "applied"), ("ann", 60, "scheduled")]
    assert [job.lr(n) for n in (20, 34, 35, 60)] == [0.1, 0.1, 0.05, 0.0125]
    job.change("revert", change=first.id, at=70)
    assert [job.lr(n) for n in (69, 70)] == [0.0125, 0.025]


def test_rule_14_a_revert_that_the_job_did_not_know_comes_behind_what_it_was_told() -> None:
    """Until then the change was in force; one that the job had reverted ends where it did."""
    job = started()
    ours = job.change(factor=0.5).change
    theirs = job.change(factor=0.25).change
    job.run_to(20)
    backup, at = job.run, job.run.horizon
    job.change("revert", change=theirs.id, confirm=True)
    job.run_to(60)
    lost, told = job.run, job.run.horizon
    job.run = backup
    job.change("revert", change=ours.id, confirm=True)
    backup, job.run = job.run, lost
    restored(job, backup, told)
    assert [job.lr(n) for n in (at - 1, at, told - 1, told)] == pytest.approx([0.0125, 0.05, 0.05, 0.1], rel=1e-12)


# 15. world size


def test_rule_15_world_size_moves_nothing() -> None:
    """It is kept with the attempt; LRs, horizon and revision are what they were."""
    job = started()
    before = (job.run.revision, job.run.schedule_id)
    job.attach(5, checkpoint=True, world_size=512)
    assert job.run.attempts[-1].world_size == 512
    assert (job.run.revision, job.run.schedule_id) == before


def test_rule_15_durations_are_resolved_when_a_change_is_accepted() -> None:
    """In tokens, by the units of the base: 4e6 tokens are 40 iterations of 1e5."""
    job = started({**CONSTANT, "units": {"tokens_per_iteration": 1e5}})
    change = job.change("rewarm", iterations="1e6tok", at="@5e6tok", for_iterations="4e6tok").change
    assert (change.at, change.for_iterations, change.operation["iterations"]) == (50, 40, 10)
    with pytest.raises(Exception, match="counts epochs"):
        job.change(factor=0.9, at="3ep")


def test_limits_reports_of_a_followed_metric_have_an_end_too() -> None:
    """Two of any, and then two of the loss alone; its controller stops there, and events say both."""
    job = Script(CONSTANT, Limits(first_window=10, most_reports=2, more_followed=2))
    job.control(patience=0, factor=0.5)
    job.attach()
    job.ask(1)
    for n in range(1, 6):
        job.report(n, 1.0)
        job.report(n, 1.0, name="accuracy")
    assert sorted(job.stored) == [(1, 1, "accuracy"), (1, 1, "loss"), (1, 2, "loss"), (1, 3, "loss")]
    full = [event.data["limit"] for event in job.events if event.kind == "reports-full"]
    assert full == [2, 4]
    assert job.run.controllers[0].folded == 3
