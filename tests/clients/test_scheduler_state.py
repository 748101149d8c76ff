"""States that RemoteLR is given: its own, those of torch's schedulers, and what is none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from preheat_client import Preheat, ScheduleMismatch
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC, optimizer


def chained(on: torch.optim.Optimizer) -> lr_scheduler.ChainedScheduler:
    """A scheduler whose state has last_epoch in its parts alone."""
    return lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(on, 0.9), lr_scheduler.StepLR(on, 3)], on)


@pytest.mark.parametrize(
    "make",
    [
        lambda on: lr_scheduler.CosineAnnealingLR(on, 20),
        lambda on: lr_scheduler.OneCycleLR(on, 0.1, total_steps=20),
        lambda on: lr_scheduler.SequentialLR(
            on, [lr_scheduler.LinearLR(on), lr_scheduler.CosineAnnealingLR(on, 9)], [5]
        ),
        chained,
    ],
)
def test_a_run_of_torchs_schedulers_is_taken_over(preheat: Preheat, make: Callable[[Any], Any]) -> None:
    """The error says how, and what it says goes on at the update that is due."""
    on = optimizer(1.0)
    theirs = make(on)
    for _ in range(7):
        on.step()
        theirs.step()
    schedule = preheat.create(REFERENCE_SPEC)
    with pytest.raises(ScheduleMismatch, match=r"another scheduler.*first_iteration=8") as refused:
        RemoteLR(on, schedule).load_state_dict(theirs.state_dict())
    assert 'unit="epoch"' in str(refused.value)
    RemoteLR(on, schedule, first_iteration=8)
    assert str(on.param_groups[0]["lr"]) == REFERENCE_ROWS[7]


@pytest.mark.parametrize(
    "state", [{}, {"schedule_id": "x"}, {"iteration": 3}, {"iteration": "3", "schedule_id": "x"}, {"last_epoch": None}]
)
def test_a_state_that_does_not_say_where_it_was_is_refused(preheat: Preheat, state: dict[str, Any]) -> None:
    """The error names its keys and the way out, and changes nothing."""
    on = optimizer(1.0)
    remote = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    with pytest.raises(ScheduleMismatch, match=r"do not say where.*first_iteration=<updates performed> \+ 1"):
        remote.load_state_dict(state)
    assert (remote.iteration, on.param_groups[0]["lr"]) == (1, 0.001)


def test_what_is_no_dict_is_named(preheat: Preheat) -> None:
    """A checkpoint's path, say."""
    remote = RemoteLR(optimizer(1.0), preheat.create(REFERENCE_SPEC))
    with pytest.raises(TypeError, match=r"state_dict \('scheduler.pt'\) must be a dict"):
        remote.load_state_dict("scheduler.pt")  # type: ignore[arg-type]


def test_a_state_of_before_there_were_units_is_one_of_updates(preheat: Preheat) -> None:
    """It goes on as it did; a scheduler that counts epochs refuses it."""
    schedule = preheat.create(REFERENCE_SPEC)
    old = {"iteration": 7, "schedule_id": schedule.id}
    on = optimizer(1.0)
    RemoteLR(on, schedule).load_state_dict(old)
    assert str(on.param_groups[0]["lr"]) == REFERENCE_ROWS[6]
    with pytest.raises(ScheduleMismatch, match='counts by update, this RemoteLR by epoch: construct it with unit="upd'):
        RemoteLR(on, schedule, unit="epoch").load_state_dict(old)
    epochs = RemoteLR(on, schedule, unit="epoch").state_dict()
    with pytest.raises(ScheduleMismatch, match="counts by epoch, this RemoteLR by update"):
        RemoteLR(on, schedule).load_state_dict(epochs)


def test_a_state_loads_with_weights_only(preheat: Preheat, tmp_path: Any) -> None:
    """torch.load's default, whatever type of number was stepped to."""
    remote = RemoteLR(optimizer(1.0, 0.5), preheat.create(REFERENCE_SPEC), group_lrs="scale")
    remote.step(torch.tensor(7))  # type: ignore[arg-type] # an index all the same
    torch.save(remote.state_dict(), tmp_path / "scheduler.pt")
    again = RemoteLR(optimizer(1.0, 0.5), preheat.create(REFERENCE_SPEC), group_lrs="scale")
    again.load_state_dict(torch.load(tmp_path / "scheduler.pt"))
    assert again.get_last_lr() == [float(REFERENCE_ROWS[6]), float(REFERENCE_ROWS[6]) / 2]


@pytest.mark.parametrize("first", [np.int64(8), torch.tensor(8)])
def test_a_state_of_before_the_first_step_is_gone_on_from(preheat: Preheat, tmp_path: Any, first: Any) -> None:
    """Whatever type of number the first iteration was."""
    schedule = preheat.create(REFERENCE_SPEC)
    torch.save(RemoteLR(optimizer(1.0), schedule, first).state_dict(), tmp_path / "scheduler.pt")
    on = optimizer(1.0)
    RemoteLR(on, schedule).load_state_dict(torch.load(tmp_path / "scheduler.pt"))
    assert str(on.param_groups[0]["lr"]) == REFERENCE_ROWS[7]


def test_a_state_that_is_saved_before_the_step_counts_the_update(preheat: Preheat) -> None:
    """The update was performed: a run that is resumed from there does not repeat its LR, nor lag from then on."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    for _ in range(7):
        on.step()
        scheduler.step()
    on.step()
    saved, of_optimizer = scheduler.state_dict(), on.state_dict()
    scheduler.step()
    assert saved == scheduler.state_dict()
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    scheduler.load_state_dict(saved)
    on.load_state_dict(of_optimizer)
    scheduler.step()  # with no update since: that of the loop which saved
    used = []
    for _ in range(12):
        on.step()
        used.append(str(on.param_groups[0]["lr"]))
        scheduler.step()
    assert used == list(REFERENCE_ROWS)[8:]
