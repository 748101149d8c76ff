"""Recovery: whatever a database has lost, and whatever was done to it since, the record is what the job was told."""

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live_runs.script import Script
from preheat.errors import PreheatError
from preheat.runs import attempts, knowledge
from preheat.runs.errors import KnowsMore, PositionAhead
from preheat.runs.facts import Overrun
from preheat.runs.knowledge import Knowledge
from preheat.runs.revision import in_fold
from preheat.runs.run import Change, Run
from preheat.specs import InvalidSpec

_COSINE: dict[str, Any] = {
    "target_lr": 0.1,
    "total_iterations": 300,
    "after_scheduler": {"type": "CosineAnnealingLR"},
}
_SHOWN = 400


def begun(spec: Any = _COSINE) -> Script:
    """A job with its first window, up to 11."""
    job = Script(spec)
    job.attach()
    job.ask(1)
    return job


def seen_by(job: Script) -> Knowledge:
    """What its job knows."""
    spec = job.shelf.curve(job.run.schedule_id).schedule.spec_dict
    start = job.run.attempts[-1].start
    return Knowledge(job.run.attempt_number, job.run.revision, job.run.horizon, spec, start)


def come_back(job: Script, seen: Knowledge, position: int | None = None) -> None:
    """The job attaches to the database as it is now, with what it knows."""
    k = seen.bound if position is None else position
    job.save(knowledge.raise_generation(job.run, job.run.generation + 1, job.now))
    checkpoint = attempts.Checkpoint("run-1", seen.attempt, seen.revision, k, seen.bound)
    job.attach(k, checkpoint=checkpoint, knowledge=seen)


def lrs(job: Script, stop: int = _SHOWN) -> list[float]:
    """The LRs of iterations 1 … stop − 1 in the present attempt."""
    return [job.lr(n) for n in range(1, stop)]


def about(job: Script, since: int) -> set[str]:
    """The changes that events have named, and those that the reverts are about that they have named."""
    named = {event.data["change"] for event in job.events[since:] if "change" in event.data}
    for change in reversed(job.run.changes):
        if change.id in named and change.operation["op"] == "revert":
            named.add(change.operation["change"])
    return named


_OPERATIONS = st.one_of(
    st.builds(lambda factor: {"op": "scale", "factor": factor}, st.sampled_from([0.5, 0.9, 2.0])),
    st.builds(lambda value: {"op": "hold", "value": value}, st.sampled_from([0.02, 0.03, "current"])),
    st.builds(lambda n: {"op": "rewarm", "iterations": n}, st.integers(2, 30)),
    st.builds(lambda n: {"op": "cooldown", "iterations": n, "to": 0.001}, st.integers(100, 300)),
    st.builds(lambda n: {"op": "extend", "more": n}, st.integers(1, 100)),
    st.builds(
        lambda n, clock: {"op": "replace", "schedule": {"target_lr": 0.05, "total_iterations": n}, "clock": clock},
        st.integers(50, 400),
        st.sampled_from(["run", "here"]),
    ),
)
_CHANGES = st.tuples(st.just("change"), _OPERATIONS, st.none() | st.integers(-10, 60), st.none() | st.integers(3, 60))
_TAKEN_BACK = st.tuples(st.sampled_from(["cancel", "revert"]), st.integers(0, 9))
_GOES_ON = st.tuples(st.just("ask"), st.integers(1, 15)) | st.tuples(
    st.just("overrun"), st.integers(1, 30), st.integers(0, 2)
)
_STEPS = _CHANGES | _TAKEN_BACK | _GOES_ON
_ROLLBACKS = st.tuples(st.just("rollback"), st.integers(1, 40), st.sampled_from(["drop", "from-here"]))
_SCALES = st.tuples(st.just("scale"), st.none() | st.integers(-10, 60), st.none() | st.integers(3, 60))


