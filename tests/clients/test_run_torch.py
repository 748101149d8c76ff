"""RemoteLR over a run: construction and loading look, the first update attaches, and a step reads memory."""

import copy
import gc
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR, SequentialLR

from preheat_client import ParamGroupMismatch, Preheat, RunState, RunSuperseded, ScheduleMismatch
from preheat_client.torch import RemoteLR
from running_service import wait_until
from support.fake_runs import SPEC
from support.toy_runs import RUN

SOON_S = 60.0


def optimizer(lr: Any = 1.0) -> SGD:
    """One param group."""
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def trained(on: SGD, scheduler: RemoteLR, updates: int) -> list[float]:
    """The LR of each update, as the optimizer has it while it steps."""
    used: list[float] = []
    hook = on.register_step_post_hook(lambda *_: used.append(float(on.param_groups[0]["lr"])))
    for _ in range(updates):
        on.step()
        scheduler.step()
    hook.remove()
    return used


def planned(start: int, stop: int, factor: float = 1.0) -> list[float]:
    """What the spec says."""
    return [n / 1_000_000 * factor for n in range(start, stop)]


def test_construction_looks_and_the_first_update_attaches(runs: Any) -> None:
    """A change before it is in the first LR that is used, though the optimizer had shown another one."""
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        on = optimizer()
        scheduler = RemoteLR(on, run)
        assert on.param_groups[0]["lr"] == 0.000001
        scheduler.step()  # without an update
        assert runs.toy.attempts == []
        runs.toy.change(0.5)
        assert trained(on, scheduler, 200) == planned(1, 201, 0.5)
        assert scheduler.iteration == 201
        wait_until(lambda: runs.toy.attempts[0].position == 201, SOON_S)
    (attempt,) = runs.toy.attempts
    assert [attempt.record[n] for n in range(1, 201)] == planned(1, 201, 0.5)
    assert (attempt.start, attempt.position) == (1, 201)


def test_a_resume_opens_one_attempt(runs: Any) -> None:
    """Making the scheduler and loading both states open none; the first update does, at the iteration that is due."""
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        trained(on, scheduler, 20)
        states = copy.deepcopy((on.state_dict(), scheduler.state_dict()))
        trained(on, scheduler, 10)
    assert {name: states[1][name] for name in ("run", "attempt", "iteration")} == {
        "run": RUN, "attempt": 1, "iteration": 21,
    }  # fmt: skip
    assert not any(isinstance(value, float) for value in states[1].values())
    runs.toy.change(0.5, at=25)
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        on.load_state_dict(states[0])
        scheduler.load_state_dict(states[1])
        assert len(runs.toy.attempts) == 1
        effect = runs.toy.changes[0].effects[2]
        assert effect > 30
        lrs = trained(on, scheduler, effect + 50)
        assert lrs == planned(21, effect) + planned(effect, effect + 71, 0.5)
    second = runs.toy.attempts[1]
    assert second.start == 21
    checkpoint = runs.service.asked("attempts")[1]["checkpoint"]
    assert (checkpoint["attempt"], checkpoint["position"]) == (1, 21)


def test_an_evaluation_that_loads_a_checkpoint_opens_none(runs: Any) -> None:
    """Nor does a copy of the scheduler, or one that is thrown away."""
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        scheduler.load_state_dict({**scheduler.state_dict(), "iteration": 500})
        assert on.param_groups[0]["lr"] == 0.0005
        copy.deepcopy(scheduler)
        del scheduler
        gc.collect()
    assert runs.service.asked("attempts") == []


