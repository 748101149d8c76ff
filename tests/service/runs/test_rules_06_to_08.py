"""The rules of live runs, as far as they concern the pure room: facts, speakers, attempts."""

import dataclasses
from typing import Any

import pytest

from live_runs.script import CONSTANT, Script
from preheat.errors import LimitExceeded
from preheat.runs import attempts
from preheat.runs.errors import (
    AttemptMoved,
    CheckpointMismatch,
    CooldownBegun,
    KnowsMore,
    NoOverrun,
    NotInForce,
    Occupied,
    PositionAhead,
    RollbackPending,
    Superseded,
)
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits
from preheat.runs.record import entry
from preheat.runs.run import Lineage
from preheat.runs.status import status_now
from preheat.specs import InvalidSpec

COSINE = {"target_lr": 0.1, "total_iterations": 200, "after_scheduler": {"type": "CosineAnnealingLR"}}


def started(spec: Any = CONSTANT, **limits: Any) -> Script:
    """A run whose job has its first window, 1 … 10."""
    job = Script(spec, Limits(window_cap=64, first_window=10, **limits))
    job.attach()
    job.ask(1)
    return job


def certainties(job: Script, *iterations: int) -> list[str]:
    """How certain the record of the present attempt is."""
    found = [entry(job.run, job.run.attempt_number, n) for n in iterations]
    return ["none" if each is None else each.certainty for each in found]


# 6. out of reach


def test_rule_06_facts_replace_everything_from_c_on() -> None:
    """The window is lost, a change is accepted, the job goes on without both: its record is what it did."""
    job = started()
    job.ask(6, 11)  # 11 … 15 are handed out, and never arrive
    change = job.change(factor=0.5).change
    assert change.effect == 16
    job.ask(30, 11, revision=1, overrun=Overrun(11, 40, 1))
    assert [job.lr(n) for n in (15, 16, 39, 40)] == [0.1, 0.1, 0.1, 0.05]
    found = job.run.change_of(change.id)
    assert found is not None
    assert (found.effect, found.placement.kind) == (40, "moved")
    (moved,) = [event for event in job.events if event.kind == "change-moved"]
    assert (moved.data["before"], moved.data["effect"]) == (16, 40)
    assert "out of reach" in moved.data["why"]
    assert job.run.attempts[-1].overruns == ((11, 40),)


@pytest.mark.parametrize("of_the_overrun", ["start", "end"])
def test_rule_06_what_was_told_in_an_overrun_may_be_acknowledged_with_it(of_the_overrun: str) -> None:
    """C is the overrun's start, or its end, by the lights of who writes a client: the window goes on behind it."""
    job = started()
    handed = job.run.horizon
    overrun = Overrun(handed, handed + 3, job.run.revision)
    window = job.ask(handed + 3, getattr(overrun, of_the_overrun), overrun=overrun)
    assert (window.start, job.run.generation, job.run.attempts[-1].acknowledged) == (handed + 3, 1, handed + 3)
    with pytest.raises(KnowsMore):
        job.ask(handed + 3, acknowledged=window.stop + 1, overrun=Overrun(handed, handed + 3, job.run.revision))


def test_rule_06_the_same_facts_again_change_nothing() -> None:
    """An answer that got lost is asked for again, with the same facts."""
    job = started()
    job.change(factor=0.5)
    first = job.ask(15, 11, revision=1, overrun=Overrun(11, 20, 1))
    run, count = job.run, len(job.events)
    again = job.ask(15, 11, revision=1, overrun=Overrun(11, 20, 1))
    assert (again, job.run, len(job.events)) == (first, run, count)
    assert first.start == 20


