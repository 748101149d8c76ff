"""The rules of live runs, as far as they concern the pure room: windows, changes, dry runs."""

from typing import Any

import pytest

from live_runs.script import CONSTANT, Script
from preheat.runs import changes, windows
from preheat.runs.errors import (
    BeyondEnd,
    ConfirmationRequired,
    KeyReused,
    NotInForce,
    PositionAhead,
    PreconditionFailed,
    PreconditionRequired,
    TooLate,
)
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits
from preheat.runs.preview import preview
from preheat.runs.record import entry
from preheat.runs.revision import amended, in_fold
from preheat.runs.status import status_of
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


def statuses(job: Script, attempt: int) -> list[str | None]:
    """Every change's, in order."""
    return [status_of(job.run, change, attempt) for change in job.run.changes]


# 1. commit before answer


def test_rule_01_h_is_the_end_of_the_window_in_the_outcome_that_is_saved() -> None:
    """The answer carries revision and bound; the same outcome has H, so that saving it first is all there is to do."""
    job = Script()
    job.attach()
    request = windows.WindowRequest(1, job.token, position=1, acknowledged=1, revision=1)
    outcome = windows.hand_out(job.run, request, job.now, job.shelf, job.limits)
    window = outcome.answer
    assert (window.start, window.stop, window.revision, window.schedule_id) == (1, 11, 1, job.run.schedule_id)
    assert outcome.run.horizon == 11
    assert job.run.horizon == 1


def test_rule_01_the_next_request_acknowledges() -> None:
    """C is what the request says; until then what was handed out is not known to have arrived."""
    job = started()
    assert job.run.attempts[-1].acknowledged == 1
    job.ask(4, acknowledged=11)
    attempt = job.run.attempts[-1]
    assert (attempt.acknowledged, attempt.position, attempt.handed) == (11, 4, 14)
    assert certainties(job, 3, 4, 13, 14) == ["used", "committed", "committed", "planned"]


def test_rule_01_nobody_can_freeze_a_run() -> None:
    """However short an iteration is said to be, at most a cap is handed out past the highest position."""
    job = started()
    job.ask(5, iteration_s=1e-9)
    assert job.run.horizon == 5 + 64
    job.ask(5, iteration_s=1e-9)
    assert job.run.horizon == 5 + 64


def test_rule_01_a_position_beyond_everything_is_an_error() -> None:
    """With both values."""
    job = started()
    with pytest.raises(PositionAhead, match=r"position \(12\) must not exceed 11"):
        job.ask(12)


def test_rule_01_a_window_is_no_longer_than_the_cap_whatever_is_acknowledged() -> None:
    """Who says to have come far, and to have nothing, gets a cap of it at a time; what others have is not taken."""
    job = started()
    job.run_to(500)
    handed = job.run.horizon
    window = job.ask(500, 1)
    assert (window.start, window.stop, job.run.horizon) == (1, 65, handed)


def test_rule_01_what_lies_before_the_attempt_is_not_acknowledged() -> None:
    """Nor told as an overrun: both name the field, and where the attempt began."""
    job = started()
    job.run_to(50)
    job.attach(40, checkpoint=True)
    wrong: list[tuple[dict[str, Any], list[str]]] = [
        ({"acknowledged": 39}, ["/acknowledged"]),
        ({"acknowledged": 0, "overrun": Overrun(39, 50, 1)}, ["/acknowledged", "/overrun/start"]),
    ]
    for fields, pointers in wrong:
        with pytest.raises(InvalidSpec, match="must be ≥ 40, where attempt 2 began") as refused:
            job.ask(40, **fields)
        assert [each.pointer for each in refused.value.violations] == pointers
    assert job.ask(40, 40).start == 40


# 2. effect


def test_rule_02_e_is_the_later_of_what_is_wanted_and_h() -> None:
    """An `at` that is past is H, one that is to come is itself; nothing is ever missed by a comparison with ==."""
    job = started()
    assert job.change(factor=0.9, at=5).effect == 11
    assert job.change(factor=0.9, at=500).effect == 500
    assert job.change(factor=0.9).effect == 11


def test_rule_02_a_change_that_comes_too_late_for_what_it_says_is_refused() -> None:
    """E ≥ until, E > not_after: 409, with the iteration; at the bound itself it is accepted."""
    job = started()
    bounds: list[dict[str, Any]] = [{"until": 11}, {"not_after": 10}]
    for late in bounds:
        with pytest.raises(TooLate) as refused:
            job.change(factor=0.9, **late)
        assert refused.value.members["effect"] == 11
    assert job.change(factor=0.9, until=12).effect == 11
    assert job.change(factor=0.9, not_after=11).effect == 11
    with pytest.raises(BeyondEnd):
        job.change(factor=0.9, at=1001)


def test_rule_02_for_iterations_counts_from_e() -> None:
    """Ten iterations from 11 on, whatever `at` was."""
    job = started()
    job.change("hold", value=0.05, at=2, for_iterations=10)
    assert [job.lr(n) for n in (10, 11, 20, 21)] == [0.1, 0.05, 0.05, 0.1]