def test_a_copy_looks_and_never_speaks_for_the_run(runs: Any) -> None:
    """Its steps leave the run's position to the loop; its update is refused, and its state is that of the moment."""
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        trained(on, scheduler, 20)
        twin: RemoteLR = copy.deepcopy(scheduler)
        saved = scheduler.state_dict()
        assert twin.state_dict() == saved
        for n in range(5_000, 5_050):
            twin.step(n)
        assert twin.get_last_lr() == planned(5_049, 5_050)
        with pytest.raises(RuntimeError, match=r"copy of one that trains <run llama.*with the original"):
            twin.optimizer.step()
        assert trained(on, scheduler, 40) == planned(21, 61)
        wait_until(lambda: runs.toy.attempts[0].position == 61, SOON_S)
        assert runs.toy.attempts[0].handed < 5_000
        assert twin.state_dict() == {**saved, "iteration": 5_049}
        scheduler.load_state_dict({**twin.state_dict(), "iteration": 21})
        assert trained(on, scheduler, 10) == planned(21, 31)
        assert [attempt.start for attempt in runs.toy.attempts] == [1, 21]


def test_a_copy_of_before_the_first_update_trains(runs: Any) -> None:
    """Frameworks copy what they are given, and throw the original away."""
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        twin = copy.deepcopy(RemoteLR(optimizer(), run))
        assert isinstance(twin.optimizer, SGD)
        assert trained(twin.optimizer, twin, 40) == planned(1, 41)
        wait_until(lambda: runs.toy.attempts[0].position == 41, SOON_S)


def test_a_pickled_one_attaches_at_its_first_update_elsewhere(runs: Any) -> None:
    """In another process, from where it was, as from a checkpoint; also if the last update was not stepped for yet."""
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        trained(on, scheduler, 20)
        pickles = [pickle.dumps(scheduler)]
        on.step()
        pickles.append(pickle.dumps(scheduler))
    script = (
        "import pickle, sys; scheduler = pickle.loads(bytes.fromhex(sys.argv[1])); on = scheduler.optimizer\n"
        "for _ in range(3): on.step(); print(on.param_groups[0]['lr']); scheduler.step()\n"
    )
    for pickled, first in zip(pickles, (21, 22), strict=True):
        command = [sys.executable, "-c", script, pickled.hex()]
        told = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True, timeout=120)
        assert [float(lr) for lr in told.stdout.split()] == planned(first, first + 3)
        attempt = runs.toy.attempts[-1]
        assert (attempt.start, attempt.position, attempt.is_closed) == (first, first + 3, True)
        checkpoint = runs.service.asked("attempts")[-1]["checkpoint"]
        assert (checkpoint["attempt"], checkpoint["position"]) == (1, first)


def test_a_state_of_before_the_first_update_opens_an_attempt(runs: Any) -> None:
    """A loop that begins again at the beginning is another life, as one that goes back to any other checkpoint."""
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        pairs = [(on, RemoteLR(on, run)) for on in (optimizer(), optimizer())]
        state = pairs[0][1].state_dict()
        for on, scheduler in pairs:
            trained(on, scheduler, 20)
        for _, scheduler in pairs:
            scheduler.load_state_dict(state)
        for on, scheduler in pairs:
            assert trained(on, scheduler, 10) == planned(1, 11)
        assert [attempt.start for attempt in runs.toy.attempts] == [1, 1]
        wait_until(lambda: runs.toy.attempts[1].position == 11, SOON_S)


def test_a_state_that_is_saved_again_before_an_update_is_of_the_same_attempt(runs: Any) -> None:
    """A job that is stopped right after it was resumed loses nothing of what its checkpoint knew."""
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        trained(on, scheduler, 20)
        state = scheduler.state_dict()
    with Preheat(runs.url) as preheat:
        scheduler = RemoteLR(optimizer(), preheat.run("llama", SPEC))
        scheduler.load_state_dict(state)
        assert scheduler.state_dict() == state