def do(job: Script, what: str, *how: Any) -> None:
    """A step of people or of the job, if it is possible."""
    run = job.run
    with suppress(PreheatError, InvalidSpec):
        match what, how:
            case "change", (operation, ahead, length):
                fields = dict(operation)
                if "more" in fields:
                    fields["total_iterations"] = run.total_iterations + fields.pop("more")
                elif length is not None and fields["op"] != "cooldown":
                    fields["for_iterations"] = length
                at = None if ahead is None else max(run.horizon + ahead, 0)
                job.change(fields.pop("op"), at=at, confirm=True, **fields)
            case "scale", (ahead, length):
                # Each another factor: nothing tells two changes that ask for the same from one that has been moved.
                do(job, "change", {"op": "scale", "factor": 1 - next(job.numbers) / 500}, ahead, length)
            case "cancel", (index,) if run.changes:
                job.cancel(run.changes[index % len(run.changes)].id)
            case "revert", (index,) if run.changes:
                job.change("revert", change=run.changes[index % len(run.changes)].id, confirm=True)
            case "ask", (further,):
                job.ask(min(run.attempts[-1].position + further, run.horizon))
            case "overrun", (further, older):
                end = run.horizon + further
                job.ask(end, overrun=Overrun(run.horizon, end, max(run.revision - older, job.known_from)))
            case "rollback", (back, policy):
                k = max(run.attempts[-1].position - back, 1)
                job.roll_back(k - 1, policy)
                job.attach(k, checkpoint=True)


def placed(run: Run) -> dict[str, list[tuple[int, int | None]]]:
    """Where every change is in force."""
    found: dict[str, list[tuple[int, int | None]]] = {change.id: [] for change in run.changes}
    for change, amendment in in_fold(run):
        found[change.id].append((amendment["start"], amendment.get("stop")))
    return found


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(_STEPS, max_size=10),
    lost=st.lists(_STEPS, min_size=1, max_size=10),
    since=st.lists(_CHANGES | _TAKEN_BACK, max_size=4),
)
def test_what_was_told_is_the_record_and_nothing_else_goes_without_an_event(
    before: list[Any], lost: list[Any], since: list[Any]
) -> None:
    """A backup is restored, people change it, and then the job comes back."""
    check_recovery(before, lost, since)


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(_SCALES | _GOES_ON | _ROLLBACKS, max_size=10),
    lost=st.lists(_SCALES | _GOES_ON | _ROLLBACKS, min_size=1, max_size=10),
    since=st.lists(_SCALES, max_size=4),
)
def test_a_change_that_a_lost_rollback_has_moved_is_in_force_once(
    before: list[Any], lost: list[Any], since: list[Any]
) -> None:
    """The same with rollbacks of both kinds."""
    check_recovery(before, lost, since)


def check_recovery(before: list[Any], lost: list[Any], since: list[Any]) -> None:
    """What is promised of a run whose database is restored as it was after `before`, when `lost` was there too."""
    job = begun()
    for step in before:
        do(job, *step)
    backup = job.run
    for step in lost:
        do(job, *step)
    tail, seen, told, planned = job.run, seen_by(job), lrs(job, job.run.horizon), lrs(job)
    job.run = backup
    for step in since:
        do(job, *step)
    known, count = job.run, len(job.events)
    if not seen.is_ahead_of(known):
        return
    come_back(job, seen)
    # What two attempts used that were both lost, nobody knows of the first.
    first = (seen.start or 1) - 1 if seen.attempt > known.attempt_number + 1 else 0
    assert lrs(job, seen.bound)[first:] == told[first:]
    named, now = about(job, count), placed(job.run)
    assert {name for name, places in placed(known).items() if places != now[name]} <= named
    later = {change.id: change.effect for change in known.changes if (change.effect or 0) >= seen.bound}
    if seen.attempt > known.attempt_number:
        later |= {each.id: each.effect for each in tail.changes if each.id in later and is_from_here(each)}
    # One that comes after the end that the run has by what was lost is missed, and an event says so.
    missed = {event.data["change"] for event in job.events[count:] if event.kind == "change-missed"}
    later = {name: None if name in missed else effect for name, effect in later.items()}
    assert {name: job.run.change_of(name).effect for name in later} == later  # type: ignore[union-attr]
    reach = {name for name, places in placed(tail).items() if any((end or _SHOWN) > seen.bound for _, end in places)}
    missing = [each.operation for each in tail.changes[len(backup.changes) :] if each.id in reach]
    operations = [change.operation for change in job.run.changes]
    assert all(each in operations for each in missing if each.get("value") != "current")
    gone = [each for each in tail.changes if placed(known).get(each.id) and not placed(tail)[each.id]]
    if not since and not gone and all(step[0] not in {"cancel", "revert"} for step in lost):
        assert lrs(job)[first:] == planned[first:]