def test_rule_02_a_status_is_that_of_an_attempt() -> None:
    """Applied where the first iteration with it is reported, in each lane as it stood at its end."""
    job = started()
    first = job.change(factor=0.5, at=20).change
    second = job.change(factor=0.5, at=30).change
    third = job.change(factor=0.5, at=900).change
    job.run_to(20)
    assert statuses(job, 1) == ["scheduled", "scheduled", "scheduled"]
    job.run_to(31)
    job.cancel(third.id)
    job.change("revert", change=first.id)
    assert statuses(job, 1) == ["applied", "applied", "cancelled", "scheduled"]
    job.run_to(60)
    assert statuses(job, 1) == ["reverted", "applied", "cancelled", "applied"]
    job.roll_back(24, "drop")
    job.attach(25, checkpoint=True)
    job.change(factor=0.9)
    assert statuses(job, 1) == ["reverted", "applied", "cancelled", "applied", None]
    assert statuses(job, 2) == ["applied", "dropped", "cancelled", "dropped", "scheduled"]
    assert [each.id for each in job.run.changes[:2]] == [first.id, second.id]


def test_a_revert_is_reverted_as_any_change() -> None:
    """×0.5 from 20 on, not from 40 on, and again from 60 on; it can be taken back once more. Before a ×0.9 of 30."""
    job = started()
    first = job.change(factor=0.5, at=20).change
    job.change(factor=0.9, at=30)
    back = job.change("revert", change=first.id, at=40).change
    again = job.change("revert", change=back.id, at=60).change
    lrs = [0.1, 0.05, 0.05 * 0.9, 0.1 * 0.9, 0.1 * 0.9, 0.05 * 0.9]
    assert [job.lr(n) for n in (19, 20, 39, 40, 59, 60)] == pytest.approx(lrs, rel=1e-15)
    assert statuses(job, 1) == ["scheduled"] * 4
    job.run_to(50)
    assert statuses(job, 1) == ["reverted", "applied", "applied", "scheduled"]
    job.run_to(70)
    assert statuses(job, 1) == ["applied", "applied", "reverted", "applied"]
    with pytest.raises(NotInForce, match=f"is reverted by {again.id}"):
        job.change("revert", change=back.id, at=100)
    job.change("revert", change=first.id, at=100)
    assert [job.lr(n) for n in (99, 100)] == pytest.approx([0.1 * 0.45, 0.1 * 0.9], rel=1e-15)


def test_a_revert_that_would_bring_back_too_much_is_refused() -> None:
    """Values may grow 1e100 times by all changes together: with sixteen of ×10⁶ in force, no seventeenth comes back."""
    job = started()
    made = [job.change(factor=1e6, at=20, confirm=True).change for _ in range(16)]
    back = job.change("revert", change=made[3].id).change
    job.change(factor=1e6, at=30, confirm=True)
    before = job.run
    with pytest.raises(InvalidSpec, match="1e100 times, all together"):
        job.change("revert", change=back.id, confirm=True)
    assert job.run == before


def test_a_revert_of_what_has_ended_by_itself_is_refused_and_so_is_its_revert() -> None:
    """201 for what does nothing would be a false answer."""
    job = started()
    first = job.change(factor=0.5, at=20, until=50).change
    back = job.change("revert", change=first.id, at=30).change
    with pytest.raises(NotInForce, match=f"{first.id} ends at 50 by itself"):
        job.change("revert", change=back.id, at=50)


def test_rule_02_current_is_a_number_and_computed_again_where_e_moves() -> None:
    """The LR that iteration E would have without the hold, by what was accepted before it."""
    job = started(COSINE)
    job.change(factor=0.5, at=11)
    held = job.change("hold", value="current").change
    plain = job.shelf.curve(job.events[0].data["schedule"])
    assert held.placement.value == {"default": plain.lr(11)[0] * 0.5}
    job.ask(11, 11, overrun=Overrun(11, 40, 1))
    found = job.run.change_of(held.id)
    assert found is not None
    assert (found.effect, found.placement.value) == (40, {"default": plain.lr(40)[0] * 0.5})


# 3. a window is a length of time


@pytest.mark.parametrize(
    ("iteration_s", "lease_s", "expected"),
    [(0.5, 5.0, 10), (10.0, 5.0, 2), (0.001, 5.0, 64), (2.0, 60.0, 30), (None, 5.0, 10), (float("nan"), 5.0, 10)],
)
def test_rule_03_a_window_is_a_length_of_time(iteration_s: float | None, lease_s: float, expected: int) -> None:
    """clamp(lease_s / iteration_s, 2, cap); a first one before anything is known."""
    limits = Limits(window_cap=64, first_window=10)
    assert windows.iterations_per_window(iteration_s, lease_s, limits) == expected


def test_rule_03_a_request_that_needs_nothing_is_a_heartbeat() -> None:
    """An empty window at the end of what the speaker has."""
    job = started()
    job.now += 2
    window = job.ask(1, 11)
    assert (window.start, window.stop) == (11, 11)
    assert job.run.attempts[-1].heard_at == job.now