def test_a_state_of_another_schedule_is_refused_both_ways(runs: Any, url: str) -> None:
    """A run's state for a schedule, and a schedule's for a run; it says how to take over."""
    with Preheat(runs.url) as preheat, Preheat(url) as other:
        of_run = RemoteLR(optimizer(), preheat.run("llama", SPEC))
        of_schedule = RemoteLR(optimizer(), other.create({"target_lr": 0.1, "total_iterations": 20}))
        with pytest.raises(ScheduleMismatch, match=r"that of schedule .*first_iteration=1"):
            of_run.load_state_dict(of_schedule.state_dict())
        with pytest.raises(ScheduleMismatch, match=f"belongs to run {RUN}.*first_iteration=1"):
            of_schedule.load_state_dict(of_run.state_dict())


def test_two_optimizers_share_one_attachment(runs: Any) -> None:
    """Also after both were resumed; one that lags behind reads from the record what it is yet to run."""
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        pairs = [(on, RemoteLR(on, run)) for on in (optimizer(), optimizer())]
        for on, scheduler in pairs:
            assert trained(on, scheduler, 30) == planned(1, 31)
        fast, slow = pairs
        trained(*fast, 90)
        states = [scheduler.state_dict() for _, scheduler in pairs]
        assert [state["iteration"] for state in states] == [121, 31]
        trained(*fast, 10)
        for (_, scheduler), state in zip(pairs, states, strict=True):
            scheduler.load_state_dict(state)
        assert len(runs.toy.attempts) == 1
        assert trained(*fast, 40) == planned(121, 161)
        assert trained(*slow, 200) == planned(31, 231)
        assert len(runs.toy.attempts) == 2


def test_a_state_that_is_where_the_loop_is_opens_none(runs: Any) -> None:
    """Loading what was saved a moment ago is no rewind; loading it again later is one, each time."""
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        trained(on, scheduler, 10)
        state = scheduler.state_dict()
        scheduler.load_state_dict(state)
        trained(on, scheduler, 5)
        assert len(runs.toy.attempts) == 1
        for attempts in (2, 3):
            scheduler.load_state_dict(state)
            assert trained(on, scheduler, 60) == planned(11, 71)
            assert len(runs.toy.attempts) == attempts
            assert [runs.toy.attempts[-1].record[n] for n in range(11, 71)] == planned(11, 71)
            wait_until(lambda: runs.toy.attempts[-1].position == 71, SOON_S)


def test_a_rewind_reads_nothing_that_the_attempt_before_was_handed(runs: Any) -> None:
    """A change that comes right after it takes effect, where the old windows had gone on without."""
    runs.toy.lease_s = 5.0
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        trained(on, scheduler, 300)
        state = scheduler.state_dict()
        trained(on, scheduler, 3)
        far = runs.toy.attempts[0].handed
        scheduler.load_state_dict(state)
        assert trained(on, scheduler, 1) == planned(301, 302)
        assert runs.toy.attempts[0].position == 304  # what ran in the attempt that was left
        effect = runs.toy.change(0.5)
        assert effect < far
        lrs = trained(on, scheduler, far)
        assert lrs == planned(302, effect) + planned(effect, 302 + far, 0.5)


def test_a_tensor_lr_and_several_groups_run_at_their_shares(runs: Any) -> None:
    """Binding is that of schedules."""
    runs.service.spec = {"target_lr": 0.1, "total_iterations": 100_000, "warmup": {"iterations": 100_000}}
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.5)]
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        with pytest.raises(ParamGroupMismatch):
            RemoteLR(SGD(groups), run)
        on = SGD(groups)
        scheduler = RemoteLR(on, run, group_lrs="scale")
        trained(on, scheduler, 30)
        assert [group["lr"] for group in on.param_groups] == [0.000031, 0.0000155]
        on = optimizer(torch.tensor(1.0, dtype=torch.float64))
        tensor = on.param_groups[0]["lr"]
        scheduler = RemoteLR(on, run)
        trained(on, scheduler, 3)
        assert on.param_groups[0]["lr"] is tensor
        assert float(tensor) == 0.000004


