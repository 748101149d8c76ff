"""What RemoteLR says of a loop that keeps its LRs from being the schedule's, and what it says nothing of."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler, swa_utils

from preheat_client import Preheat
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC, optimizer, torch_stepped

STEP_LR = {"target_lr": 0.1, "total_iterations": 90, "after_scheduler": {"type": "StepLR", "step_size": 30}}
LONG = {"target_lr": 0.1, "total_iterations": 100_000}


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Warnings of the client since it was asked last."""

    def messages() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        caplog.clear()
        return found

    return messages


@pytest.mark.parametrize("first", [0, 1])
def test_a_schedule_in_epochs_is_stepped_by_epoch(preheat: Preheat, said: Any, first: int) -> None:
    """90 epochs of 50 updates run at StepLR's LRs as torch steps it; first_iteration=0 is where torch begins."""
    expected = [row[0] for row in torch_stepped({"type": "StepLR", "step_size": 30}, (0.1,), 90)]
    on = optimizer(1.0)
    remote = RemoteLR(on, preheat.create(STEP_LR), first, unit="epoch")
    used = []
    for _ in range(90):
        used.append(on.param_groups[0]["lr"])
        for _ in range(50):
            on.step()
            assert on.param_groups[0]["lr"] == used[-1]
        remote.step()
        remote.step()  # as accelerate does, once for every process
    assert used == expected[first : first + 90]
    assert said() == []


@pytest.mark.parametrize(("updates", "epochs"), [(45, 2), (3, 2), (46, 1), (5000, 1)])
def test_stepping_by_epoch_is_told_at_once(preheat: Preheat, said: Any, updates: int, epochs: int) -> None:
    """At the second step; at the first, if half of the schedule is over. It says both ways out, and says it once."""
    on = optimizer(1.0)
    remote = RemoteLR(on, preheat.create(STEP_LR))
    for epoch in range(1, 5):
        for _ in range(updates):
            on.step()
        remote.step()
        messages = [message for message in said() if "past the end" not in message]
        assert len(messages) == (epoch == epochs)
        if messages:
            assert f"once for {updates} updates" in messages[0]
            assert 'unit="epoch"' in messages[0]
            assert "after every update" in messages[0]


def test_stepping_by_epoch_is_told_in_long_schedules_too(preheat: Preheat, said: Any) -> None:
    """300 epochs of 391 updates under a schedule in updates: each LR is held for an epoch."""
    on = optimizer(1.0)
    remote = RemoteLR(on, preheat.create(LONG))
    for _ in range(2):
        assert said() == []
        for _ in range(391):
            on.step()
        remote.step()
    assert len(said()) == 1


@pytest.mark.parametrize("accumulated", [1, 100, 499])
def test_accumulated_gradients_are_no_reason_to_speak(preheat: Preheat, said: Any, accumulated: int) -> None:
    """Nor are updates that are skipped, or several between two steps now and then."""
    on = optimizer(1.0)
    remote = RemoteLR(on, preheat.create(LONG))
    for update in range(1, 8):
        for _ in range(accumulated):
            remote.step()
        if update % 3:
            on.step()
        remote.step()
    for _ in range(20):
        for _ in range(5):
            on.step()
        remote.step()
    for _ in range(300):  # an epoch without a step, once
        on.step()
    remote.step()
    assert said() == []


def test_an_lr_that_something_else_sets_is_told_once(preheat: Preheat, said: Any) -> None:
    """A plateau beside it: what it reduces is set again, and the message names it with the remedy."""
    on = optimizer(1.0)
    remote = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    plateau = lr_scheduler.ReduceLROnPlateau(on, factor=0.5, patience=0)
    used = []
    for _ in range(20):
        used.append(str(on.param_groups[0]["lr"]))
        on.step()
        remote.step()
        plateau.step(1.0)
    (message,) = said()
    assert "had set to 0.003 was 0.0015 at its next step" in message
    assert "ReduceLROnPlateau" in message
    assert used[:3] == ["0.001", "0.002", "0.0015"]


def test_optimizer_states_and_tensors_are_nobody_elses_lrs(preheat: Preheat, said: Any) -> None:
    """Loading an optimizer's state brings its LR, and a Tensor is a rounded one."""
    for lr in (1.0, torch.tensor(1.0)):
        on = optimizer(lr)  # type: ignore[arg-type] # as torch takes it
        remote = RemoteLR(on, preheat.create(REFERENCE_SPEC))
        before = on.state_dict()
        for n in range(1, 21):
            if n == 7:
                on.load_state_dict(before)
            on.step()
            remote.step()
    assert said() == []


@pytest.mark.parametrize(("first", "loads"), [(1, False), (1, True), (8, False)])
def test_a_scheduler_whose_state_was_not_loaded_is_told(preheat: Preheat, said: Any, first: int, loads: bool) -> None:
    """A warm-up that begins again in a resumed run is told at its first update; a run that is taken over is not."""
    schedule = preheat.create(REFERENCE_SPEC)
    before = optimizer(1.0)
    saved = RemoteLR(before, schedule)
    for _ in range(7):
        before.step()
        saved.step()
    on = optimizer(1.0)
    remote = RemoteLR(on, schedule, first)
    if loads:
        remote.load_state_dict(saved.state_dict())
    on.load_state_dict(before.state_dict())
    on.step()
    is_forgotten = not loads and first == 1
    assert on.param_groups[0]["lr"] == (0.001 if is_forgotten else 0.008)
    messages = said()
    assert len(messages) == is_forgotten
    assert all("with an LR of 0.008, and RemoteLR begins at iteration 1 with 0.001" in each for each in messages)


def test_swalr_goes_on_where_it_ends(preheat: Preheat, said: Any) -> None:
    """A loop that steps one or the other, as torch's documentation has it."""
    on = optimizer(0.01)
    remote = RemoteLR(on, preheat.create({**REFERENCE_SPEC, "after_scheduler": None}))
    swa = swa_utils.SWALR(on, swa_lr=0.002, anneal_epochs=5)
    used = []
    for update in range(1, 21):
        used.append(on.param_groups[0]["lr"])
        on.step()
        (remote if update < 13 else swa).step()
    share = [(1 - math.cos(math.pi * step / 5)) / 2 for step in range(1, 6)]
    annealed = [0.01 + (0.002 - 0.01) * each for each in share]
    assert used[:13] == [float(row) for row in REFERENCE_ROWS[:10]] + [0.01] * 3
    assert used[13:18] == pytest.approx(annealed, rel=1e-9)
    assert said() == []


@pytest.mark.parametrize("place", [0, 1])
def test_a_chained_scheduler_with_others_is_refused_by_name(preheat: Preheat, place: int) -> None:
    """At its first step: the schedule's LRs cannot be multiplied there. Alone it is stepped."""
    on = optimizer(1.0)
    schedulers: list[Any] = [lr_scheduler.ExponentialLR(on, 0.9)]
    schedulers.insert(place, RemoteLR(on, preheat.create(REFERENCE_SPEC)))
    chain = lr_scheduler.ChainedScheduler(schedulers, on)
    on.step()
    with pytest.raises(ValueError, match=r"must not be in a ChainedScheduler with others.*ProductLR"):
        chain.step()
    alone = lr_scheduler.ChainedScheduler([RemoteLR(on, preheat.create(REFERENCE_SPEC))], on)
    for row in REFERENCE_ROWS:
        assert str(on.param_groups[0]["lr"]) == row
        on.step()
        alone.step()
