"""Whose updates RemoteLR counts: those of copies, of optimizers that are wrapped, and of one that gets another one."""

import copy
import gc
import importlib
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from preheat_client import Schedule
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, optimizer


def used(on: Any, remote: Any, updates: int) -> list[str]:
    """LRs of so many updates."""
    found = []
    for _ in range(updates):
        found.append(str(on.param_groups[0]["lr"]))
        on.step()
        remote.step()
    return found


def pickled(what: Any) -> Any:
    """A copy that went through bytes."""
    return pickle.loads(pickle.dumps(what))  # noqa: S301 - our own


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
@pytest.mark.parametrize("pending", [0, 1, 2])
def test_a_copy_of_optimizer_and_scheduler_goes_on_by_itself(
    schedule: Schedule, copied: Callable[[Any], Any], pending: int
) -> None:
    """Both count their own updates, and those that were not stepped for before count in both."""
    on = optimizer(1.0)
    remote = RemoteLR(on, schedule)
    used(on, remote, 5)
    for _ in range(pending):
        on.step()
    on_copy, remote_copy = copied((on, remote))
    for each, scheduler in ((on_copy, remote_copy), (on, remote)):
        assert scheduler.optimizer is each
        scheduler.step()
        assert used(each, scheduler, 5) == list(REFERENCE_ROWS[5 + pending : 10 + pending])


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_of_the_scheduler_alone_drives_an_optimizer_of_its_own(
    schedule: Schedule, copied: Callable[[Any], Any]
) -> None:
    """As torch's do: the optimizer is copied with it, and the original is as it was."""
    on = optimizer(1.0)
    remote = RemoteLR(on, schedule)
    other = copied(remote)
    assert other.optimizer is not on
    assert used(other.optimizer, other, 20) == list(REFERENCE_ROWS)
    assert used(on, remote, 20) == list(REFERENCE_ROWS)


def test_a_copy_without_an_optimizer_of_its_own_does_not_take_it_away(schedule: Schedule) -> None:
    """A shallow copy says that it is not the one to step."""
    on = optimizer(1.0)
    remote = RemoteLR(on, schedule)
    shallow = copy.copy(remote)
    with pytest.raises(RuntimeError, match="was replaced"):
        shallow.step()
    assert used(on, remote, 20) == list(REFERENCE_ROWS)


def test_hooks_do_not_pile_up(schedule: Schedule) -> None:
    """A cell that is run again leaves one hook, and no scheduler behind; the last one counts each update once."""
    on = optimizer(1.0)
    first = RemoteLR(on, schedule)
    dropped = [weakref.ref(RemoteLR(on, schedule)) for _ in range(50)]
    last = RemoteLR(on, schedule)
    gc.collect()
    assert [reference() for reference in dropped] == [None] * 50
    assert len(on._optimizer_step_post_hooks) == 1
    assert used(on, last, 20) == list(REFERENCE_ROWS)
    for at in ((), (7,)):
        with pytest.raises(RuntimeError, match="was replaced: step the one that was constructed on the same optimizer"):
            first.step(*at)
    assert on.param_groups[0]["lr"] == 0.0
    held = weakref.ref(on)
    del on, first, last
    gc.collect()
    assert held() is None


def test_a_scheduler_that_could_not_be_made_replaces_none(schedule: Schedule) -> None:
    """The one before goes on."""
    on = optimizer(1.0)
    remote = RemoteLR(on, schedule)
    with pytest.raises(ValueError, match=r"unit \('epochs'\) must be one of 'update', 'epoch'"):
        RemoteLR(on, schedule, unit="epochs")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is not an Optimizer"):
        RemoteLR(torch.nn.Linear(1, 1), schedule)  # type: ignore[arg-type]
    assert used(on, remote, 20) == list(REFERENCE_ROWS)


class Wrapper:
    """As apex's and DeepSpeed's: no Optimizer, but one within."""

    def __init__(self, inner: Any) -> None:
        self.optimizer = inner

    @property
    def param_groups(self) -> Any:
        """Those of the one within."""
        return self.optimizer.param_groups

    def step(self) -> None:
        """Steps it."""
        self.optimizer.step()


def test_a_wrapped_optimizer_is_unwrapped(schedule: Schedule) -> None:
    """However deep it is: updates are seen where they are made."""
    on = optimizer(1.0)
    wrapper: Any = Wrapper(Wrapper(on))
    remote = RemoteLR(wrapper, schedule)
    assert remote.optimizer is on
    assert used(wrapper, remote, 20) == list(REFERENCE_ROWS)


@pytest.mark.parametrize("order", ["scheduler first", "optimizer first", "together"])
def test_accelerate_prepares_either_first(schedule: Schedule, order: str) -> None:
    """An AcceleratedOptimizer is a torch Optimizer by class alone: it has no hooks."""
    accelerate = pytest.importorskip("accelerate", reason="`make adapters` installs it")
    importlib.import_module("accelerate.state").AcceleratorState._reset_state(reset_partial_state=True)
    on = optimizer(1.0)
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    if order == "together":
        prepared_on, remote = accelerator.prepare(on, RemoteLR(on, schedule))
    elif order == "scheduler first":
        remote = RemoteLR(on, schedule)
        prepared_on, remote = accelerator.prepare(on), accelerator.prepare(remote)
    else:
        prepared_on = accelerator.prepare(on)
        remote = accelerator.prepare(RemoteLR(prepared_on, schedule))
    model = torch.nn.Linear(1, 1)
    found = []
    for _ in range(40):
        with accelerator.accumulate(model):
            if accelerator.sync_gradients:
                found.append(str(on.param_groups[0]["lr"]))
            prepared_on.step()
            remote.step()
    assert found == list(REFERENCE_ROWS)
    assert remote.scheduler.optimizer is on