def is_from_here(change: Change) -> bool:
    """Whether a rollback has moved a change, and nothing since."""
    return change.placement.kind == "from-here"


def standing(job: Script) -> list[tuple[Any, ...]]:
    """Author, E and end of every change, in order."""
    return [(each.author, each.effect, each.stop_of(each.placement)) for each in job.run.changes]


def test_a_revert_before_its_change_began_stays_one() -> None:
    """Both know it; only a later change is lost."""
    job = begun()
    job.change("revert", change=job.change(factor=0.5, at=30).change.id)
    job.run_to(40)
    backup = job.run
    job.change(factor=0.9)
    job.run_to(60)
    seen, planned, job.run = seen_by(job), lrs(job), backup
    come_back(job, seen, 55)
    assert lrs(job) == planned


@pytest.mark.parametrize("how", ["cancel", "revert"])
def test_what_was_taken_back_since_stays_so(how: str) -> None:
    """On the restored database, behind all that the job was told; nothing but windows was lost."""
    job = begun()
    planned = job.change(factor=0.5, at=200).change
    backup = job.run
    job.run_to(60)
    seen, job.run = seen_by(job), backup
    if how == "cancel":
        job.cancel(planned.id)
    else:
        job.change("revert", change=planned.id)
    before = lrs(job)
    come_back(job, seen)
    assert lrs(job) == before
    assert "preheat" not in {change.author for change in job.run.changes}


@pytest.mark.parametrize("how", ["cancel", "revert"])
def test_what_was_taken_back_in_the_tail_is_back_and_an_event_says_so(how: str) -> None:
    """Nothing tells it from a change that was accepted since."""
    job = begun()
    planned = job.change(factor=0.5, at=100).change
    backup = job.run
    if how == "cancel":
        job.cancel(planned.id)
    else:
        job.change("revert", change=planned.id)
    job.run_to(60)
    seen, job.run = seen_by(job), backup
    come_back(job, seen)
    assert standing(job) == [("ann", 100, None)]
    assert [event.data["change"] for event in job.events if event.kind == "change-kept"] == [planned.id]


def test_a_revert_that_was_lost_after_its_change_had_begun_holds() -> None:
    """The job knows where the change ended."""
    job = begun()
    change = job.change(factor=0.5).change
    job.run_to(30)
    backup, at = job.run, job.run.horizon
    job.change("revert", change=change.id, confirm=True)
    job.run_to(60)
    seen, planned, job.run = seen_by(job), lrs(job), backup
    come_back(job, seen)
    assert (lrs(job), standing(job)) == (planned, [("ann", 11, at)])


def test_lost_changes_come_back_in_their_order() -> None:
    """A hold and then a ×0.5; somebody has entered the ×0.5 again since: one of them, and behind the hold."""
    job = begun()
    backup = job.run
    job.change("hold", value=0.02, confirm=True)
    job.change(factor=0.5)
    job.run_to(60)
    seen, planned, job.run = seen_by(job), lrs(job), backup
    job.change(factor=0.5)
    come_back(job, seen, 55)
    assert (lrs(job), standing(job)) == (planned, [("preheat", 11, None), ("ann", 11, None)])