def test_rule_06_what_the_job_knew_stays_and_what_it_used_cannot_be_cancelled() -> None:
    """A change that it knew was in force in the overrun, though it was cancelled meanwhile; it ends with that."""
    job = started()
    change = job.change(factor=0.5, at=15).change
    job.ask(1, 11)  # the job knows revision 2 now
    job.cancel(change.id)
    assert job.lr(17) == 0.1
    job.ask(18, 11, revision=2, overrun=Overrun(11, 20, 2))
    assert [job.lr(n) for n in (14, 15, 19, 20)] == [0.1, 0.05, 0.05, 0.1]


def test_rule_06_what_windows_had_before_an_overrun_without_it_stays() -> None:
    """A change that was used by windows, and not in the overrun: it is paused for it, and on again behind it.

    What is longer at the second telling makes a longer pause; a replay of it is bit for bit; reverting ends it.
    """
    job = started()
    change = job.change(factor=0.5, for_iterations=100).change
    assert job.ask(11, 11).stop == 21
    job.ask(25, 21, revision=1, overrun=Overrun(21, 30, 1))
    assert [job.lr(n) for n in (10, 11, 20, 21, 29, 30, 110, 111)] == [0.1, 0.05, 0.05, 0.1, 0.1, 0.05, 0.05, 0.1]
    job.ask(35, 21, revision=1, overrun=Overrun(21, 40, 1))
    before = [job.lr(n) for n in range(11, 50)]
    assert [before.count(lr) for lr in (0.1, 0.05)] == [19, 20]
    assert job.run.change_of(change.id).placement.pauses == ((21, 40),)  # type: ignore[union-attr]
    run = job.run
    job.ask(35, 21, revision=1, overrun=Overrun(21, 40, 1))
    assert job.run == run
    job.run_to(50)
    job.attach(15, checkpoint=job.checkpoint(15))
    assert [job.lr(n) for n in range(11, 50)] == before
    job.change("revert", change=change.id, at=60)
    assert [job.lr(n) for n in (20, 39, 40, 59, 60)] == [0.05, 0.1, 0.05, 0.05, 0.1]


def test_rule_06_a_revert_that_windows_had_before_an_overrun_without_it_stays() -> None:
    """The change is in force again in the overrun alone, which knew nothing of the revert."""
    job = started()
    change = job.change("hold", value=0.03).change
    job.ask(11, 11)  # 11 … 20 are handed out by revision 2
    job.change("revert", change=change.id)
    job.ask(21, 21)  # 21 … 30 by revision 3
    job.ask(35, 31, revision=3, overrun=Overrun(31, 40, 2))
    assert [job.lr(n) for n in (11, 20, 21, 30, 31, 39, 40)] == [0.03, 0.03, 0.1, 0.1, 0.03, 0.03, 0.1]


def test_rule_06_what_windows_had_without_a_change_stays() -> None:
    """Cancelled before it was handed out, and in force in the overrun alone; a moved one is where it was used."""
    job = started()
    change = job.change(factor=0.5, at=15).change
    job.cancel(change.id)
    job.ask(11, 11)  # 11 … 20 without it
    job.ask(25, 21, revision=3, overrun=Overrun(21, 40, 2))
    assert [job.lr(n) for n in (15, 20, 21, 39, 40)] == [0.1, 0.1, 0.05, 0.05, 0.1]
    moved = job.change(factor=0.5, at=60).change
    known = job.run.revision
    job.ask(25, 40, revision=1, overrun=Overrun(40, 75, 1))
    assert job.run.change_of(moved.id).effect == 75  # type: ignore[union-attr]
    job.ask(25, 40, revision=known, overrun=Overrun(40, 75, known))
    assert [job.lr(n) for n in (59, 60, 74, 75, 900)] == [0.1, 0.05, 0.05, 0.05, 0.05]