def test_epochs_are_the_iterations_of_a_run_that_counts_them(runs: Any) -> None:
    """Three updates an epoch, one step."""
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC), unit="epoch")
        for epoch in range(1, 40):
            for _ in range(3):
                on.step()
                assert on.param_groups[0]["lr"] == epoch / 1_000_000
            scheduler.step()
        wait_until(lambda: runs.toy.attempts[0].position == 40, SOON_S)


def test_the_step_after_the_last_update_is_no_overrun(runs: Any) -> None:
    """The next update is one, and on record before it is over."""
    runs.toy.total = 30
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        on = optimizer()
        scheduler = RemoteLR(on, run)
        assert trained(on, scheduler, 30) == planned(1, 31)
        wait_until(lambda: runs.toy.attempts[0].position == 31, SOON_S)
        assert run.status.state is RunState.READY
        assert 31 not in runs.toy.attempts[0].record
        assert trained(on, scheduler, 2) == [0.00003, 0.00003]
        assert str(run.status.state) == "OVERRUN"
        wait_until(lambda: {31, 32} <= runs.toy.attempts[0].record.keys(), SOON_S)


def test_a_zombie_raises_at_its_next_step(runs: Any) -> None:
    """Though what it was handed is still in memory."""
    with Preheat(runs.url) as old, Preheat(runs.url) as new:
        run = old.run("llama", SPEC)
        on = optimizer()
        scheduler = RemoteLR(on, run)
        trained(on, scheduler, 3)
        other = new.run("llama", SPEC, take_over=True)
        other.lr(4)
        wait_until(lambda: run.status.state is RunState.SUPERSEDED, SOON_S)
        with pytest.raises(RunSuperseded):
            trained(on, scheduler, 1)


class TestAmongOthers:
    """Torch's combined schedulers set LRs of which a record would know nothing: a run must not be in one."""

    def test_the_first_of_a_sequential_lr_is_refused_where_that_is_made(self, runs: Any) -> None:
        """Before any update, also by a SequentialLR of one."""
        with Preheat(runs.url) as preheat:
            on = optimizer()
            first = RemoteLR(on, preheat.run("llama", SPEC))
            with pytest.raises(ValueError, match="put all phases into its spec"):
                SequentialLR(on, [first, ConstantLR(on)], [1])
            with pytest.raises(ValueError, match="put all phases into its spec"):
                SequentialLR(on, [first], [])
        assert runs.toy.attempts == []

    def test_a_later_one_of_a_sequential_lr_is_refused_at_the_first_update(self, runs: Any) -> None:
        """Before it attaches: the first scheduler's LRs would not be those that the run has on record."""
        with Preheat(runs.url) as preheat:
            on = optimizer()
            sequence = SequentialLR(on, [ConstantLR(on), RemoteLR(on, preheat.run("llama", SPEC))], [1])
            with pytest.raises(ValueError, match="put all phases into its spec"):
                on.step()
            with pytest.raises(ValueError, match="put all phases into its spec"):
                sequence.step()
        assert runs.toy.attempts == []

    @pytest.mark.parametrize("is_first", [True, False])
    def test_in_a_chained_scheduler_it_is_refused_at_the_first_step(self, runs: Any, *, is_first: bool) -> None:
        """Though the update before has attached."""
        with Preheat(runs.url) as preheat:
            on = optimizer()
            pair = [RemoteLR(on, preheat.run("llama", SPEC)), ExponentialLR(on, 0.9)]
            chain = ChainedScheduler(pair if is_first else pair[::-1])
            on.step()
            with pytest.raises(ValueError, match="must not be in a ChainedScheduler"):
                chain.step()


def test_a_gradient_that_is_accumulated_is_no_update(runs: Any) -> None:
    """Four steps of the scheduler for each update of the optimizer."""
    with Preheat(runs.url) as preheat:
        on = optimizer()
        scheduler = RemoteLR(on, preheat.run("llama", SPEC))
        for n in range(1, 60):
            for _ in range(3):
                scheduler.step()
            on.step()
            assert on.param_groups[0]["lr"] == n / 1_000_000
            scheduler.step()
    assert [body["position"] for body in runs.service.asked("windows")][-1] <= 60