# 4. concurrency


def test_rule_04_a_change_needs_an_etag_and_a_key() -> None:
    """428 without either, 412 when the run has moved."""
    job = started()
    request = changes.ChangeRequest({"op": "scale", "factor": 0.9}, "why", "ann")
    for precondition in (changes.Precondition(job.run.etag, None), changes.Precondition(None, "key")):
        with pytest.raises(PreconditionRequired):
            changes.change(job.run, request, precondition, "c", job.now, job.shelf)
    seen = job.run.etag
    job.change(factor=0.9)
    with pytest.raises(PreconditionFailed):
        job.change(factor=0.9, if_match=seen)
    seen = job.run.etag
    job.attach(5)
    with pytest.raises(PreconditionFailed):
        job.change(factor=0.9, if_match=seen)


def test_rule_04_the_key_is_looked_up_before_the_etag() -> None:
    """A retry gets the first answer though the run has moved by it; another request under the key is a 422."""
    job = started()
    seen = job.run.etag
    first = job.change(factor=0.9, key="k", if_match=seen)
    again = job.change(factor=0.9, key="k", if_match=seen)
    assert (again.change.id, again.effect, again.is_repeated) == (first.change.id, first.effect, True)
    assert len(job.run.changes) == 1
    with pytest.raises(KeyReused):
        job.change(factor=0.8, key="k", if_match=seen)
    # Another author's key is another key.
    assert not job.change(factor=0.8, key="k", author="bob").is_repeated


@pytest.mark.parametrize("why", ["", "  \n"])
def test_rule_04_a_change_says_why(why: str) -> None:
    """A blank reason is none."""
    job = started()
    with pytest.raises(InvalidSpec) as refused:
        job.change(factor=0.9, why=why)
    assert [each.pointer for each in refused.value.violations] == ["/why"]


def test_rule_04_an_operation_is_refused_at_its_place() -> None:
    """By JSON pointer, whatever the number of amendments before it."""
    job = started()
    job.change(factor=0.9)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"op": "scale", "factor": -1}, "/operation/factor"),
        ({"op": "scal", "factor": 1}, "/operation/op"),
        ({"op": "hold", "value": 1, "param_groups": ["x"]}, "/operation/param_groups/0"),
        ({"op": "hold", "value": "current", "param_groups": ["x"]}, "/operation/param_groups/0"),
        ({"op": "scale", "factor": 1, "start": 3}, "/operation/start"),
        ({"op": "rewarm", "iterations": "5tok"}, "/operation/iterations"),
        ({"op": "scale", "factor": 1, "at": "5tok"}, "/at"),
        ({"op": "scale", "factor": 1, "until": 50, "for_iterations": 3}, "/for_iterations"),
    ]
    for fields, pointer in wrong:
        with pytest.raises(InvalidSpec) as refused:
            job.change(**fields)
        assert pointer in [each.pointer for each in refused.value.violations]


# 5. dry run


def test_rule_05_a_dry_run_is_the_same_transaction_thrown_away() -> None:
    """E, LRs around it, the end and the sum from E on, before and after; the run is as it was."""
    job = started()
    before = job.run
    outcome = job.tried(factor=0.5, at=500)
    assert outcome.schedule is not None
    found = preview(outcome.answer.effect, job.shelf.curve(before.schedule_id), job.shelf.curve_of(outcome.schedule))
    assert found.effect == 500
    assert found.before.values == {n: {"default": 0.1} for n in (499, 500, 501, 1000)}
    halved = {"default": 0.05}
    assert found.after.values == {499: {"default": 0.1}, 500: halved, 501: halved, 1000: halved}
    assert (found.before.total_iterations, found.after.total_iterations) == (1000, 1000)
    assert found.before.sums is not None
    assert found.after.sums is not None
    assert (found.before.sums["default"], found.after.sums["default"]) == pytest.approx((50.1, 25.05))
    assert job.run == before


def test_rule_05_what_may_not_be_meant_needs_a_confirmation() -> None:
    """A factor outside ¼ … 2, or an LR above any so far; the bounds themselves are in."""
    job = started()
    unusual: list[dict[str, Any]] = [{"factor": 0.2}, {"factor": 2.1}, {"op": "hold", "value": 0.11}]
    for fields in unusual:
        with pytest.raises(ConfirmationRequired):
            job.change(**fields)
        job.change(**fields, confirm=True)
    job.change(factor=0.25)
    job.change(factor=2.0)  # what it scales is lower than what has been


def test_reductions_what_a_change_was_checked_by_is_what_it_makes() -> None:
    """Made once: of a run with hundreds of changes that is most of the time for which it is held."""
    job = Script()
    for number in range(1, 4):
        added = {"op": "scale", "factor": 0.5, "start": job.run.horizon, "change": f"c{number}"}
        checked = amended(job.run, [*(amendment for _, amendment in in_fold(job.run)), added])
        assert job.save(job.tried(factor=0.5)).schedule is checked