def test_rule_06_what_a_rollback_has_moved_is_where_the_job_knew_it_in_an_overrun() -> None:
    """It attaches, and goes on out of reach along the revision that it has looked at, of before the rollback."""
    job = started()
    change = job.change(factor=0.5).change  # from 11 on
    job.ask(11, 11)
    looked = job.run.revision
    job.roll_back(4, "from-here")
    job.attach(5, checkpoint=True)
    assert job.run.change_of(change.id).effect == 5  # type: ignore[union-attr]
    job.ask(5, 5, revision=looked, overrun=Overrun(5, 15, looked))
    assert [job.lr(n) for n in (5, 10, 11, 14, 15)] == [0.1, 0.1, 0.05, 0.05, 0.05]


def cancelled_and_used(job: Script, change_id: str) -> None:
    """Planned for 100; the job comes to 85, it is cancelled, and used, out of reach, up to 140."""
    job.run_to(85)
    start, revision = job.run.horizon, job.run.revision
    assert start < 100
    job.cancel(change_id)
    job.ask(140, start, overrun=Overrun(start, 140, revision))


def test_rule_06_a_cancelled_revert_that_was_used_ends_with_the_overrun() -> None:
    """And what it took back may be reverted again."""
    job = started()
    job.ask(1)
    scale = job.change(factor=0.5).change
    cancelled_and_used(job, job.change("revert", change=scale.id, at=100, confirm=True).change.id)
    assert [job.lr(n) for n in (99, 100, 139, 140, 300)] == [0.05, 0.1, 0.1, 0.05, 0.05]
    job.run_to(150)
    assert status_now(job.run, job.run.changes[0]) == "applied"
    again = job.change("revert", change=scale.id, confirm=True)
    assert job.lr(again.effect or 0) == 0.1


def test_rule_06_what_a_later_overrun_moves_keeps_its_end() -> None:
    """A cancelled change that was used is replayed up to where the facts ended it, behind another overrun too."""
    job = started()
    cancelled_and_used(job, job.change(factor=0.5, at=100).change.id)
    job.attach(90, checkpoint=True)
    job.ask(90)
    start = job.run.horizon
    assert start <= 100
    job.ask(120, start, overrun=Overrun(start, 120, 1))
    assert [job.lr(n) for n in (99, 100, 119, 120, 139, 140, 300)] == [0.1, 0.1, 0.1, 0.05, 0.05, 0.1, 0.1]


def test_rule_06_one_outage_of_which_more_is_told_makes_events_that_do_not_overlap() -> None:
    """The job tells of it again and again until it is answered: each event has what is new."""
    job = started()
    for end in (20, 40, 40, 55):
        job.ask(end, 11, revision=1, overrun=Overrun(11, end, 1))
    job.ask(70, 60, revision=1, overrun=Overrun(60, 70, 1))
    told = [(event.data["start"], event.data["end"]) for event in job.events if event.kind == "overrun"]
    assert told == [(11, 20), (20, 40), (40, 55), (60, 70)]
    assert job.run.attempts[-1].overruns == ((11, 55), (60, 70))


def test_rule_06_a_change_that_is_moved_past_its_own_bound_is_missed() -> None:
    """An event says so; the run goes on without it."""
    job = started()
    change = job.change(factor=0.5, until=30).change
    other = job.change(factor=0.5, not_after=15).change
    job.ask(30, 11, revision=1, overrun=Overrun(11, 40, 1))
    assert [each.placement.kind for each in job.run.changes if each.id in {change.id, other.id}] == ["missed"] * 2
    assert job.lr(50) == 0.1
    assert job.kinds().count("change-missed") == 2


def test_rule_06_an_overrun_cannot_freeze_a_run_either() -> None:
    """What is told in it is bounded by the position, as windows are; a restart past the end of the run is refused."""
    job = started()
    with pytest.raises(PositionAhead, match=r"overrun\.end"):
        job.ask(11, overrun=Overrun(11, 11 + 65, 1))
    job.ask(11, overrun=Overrun(11, 11 + 64, 1))
    with pytest.raises(PositionAhead):
        job.attach(1002)
    job.attach(1001)