def test_an_order_that_the_database_has_otherwise_is_held_to_for_what_was_told() -> None:
    """The job had a hold, then a ×0.5; since, somebody entered a ×0.5 and then the hold: theirs counts behind."""
    job = begun()
    backup = job.run
    job.change("hold", value=0.02, confirm=True)
    job.change(factor=0.5)
    job.run_to(60)
    seen, told, job.run = seen_by(job), lrs(job, job.run.horizon), backup
    job.change(factor=0.5)
    job.change("hold", value=0.02, confirm=True)
    come_back(job, seen)
    assert lrs(job, seen.bound) == told == [*told[:10], *[0.01] * (seen.bound - 11)]
    assert (job.lr(seen.bound), job.run.changes[-1].operation["op"]) == (0.02, "replace")


def test_a_hold_of_the_current_lr_that_a_lost_overrun_had_moved_is_one_hold() -> None:
    """Planned for 20, and by the overrun from 35 on, at the LR of 35."""
    job = begun()
    job.change("hold", value="current", at=20)
    backup = job.run
    job.ask(35, 11, revision=1, overrun=Overrun(11, 35, 1))
    job.run_to(45)
    seen, planned, job.run = seen_by(job), lrs(job), backup
    come_back(job, seen)
    assert (lrs(job), standing(job)) == (planned, [("ann", 35, None)])


def test_a_rewind_that_was_lost_is_in_the_record_with_what_it_used() -> None:
    """A backup at 100; then back to 50, at half the LR from there; it came to 80, and goes on in the same process."""
    job = begun()
    job.run_to(100)
    backup, first = job.run, lrs(job, 100)
    job.change(factor=0.5)
    job.roll_back(49, "from-here")
    job.attach(50, checkpoint=True)
    job.run_to(80)
    seen, told, job.run = seen_by(job), lrs(job, job.run.horizon), backup
    job.save(knowledge.raise_generation(job.run, 2, job.now))
    job.attach(seen.bound, knowledge=seen)
    assert [(each.number, each.parent, each.start) for each in job.run.attempts] == [
        (1, None, 1), (2, 1, 50), (3, 2, seen.bound)
    ]  # fmt: skip
    assert lrs(job, seen.bound) == told
    assert told[48:50] == pytest.approx([first[48], first[49] / 2], rel=1e-12)
    assert [job.lr(n, attempt=1) for n in range(1, 100)] == first


@pytest.mark.parametrize(("at", "planned_at", "then"), [(200, 20, None), (60, 100, None), (200, 20, 80)])
def test_rule_14_what_a_lost_rollback_kept_from_here_begins_there_and_nowhere_else(
    at: int, planned_at: int, then: int | None
) -> None:
    """×0.5 by the backup from 200 (or 110), by the job from 50, to which it went back; it may have crashed since."""
    job = begun()
    job.run_to(planned_at)
    change = job.change(factor=0.5, at=at).change
    backup = job.run
    job.run_to(250)
    job.roll_back(49, "from-here")
    job.attach(50, checkpoint=True)
    if then is not None:
        job.run_to(then + 10)
        job.attach(then, checkpoint=True)
    job.run_to(90 if then else 52)
    seen, planned, job.run, count = seen_by(job), lrs(job), backup, len(job.events)
    come_back(job, seen)
    assert (lrs(job), standing(job)) == (planned, [("ann", 50, None)])
    used = [event.data for event in job.events[count:] if event.kind == "change-used"]
    assert [(each["change"], each["before"], each["effect"]) for each in used] == [(change.id, change.effect, 50)]


def test_a_lost_hold_of_a_number_is_no_hold_of_the_current_lr() -> None:
    """Somebody held the current LR on the restored database, where the job held another."""
    job = begun()
    backup = job.run
    job.change("hold", value=0.02, confirm=True)
    job.run_to(60)
    seen, told, job.run = seen_by(job), lrs(job, job.run.horizon), backup
    job.change("hold", value="current", at=20)
    come_back(job, seen)
    assert lrs(job, seen.bound) == told
    assert sorted(str(change.operation["value"]) for change in job.run.changes) == ["0.02", "current"]


