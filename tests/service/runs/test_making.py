"""Making, finding, forking, locking and ending runs, and what bounds them."""

import json
from typing import Any

import pytest

from live_runs.script import CONSTANT, Script
from preheat.errors import LimitExceeded
from preheat.runs import attempts, making
from preheat.runs.errors import (
    BudgetSpent,
    CheckpointMismatch,
    HistoryUnknown,
    PreconditionFailed,
    RunAlive,
    RunDiffers,
    RunFinished,
    RunLocked,
)
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits
from preheat.runs.record import entries
from preheat.runs.run import to_json
from preheat.runs.status import status_of
from preheat.schedule import Schedule

COSINE = {"target_lr": 0.1, "total_iterations": 200, "after_scheduler": {"type": "CosineAnnealingLR"}}


def started(spec: Any = CONSTANT, **limits: Any) -> Script:
    """A run whose job has its first window, 1 … 10."""
    job = Script(spec, Limits(**({"window_cap": 64, "first_window": 10} | limits)))
    job.attach()
    job.ask(1)
    return job


def test_a_locked_run_takes_no_changes_and_a_finished_one_nothing() -> None:
    """409, and opening it brings them back."""
    job = started()
    job.save(making.lock(job.run, "ann", job.now, is_locked=True))
    with pytest.raises(RunLocked):
        job.change(factor=0.9)
    job.save(making.lock(job.run, "ann", job.now, is_locked=False))
    job.change(factor=0.9)
    with pytest.raises(RunAlive):
        making.check_deletable(job.run, job.now)
    job.save(making.finish(job.run, "ann", job.now))
    making.check_deletable(job.run, job.now)
    with pytest.raises(RunFinished):
        job.change(factor=0.9)
    with pytest.raises(RunFinished):
        job.attach()
    with pytest.raises(RunFinished):
        job.ask(1)


def test_a_program_has_a_budget_of_changes_per_thousand_iterations() -> None:
    """Its own; another author's changes and those further away do not count."""
    job = started(automated_changes_per_thousand=2)
    for at in (100, 150):
        job.change(factor=0.9, at=at, author="bot", is_automated=True)
    with pytest.raises(BudgetSpent):
        job.change(factor=0.9, at=200, author="bot", is_automated=True)
    job.change(factor=0.9, at=200, author="ann")
    job.change(factor=0.9, at=200, author="other-bot", is_automated=True)


def test_a_fork_shares_the_history_and_lives_on_its_own() -> None:
    """Up to an iteration that was acknowledged; an ancestor's checkpoint is no mismatch, one from later is."""
    job = started(COSINE)
    job.change(factor=0.5, at=20)
    job.change(factor=0.5, at=100)
    job.run_to(50)
    with pytest.raises(HistoryUnknown):
        making.fork(job.run, making.ForkRequest(1, 60, "b"), "run-2", job.now, job.shelf)
    original = job.run
    job.save(making.fork(job.run, making.ForkRequest(1, 30, "b", changes="drop"), "run-2", job.now, job.shelf))
    assert job.run.attempt is None
    saved = attempts.Checkpoint("run-1", 1, 3, 31, 31)
    with pytest.raises(CheckpointMismatch, match="at most 31"):
        job.attach(40, checkpoint=attempts.Checkpoint("run-1", 1, 3, 40, 40))
    assert job.attach(31, checkpoint=saved).attempt == 2
    job.change(factor=0.9)
    forked, shelf = job.run, job.shelf
    plain = shelf.curve(Schedule.of(COSINE).id)
    assert job.lr(19) == plain.lr(19)[0]
    assert job.lr(25) == plain.lr(25)[0] * 0.5
    assert job.lr(120) == plain.lr(120)[0] * 0.5 * 0.9
    assert original.schedule_id != forked.schedule_id
    job.run = original
    assert job.lr(120) == plain.lr(120)[0] * 0.5 * 0.5


def test_what_a_fork_does_not_share_is_no_checkpoint_of_it() -> None:
    """Its own attempts have the numbers of those that its ancestors began later; a fork of it shares less still."""
    job = started(COSINE)
    job.run_to(60)
    job.attach(40, checkpoint=True)
    job.run_to(56)
    job.save(making.fork(job.run, making.ForkRequest(2, 49, "b"), "run-2", job.now, job.shelf))
    job.attach(45, checkpoint=attempts.Checkpoint("run-1", 2, 1, 45, 45))
    job.run_to(60)
    before = job.run
    for position in (47, 52):  # within what is shared of attempt 2, and beyond it
        with pytest.raises(CheckpointMismatch, match=r"attempt of the checkpoint \(3\) must be at most 2.* run-1 "):
            job.attach(position, checkpoint=attempts.Checkpoint("run-1", 3, 1, position, position))
    assert job.run == before
    job.save(making.fork(job.run, making.ForkRequest(1, 29, "c"), "run-3", job.now, job.shelf))
    for run in ("run-1", "run-2", "run-3"):
        with pytest.raises(CheckpointMismatch, match=r"position of the checkpoint \(31\) must be at most 30"):
            job.attach(31, checkpoint=attempts.Checkpoint(run, 1, 1, 31, 31))
    assert job.attach(30, checkpoint=attempts.Checkpoint("run-1", 1, 1, 30, 30)).attempt == 2


def test_a_checkpoint_that_an_ancestor_saved_after_the_fork_may_know_more_of_it() -> None:
    """Of an attempt that was not there yet: what it has acknowledged by then is no loss of the database."""
    job = started(COSINE)
    job.run_to(20)
    job.ask(20)
    forked = making.fork(job.run, making.ForkRequest(1, job.run.horizon - 1, "b"), "run-2", job.now, job.shelf)
    k, original = job.run.horizon, job.run
    job.run_to(k)
    job.ask(k)
    job.ask(k)
    saved = job.checkpoint(k)
    assert saved.acknowledged > original.horizon
    job.save(forked)
    job.attach(k, checkpoint=saved)
    assert [each.acknowledged for each in job.run.attempts] == [k, k]
    assert job.run.generation == 1