def test_rule_06_an_overrun_past_the_end_holds_and_an_extension_comes_after_it() -> None:
    """The last LR of the schedule that the job knew; what is extended begins where it has come to."""
    job = Script({**CONSTANT, "total_iterations": 20}, Limits(first_window=30, window_cap=64))
    job.attach()
    job.change("hold", value=0.02, at=18, for_iterations=6)
    assert job.ask(1).stop == 21
    job.ask(35, 21, overrun=Overrun(21, 40, 2))
    job.change("extend", total_iterations=60)
    assert [job.lr(n) for n in (17, 18, 20, 23, 24, 39, 40)] == [0.1, 0.02, 0.02, 0.02, 0.02, 0.02, 0.1]


def test_rule_06_facts_and_a_gap_in_one_attach_make_two_revisions_and_both_are_stored() -> None:
    """The old attempt ran by the first of them, and its record is read from there."""
    job = Script()
    job.attach()
    job.ask(1)
    unknown, later = job.change(factor=0.5, at=15).change, job.change(factor=0.5, at=30).change
    saved = dataclasses.replace(job.checkpoint(50, Overrun(11, 20, 1)), acknowledged=11)
    job.attach(50, checkpoint=saved)
    assert [job.run.change_of(each.id).effect for each in (unknown, later)] == [50, 50]  # type: ignore[union-attr]
    assert [job.lr(n, attempt=1) for n in (11, 19, 20, 40)] == [0.1, 0.1, 0.05, 0.025]
    assert [job.lr(n, attempt=2) for n in (49, 50)] == [0.025, 0.025]


# 7. many speakers


def test_rule_07_many_speakers_of_one_life_share_an_attempt_and_have_no_overrun() -> None:
    """They join by their lineage, at the same iterations they get the same revision, and facts are refused."""
    job = Script()
    first = job.attach(speakers="all", lineage=Lineage("slurm-7", 0))
    token = job.token
    second = job.attach(speakers="all", lineage=Lineage("slurm-7", 0), take_over=False, seen_attempt=0)
    assert (first.attempt, second.attempt, job.run.attempt_number) == (1, 1, 1)
    job.token = token
    one = job.ask(1, 1)
    two = job.ask(1, 1)
    assert (one.start, one.stop, one.schedule_id) == (two.start, two.stop, two.schedule_id)
    with pytest.raises(NoOverrun):
        job.ask(1, 11, overrun=Overrun(11, 20, 1))


def test_rule_07_many_speakers_must_be_known_as_one_job() -> None:
    """Several processes without a common name are refused; without the choice, a second one finds the first."""
    job = Script()
    with pytest.raises(InvalidSpec, match="lineage is required"):
        job.attach(speakers="all")
    job.attach(lineage=Lineage("a", 0))
    with pytest.raises(Occupied):
        job.attach(lineage=Lineage("a", 0), take_over=False)


# 8. attempts


def test_rule_08_an_attach_names_the_attempt_that_it_saw() -> None:
    """409 if that moved: of two processes that start at once, one opens an attempt."""
    job = Script()
    job.attach()
    with pytest.raises(AttemptMoved):
        job.attach(seen_attempt=0)


def test_rule_08_while_an_attempt_is_alive_others_wait() -> None:
    """Unless they are its restart, or take over; silent or closed, it is free."""
    job = Script()
    job.attach(lineage=Lineage("torchrun-1", 0))
    for lineage in (None, Lineage("torchrun-1", 0), Lineage("torchrun-2", 9)):
        with pytest.raises(Occupied):
            job.attach(take_over=False, lineage=lineage)
    job.attach(take_over=False, lineage=Lineage("torchrun-1", 1))
    job.now += 10.1  # two leases without a heartbeat
    job.attach(take_over=False)
    job.save(attempts.close(job.run, job.run.attempt_number, job.token, 1, job.now))
    job.attach(take_over=False)
    assert job.run.attempt_number == 4