def test_a_lost_change_like_one_taken_back_before_is_another_one() -> None:
    """Cancelled before the backup, and entered again after it."""
    job = begun()
    old = job.change(factor=0.5, at=200).change
    job.cancel(old.id)
    backup = job.run
    new = job.change(factor=0.5, at=200).change
    seen, planned, job.run = seen_by(job), lrs(job), backup
    come_back(job, seen)
    assert (lrs(job), placed(job.run)) == (planned, {old.id: [], new.id: [(200, None)]})


def test_a_bound_that_no_window_can_have_had_is_refused() -> None:
    """Else who may train could say that all of a run was told, and nothing planned would take place."""
    job = begun()
    job.run_to(50)
    job.change(factor=0.5, at=200)
    spec = job.shelf.curve(job.run.schedule_id).schedule.spec_dict
    furthest = 60 + job.limits.window_cap
    with pytest.raises(PositionAhead, match=str(furthest)):
        job.attach(60, knowledge=Knowledge(1, 2, furthest + 1, spec))
    job.attach(60, knowledge=Knowledge(1, 2, furthest, spec))
    assert standing(job) == [("ann", 200, None)]


def test_a_lost_move_moves_what_it_moved() -> None:
    """59 was held from 60 on, where a cooldown had been; somebody has cancelled that on the restored database."""
    job = begun()
    ground = job.change("cooldown", at=60, iterations=100, to=0.0).change
    backup = job.run
    job.change("extend", total_iterations=250, policy="move-cooldown")
    job.run_to(80)
    seen, told, job.run = seen_by(job), lrs(job, job.run.horizon), backup
    job.cancel(ground.id)
    come_back(job, seen)
    held = [0.05 * (1 + math.cos(math.pi * 59 / 300))] * (seen.bound - 60)
    assert lrs(job, seen.bound)[59:] == pytest.approx(held, rel=1e-12)
    assert lrs(job, seen.bound) == told
    assert [each.operation["op"] for each in job.run.changes] == ["cooldown", "extend"]


@pytest.mark.parametrize("more", [0, 1])
def test_a_revision_whose_number_is_used_again_is_another_one(more: int) -> None:
    """Revision 2 is ×0.5 for the job, and, on the restored database, ×0.8, or ×0.8 and then another: it tells."""
    job = begun()
    backup = job.run
    job.change(factor=0.5)
    seen, planned, lost = seen_by(job), lrs(job), job.run.schedule_id
    job.run = backup
    job.change(factor=0.8, at=200)
    for _ in range(more):
        job.change(factor=0.9, at=250)
    end = seen.bound + 9
    overrun = Overrun(seen.bound, end, seen.revision)
    assert job.run.schedule_of(2) != lost
    with pytest.raises(KnowsMore, match="schedule of revision 2"):
        job.ask(end, seen.bound, revision=2, overrun=overrun, schedule_id=lost)
    come_back(job, Knowledge(1, 2, end, seen.spec, 1))
    assert lrs(job, 200) == planned[:199]
    assert job.lr(200) == pytest.approx(planned[199] * 0.8, rel=1e-12)


def test_what_both_know_is_no_news() -> None:
    """The ids of present, earlier and unknown revisions."""
    job = begun()
    first = job.run.schedule_id
    job.change(factor=0.5)
    with pytest.raises(KnowsMore):
        job.ask(2, revision=1, schedule_id=job.run.schedule_id)
    job.ask(2, revision=1, schedule_id=first)
    job.change(factor=0.9)
    job.ask(3, revision=2, schedule_id=job.run.schedule_of(2))
    job.ask(4, revision=3, schedule_id=job.run.schedule_id)
    assert not seen_by(job).is_ahead_of(job.run)
    with pytest.raises(KnowsMore):
        job.ask(5, revision=3, schedule_id=first)