class TestWhatTheOptimizerHad:
    """Rule 13: what is told is the LR that an update ran at; where it is not the one on record, that is an alarm."""

    def told(self, runs: Any) -> list[tuple[int, Any]]:
        """Iterations and LRs that were told and were not handed out."""
        record = {n: lr for attempt in runs.toy.attempts for n, lr in attempt.record.items()}
        told = [(each["iteration"], each["lrs"]) for each in runs.toy.told]
        return [(n, lrs) for n, lrs in told if lrs != {"default": record.get(n)}]

    def test_an_lr_that_another_scheduler_overwrites_is_told(self, runs: Any, caplog: pytest.LogCaptureFixture) -> None:
        """The first, second, fourth … update that it was so of, and the log has it once."""
        with Preheat(runs.url) as preheat:
            on = optimizer()
            scheduler = RemoteLR(on, preheat.run("llama", SPEC))
            trained(on, scheduler, 10)
            other = ExponentialLR(on, 0.5)
            for _ in range(7):
                other.step()
                on.step()
                scheduler.step()
            assert trained(on, scheduler, 10) == planned(18, 28)
        assert self.told(runs) == [
            (n, {"default": lr / 2}) for n, lr in zip((11, 12, 14), (1.1e-5, 1.2e-5, 1.4e-5), strict=True)
        ]
        assert (
            caplog.text.count(
                "update 11 ran at an LR of {'default': 5.5e-06}, which is not the one that was handed out"
            )
            == 1
        )

    def test_an_lr_that_is_put_back_before_the_update_is_none(self, runs: Any) -> None:
        """What counts is what the optimizer has when it steps; a float that was loaded is the same number."""
        with Preheat(runs.url) as preheat:
            on = optimizer()
            scheduler = RemoteLR(on, preheat.run("llama", SPEC))
            for _ in range(20):
                on.step()
                on.param_groups[0]["lr"] = 7.0
                scheduler.step()
                on.load_state_dict(copy.deepcopy(on.state_dict()))
                on.param_groups[0]["lr"] = float(repr(on.param_groups[0]["lr"]))
            wait_until(lambda: runs.toy.told, SOON_S)
        assert self.told(runs) == []

    def test_a_tensor_and_groups_with_shares_are_told_as_the_lr_of_the_schedule(self, runs: Any) -> None:
        """The record has one LR; half of it was a group's share, and a Tensor is rounded as its type does."""
        runs.service.spec = {"target_lr": 0.1, "total_iterations": 100_000, "warmup": {"iterations": 100_000}}
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": torch.tensor(lr)} for lr in (1.0, 0.5)]
        with Preheat(runs.url) as preheat:
            on = SGD(groups)
            scheduler = RemoteLR(on, preheat.run("llama", SPEC), group_lrs="scale")
            trained(on, scheduler, 10)
            on.param_groups[1]["lr"].fill_(0.25)
            on.step()
            scheduler.step()
            trained(on, scheduler, 10)
        assert self.told(runs) == [(11, {"default": 0.5})]

    def test_what_was_not_answered_is_told_again(self, runs: Any) -> None:
        """An outage loses no alarm; nor does a goodbye."""
        with Preheat(runs.url) as preheat:
            on = optimizer()
            scheduler = RemoteLR(on, preheat.run("llama", SPEC))
            trained(on, scheduler, 10)
            runs.service.is_away = True
            on.param_groups[0]["lr"] = float("inf")
            on.step()
            asked = len(runs.service.asked("windows"))
            wait_until(lambda: len(runs.service.asked("windows")) > asked + 2, SOON_S)
            runs.service.is_away = False
        assert self.told(runs) == [(11, {"default": "Infinity"})]