def test_rule_08_the_same_attach_again_is_one_attempt() -> None:
    """A lost answer is asked for again with the same token."""
    job = Script()
    first = job.attach(take_over=False)
    assert job.attach(token=job.token, seen_attempt=0, take_over=False) == first
    assert job.run.attempt_number == 1


def test_rule_08_the_last_attempt_that_a_run_may_have_is_answered_again_and_joined() -> None:
    """The limit is one of new attempts."""
    job = Script(limits=Limits(most_attempts=1))
    first = job.attach(speakers="all", lineage=Lineage("slurm-7", 0))
    assert job.attach(token=job.token, seen_attempt=0, speakers="all", lineage=Lineage("slurm-7", 0)) == first
    assert job.attach(seen_attempt=0, take_over=False, speakers="all", lineage=Lineage("slurm-7", 0)) == first
    with pytest.raises(LimitExceeded, match="max_attempts_per_run"):
        job.attach(lineage=Lineage("slurm-8", 0))


def test_rule_08_after_a_crash_everything_is_replayed_bit_for_bit() -> None:
    """No change is applied a second time, none is lost, and the old attempt keeps what it had used."""
    job = started(COSINE)
    job.change(factor=0.5, at=20)
    job.change("hold", value="current", at=30, for_iterations=5)
    job.run_to(60)
    used = [job.lr(n) for n in range(1, 60)]
    job.attach(15, checkpoint=True)
    assert [job.lr(n) for n in range(1, 60)] == used
    assert [change.effect for change in job.run.changes] == [20, 30]
    assert job.change(factor=0.5).effect == 15
    assert [job.lr(n, attempt=1) for n in range(1, 60)] == used
    assert [job.lr(n) for n in range(1, 15)] == used[:14]


@pytest.mark.parametrize(("policy", "expected"), [("drop", [0.1, 0.1, 0.1]), ("from-here", [0.1, 0.05, 0.05])])
def test_rule_08_a_rollback_chooses_what_becomes_of_changes_from_there_on(policy: str, expected: list[float]) -> None:
    """Dropped, or in force from k on; until the job has restarted there, other changes are refused."""
    job = started()
    job.change(factor=0.5, at=40)
    job.run_to(50)
    job.roll_back(20, policy)
    with pytest.raises(RollbackPending):
        job.change(factor=0.9)
    window = job.ask(50)
    assert window.restart is not None
    assert (window.restart.position, job.kinds().count("restart-requested")) == (21, 1)
    job.ask(50)
    assert job.kinds().count("restart-requested") == 1
    job.attach(21, checkpoint=True)
    assert [job.lr(n) for n in (20, 21, 45)] == expected
    assert [job.lr(n, attempt=1) for n in (20, 21, 45)] == [0.1, 0.1, 0.05]
    job.change(factor=0.9)


@pytest.mark.parametrize("policy", ["drop", "from-here"])
def test_rule_08_what_was_cancelled_and_used_does_not_come_back_by_a_rollback(policy: str) -> None:
    """It has ended with the overrun."""
    job = started()
    cancelled_and_used(job, job.change(factor=0.5, at=100).change.id)
    job.roll_back(89, policy)
    job.attach(90, checkpoint=True)
    assert [job.lr(n) for n in (89, 90, 120, 150, 300)] == [0.1] * 5
    assert status_now(job.run, job.run.changes[0]) == "dropped"


def test_rule_08_a_job_that_restarts_elsewhere_is_asked_again() -> None:
    """Once per attempt; and what is planned for later stays planned when a rollback brings changes forward."""
    job = started()
    job.change(factor=0.5, at=500)
    job.run_to(50)
    job.roll_back(20, "from-here")
    job.attach(40, checkpoint=True)
    assert "rollback-missed" in job.kinds()
    assert job.ask(40, 40).restart is not None
    job.attach(21, checkpoint=attempts.Checkpoint("run-1", 1, 1, 21, 21))
    assert [job.lr(n) for n in (21, 499, 500)] == [0.1, 0.1, 0.05]