def test_nothing_is_known_of_what_lies_between_a_fork_and_its_job() -> None:
    """Though the other run used it: neither its record, nor its changes, nor its reports are those of the fork."""
    job = started(COSINE)
    job.change(factor=0.5, at=44)
    job.run_to(43)
    job.ask(43, overrun=Overrun(43, 60, 2))
    job.run_to(60)
    for n in range(41, 46):
        job.report(n, float(n))
    job.save(making.fork(job.run, making.ForkRequest(1, 40, "b"), "run-2", job.now, job.shelf))
    (shared,) = job.run.attempts
    assert (shared.position, shared.acknowledged, shared.handed, shared.overruns) == (41, 41, 41, ())
    with pytest.raises(HistoryUnknown, match="up to iteration 40, not 45"):
        making.fork(job.run, making.ForkRequest(1, 45, "c"), "run-3", job.now, job.shelf)
    job.control(patience=0)
    job.attach(46)
    assert (job.run.controllers[0].folded, len(job.run.changes)) == (-1, 1)
    job.run_to(50)
    parts = [(part, at.attempt, at.certainty, at.is_overrun) for part, at in entries(job.run, 2, 1, 50)]
    assert parts == [(range(1, 41), 1, "used", False), (range(41, 46), 1, "unknown", False),
                     (range(46, 50), 2, "used", False)]  # fmt: skip
    assert [status_of(job.run, job.run.changes[0], attempt) for attempt in (1, 2)] == ["scheduled", "applied"]


def test_a_fork_of_an_older_attempt_has_the_changes_as_they_stood_there() -> None:
    """Neither what was dropped since, nor what was accepted since."""
    job = started()
    job.change(factor=0.5, at=20)
    job.run_to(50)
    job.roll_back(9, "drop")
    job.attach(10, checkpoint=True)
    job.change(factor=0.9)
    assert job.lr(900) == 0.1 * 0.9
    job.save(making.fork(job.run, making.ForkRequest(1, 40, "b"), "run-2", job.now, job.shelf))
    curve = job.shelf.curve(job.run.schedule_id)
    assert [curve.lr(n) for n in (19, 20, 900)] == [[0.1], [0.05], [0.05]]


def test_the_record_of_a_fork_without_a_job_begins_with_what_it_shares() -> None:
    """Used as far as both were, unknown where the job had it and had not come there; then planned."""
    job = started()
    job.run_to(50)
    end = job.run.horizon
    job.ask(50)
    job.change(factor=0.5, at=20)
    for last, known in (
        (30, [(range(31), "used"), (range(31, 900), "planned")]),
        (end - 1, [(range(50), "used"), (range(50, end), "unknown"), (range(end, 900), "planned")]),
    ):
        forked = making.fork(job.run, making.ForkRequest(1, last, "b", changes="drop"), "run-2", job.now, job.shelf)
        parts = [(part, at.certainty) for part, at in entries(forked.run, 0, 0, 900)]
        assert parts == [(range(1), "unknown"), (range(1, known[0][0].stop), "used"), *known[1:]]
        assert [at.certainty for _, at in entries(forked.run, 0, last + 1, last + 9)] == ["planned"]


def test_a_label_finds_its_run_or_says_how_it_differs() -> None:
    """The same spec finds it, another one or a finished run is a 409 with the difference."""
    job = Script(COSINE)
    making.check_same(job.run, Schedule.of(COSINE))
    with pytest.raises(RunDiffers) as refused:
        making.check_same(job.run, Schedule.of({**COSINE, "target_lr": 0.2}))
    assert refused.value.members["differences"] == {"target_lr": {"run": 0.1, "yours": 0.2}}
    job.save(making.finish(job.run, "ann", job.now))
    with pytest.raises(RunDiffers):
        making.check_same(job.run, Schedule.of(COSINE))


def test_a_long_run_stays_small() -> None:
    """Windows are not kept one by one; sixty attempts and sixty changes are some ten kilobytes."""
    job = started(most_changes=60)
    before = len(json.dumps(to_json(job.run)))
    for position in range(2, 900):
        job.ask(position)
    assert len(json.dumps(to_json(job.run))) - before < 100
    for _ in range(60):
        job.change(factor=0.99, at=1000)
    for _ in range(60):
        job.attach(890, checkpoint=True)
    assert len(json.dumps(to_json(job.run))) < 120 * 700
    with pytest.raises(LimitExceeded):
        job.change(factor=0.99)


def test_a_key_that_is_forgotten_is_a_412_and_never_a_second_change() -> None:
    """The oldest keys go; a retry then meets an ETag that has moved."""
    job = started(most_keys=1)
    seen = job.run.etag
    job.change(factor=0.9, key="first", if_match=seen)
    job.change(factor=0.9, key="second")
    with pytest.raises(PreconditionFailed):
        job.change(factor=0.9, key="first", if_match=seen)
    assert len(job.run.changes) == 2


def test_a_replacing_schedule_is_kept_as_it_was_written_down() -> None:
    """Its defaults are filled in when it is accepted, on either clock."""
    job = started(COSINE)
    job.change("replace", schedule={"target_lr": 0.04, "total_iterations": 100}, clock="here")
    assert job.run.total_iterations == 110
    assert job.run.changes[0].operation["schedule"]["warmup"]["iterations"] == 0
    assert [job.lr(n) for n in (11, 110)] == [0.04, 0.04]