def test_rule_08_what_was_skipped_comes_behind() -> None:
    """A job that comes back further on than anything was handed out: E is where it is now."""
    job = started()
    job.change(factor=0.5, at=20)
    job.attach(30)
    assert [change.effect for change in job.run.changes] == [30]
    assert certainties(job, 5, 15, 30) == ["unknown", "unknown", "planned"]


def test_rule_08_what_was_skipped_and_would_come_past_its_own_bound_is_missed() -> None:
    """Behind the gap it is as behind an overrun: `not_after` and `until` hold, and the record says what was not."""
    job = started()
    bounds: list[dict[str, Any]] = [{"not_after": 60}, {"until": 80}, {"not_after": 100}, {"until": 101}]
    made = [job.change(factor=0.5, at=50, **bound).change.id for bound in bounds]
    job.attach(100)
    found = [job.run.change_of(each) for each in made]
    places = [(each.effect, each.placement.kind) for each in found if each]
    assert places == [(None, "missed"), (None, "missed"), (100, "moved"), (100, "moved")]
    assert [status_now(job.run, each) for each in found if each] == ["missed"] * 2 + ["scheduled"] * 2
    assert "not_after is 60" in next(event for event in job.events if event.kind == "change-missed").data["why"]
    assert [job.lr(n) for n in (100, 101)] == [0.025, 0.05]


# errors of operations


def test_cooldown_that_has_begun_is_not_moved() -> None:
    """Extend with move-cooldown: 409 where the last phase begins below E."""
    wsd = {"target_lr": 0.1, "total_iterations": 100, "after_scheduler": {"type": "WSDLR", "decay_length": 20}}
    job = Script(wsd, Limits(first_window=10, window_cap=64))
    job.attach()
    job.change("extend", total_iterations=150, policy="move-cooldown")
    assert job.run.total_iterations == 150
    job.run_to(131)
    job.ask(131)
    with pytest.raises(CooldownBegun):
        job.change("extend", total_iterations=200, policy="move-cooldown")


def test_a_change_is_cancelled_before_it_is_handed_out_and_reverted_after() -> None:
    """Reverted it leaves the fold from the revert's own E on."""
    job = started()
    change = job.change(factor=0.5).change
    job.run_to(15)
    with pytest.raises(NotInForce, match="revert it"):
        job.cancel(change.id)
    revert = job.change("revert", change=change.id)
    assert [job.lr(n) for n in (10, 11, (revert.effect or 0) - 1, revert.effect or 0)] == [0.1, 0.05, 0.05, 0.1]
    with pytest.raises(NotInForce):
        job.change("revert", change=change.id)
    job.cancel(revert.change.id)
    assert job.lr(900) == 0.05


def test_a_checkpoint_of_something_else_is_an_error_with_both_values() -> None:
    """Never a silent skip: another run, another iteration, an iteration before that attempt began."""
    job = started()
    job.run_to(30)
    job.attach(20, checkpoint=True)
    good = job.checkpoint(25)
    for wrong in (
        attempts.Checkpoint("run-2", 2, 1, 25, 25),
        attempts.Checkpoint("run-1", 2, 1, 24, 25),
    ):
        with pytest.raises(CheckpointMismatch):
            job.attach(25, checkpoint=wrong)
    with pytest.raises(CheckpointMismatch, match="at least 20"):
        job.attach(10, checkpoint=attempts.Checkpoint("run-1", 2, 1, 10, 10))
    job.attach(25, checkpoint=good)


def test_a_fenced_token_never_comes_back() -> None:
    """Neither by a window nor by an attach."""
    job = started()
    old = job.token
    job.attach(5, take_over=True)
    with pytest.raises(Superseded):
        job.ask(5, attempt=1, token=old)
    with pytest.raises(Superseded):
        job.attach(5, token=old)
