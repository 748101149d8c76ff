"""torch: a scheduler of `torch.optim.lr_scheduler` that sets the LRs of a schedule."""

import logging
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from preheat_client._core.curve import Known, Metadata
from preheat_client.errors import ParamGroupMismatch, ScheduleMismatch
from preheat_client.schedule import ReadableSchedule

__all__ = ["RemoteLR"]

_LOG = logging.getLogger("preheat_client")
_IDLE_STEPS = 100
_BETAS = {"momentum": 0, "beta1": 0, "beta2": 1}
_OF_EVERY_OPTIMIZER = {"weight_decay", *_BETAS}

ParamGroup = dict[str, Any]

_UNCHANGING = Known(Metadata())
"""Of a schedule that is not ours, which has the same param groups during a whole run."""


class RemoteLR(LRScheduler):
    """Sets the LRs of an optimizer from a schedule of the service.

    Construction sets the LR of the first update, lr[1] by default. The iteration is the number of updates that the
    optimizer has *performed*: `step()` sets the LR of the next one, however often it is called for the same update.
    So gradient accumulation, updates that a GradScaler or accelerate skip, and accelerate's step for every process
    change nothing. Only a fused optimizer hides from torch that a GradScaler skipped it, and has to be told on.

    One LR drives every param group, unless the spec has param_groups: these are matched by name where both sides name
    them, else by position; groups that are added later follow. Tensor LRs are filled in place. Other hyperparameters
    that the schedule has (momentum or β1, weight_decay, …) are set with the LR; one that no param group has, such as
    gradient_clip, is for the loop to read from `get_last_hyperparameters`.

    Args:
        optimizer: a torch optimizer.
        schedule: from `Preheat.create` or `Preheat.schedule`; under torch.distributed also from
            `preheat_client.distributed.from_rank_zero`, so that rank 0 asks and all others follow.
        first_iteration: iteration of the first update; 0 for loops that count from 0.

    Raises ParamGroupMismatch if the param groups are not those of the schedule, and what `Schedule.lr` raises.
    """

    def __init__(self, optimizer: Optimizer, schedule: ReadableSchedule, first_iteration: int = 1) -> None:
        self.schedule = schedule
        self.last_epoch = first_iteration
        self._idle_at = self._idle_steps = 0
        self._last_hyperparameters: list[float] = []
        self._bind(optimizer)
        self._updates = _Updates()
        # The hook holds a counter and not this scheduler, which would live as long as the optimizer.
        optimizer.register_step_post_hook(self._updates.count_one)
        super().__init__(optimizer)
        self._set(first_iteration)  # last: torch's constructor sets last_epoch to -1

    @property
    def iteration(self) -> int:
        """Iteration of the update that the LR is set for; torch calls it last_epoch."""
        return self.last_epoch

    def step(self, cur_iteration: int | None = None, *, was_skipped: bool = False) -> None:
        """Sets the LR of the next update, or of update `cur_iteration`.

        `was_skipped` says that the optimizer was called, but a GradScaler kept it from changing anything; this happens
        with `fused=True` alone: `scaler.get_scale()` fell.
        """
        iteration = cur_iteration
        if iteration is None:
            iteration = self.last_epoch + (0 if was_skipped else self._updates.count)
        self._updates.count = 0
        if cur_iteration is None and iteration == self.last_epoch:
            self._note_idle_step()
        else:
            self._set(iteration)

    def get_last_lr(self) -> list[Any]:
        """The LR of each param group, as set last."""
        return list(self._last_lr)

    def get_lr(self) -> list[Any]:
        """The same: torch's own schedulers compute here what they set next."""
        return self.get_last_lr()

    def get_last_hyperparameters(self) -> dict[str, dict[str, float]]:
        """Every other hyperparameter by name and param group, as set last."""
        values: dict[str, dict[str, float]] = {}
        for (group, name), value in zip(self.schedule.hyperparameter_columns, self._last_hyperparameters, strict=True):
            values.setdefault(name, {})[group] = value
        return values

    def state_dict(self) -> dict[str, Any]:
        """Which update the LR is set for, and of which schedule."""
        return {"iteration": self.last_epoch, "schedule_id": self.schedule.id}

    def due_state_dict(self) -> dict[str, Any]:
        """As `state_dict`, for loops that step before each update: an update that was not stepped for yet counts."""
        return {**self.state_dict(), "iteration": self.last_epoch + self._updates.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken: sets the LR of the same update.

        Raises ScheduleMismatch if the state is that of another schedule.
        """
        ids = {state_dict["schedule_id"], self.schedule.id} - {""}  # a fallback has no id to compare
        if len(ids) > 1:
            raise ScheduleMismatch(
                f"the state belongs to schedule {state_dict['schedule_id']}, this is {self.schedule.id}: to change "
                f"schedules, construct RemoteLR with first_iteration={state_dict['iteration']}"
            )
        self._updates.count = 0
        self._set(state_dict["iteration"])

    def _initial_step(self) -> None:
        """Torch's constructor makes a step of its own here; ours sets the first LR itself."""
        self._step_count = 1

    def _set(self, iteration: int) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self._columns):
            self._bind(self.optimizer)
        elif self._known.metadata is not self._bound_to:  # an attribute: a property would cost an eighth of the step
            self._bind_again()
        # The step after the last update sets an LR that no update runs at: the end is passed only after that.
        held = iteration if iteration != self._after_last else iteration - 1
        row = self.schedule.lr(held)
        if isinstance(row, float):  # nearly every step takes this way, so it is kept short
            self._last_lr = [row] * len(groups)
            for group in groups:
                if group["lr"].__class__ is float:
                    group["lr"] = row
                else:
                    _fill(group, "lr", row)
        else:
            lrs = [row[column] for column in self._columns]
            self._last_lr = list(lrs)
            for group, lr in zip(groups, lrs, strict=True):
                _fill(group, "lr", lr)
        if self._places:
            self._set_hyperparameters(held)
        self.last_epoch = iteration

    def _set_hyperparameters(self, iteration: int) -> None:
        self._last_hyperparameters = self.schedule.hyperparameters(iteration)
        for where, value in zip(self._places, self._last_hyperparameters, strict=True):
            for place in where:
                _write(self.optimizer.param_groups, place, value)

    def _bind(self, optimizer: Optimizer) -> None:
        """Matches param groups and columns."""
        schedule = self.schedule
        self._known: Known = getattr(schedule, "_known", _UNCHANGING)
        self._bound_to = self._known.metadata
        self._after_last = schedule.total_iterations + 1
        self._columns = _lr_columns(optimizer.param_groups, schedule)
        self._places: list[list[_Place]] = _places(optimizer.param_groups, self._columns, schedule)

    def _bind_again(self) -> None:
        """The schedule has taken over from a fallback; if it does not suit the optimizer the loop still goes on."""
        try:
            self._bind(self.optimizer)
        except ParamGroupMismatch as error:
            self._columns, self._places = [0] * len(self.optimizer.param_groups), []
            _LOG.error("the schedule that has arrived does not suit the optimizer: %s", error)

    def _note_idle_step(self) -> None:
        if self._idle_at != self.last_epoch:
            self._idle_at, self._idle_steps = self.last_epoch, 0
        self._idle_steps += 1
        if self._idle_steps == _IDLE_STEPS:
            _LOG.warning(
                "RemoteLR.step() was called %d times while the optimizer performed no update: the LR stays that of "
                "iteration %d. Updates that torch does not see are counted with step(n).",
                _IDLE_STEPS,
                self.last_epoch,
            )


class _Updates:
    """The updates that an optimizer has performed since the scheduler's last step."""

    def __init__(self) -> None:
        self.count = 0

    def count_one(self, *_: Any) -> None:
        """After each update."""
        self.count += 1


@dataclass(frozen=True)
class _Place:
    """A hyperparameter of the param group at an index; `beta` is the place in its betas, if it is one of them."""

    group: int
    name: str
    beta: int | None = None


def _lr_columns(param_groups: list[ParamGroup], schedule: ReadableSchedule) -> list[int]:
    """For each param group of the optimizer, the place of its LR in a row of the schedule.

    All follow the one LR of a spec without param_groups. Otherwise they are matched by name where the spec and every
    group have one, else by position. Raises ParamGroupMismatch if they are not the schedule's.
    """
    ours = schedule.group_names
    if len(ours) == 1 and not schedule.spec.get("param_groups"):
        return [0] * len(param_groups)
    theirs = [group.get("name") for group in param_groups]
    if any(theirs) and any(group.get("name") for group in schedule.spec.get("param_groups", ())):
        return _by_name(theirs, ours)
    if len(theirs) != len(ours):
        raise ParamGroupMismatch(
            f"the optimizer has {len(theirs)} param groups, the schedule has {len(ours)} ({', '.join(ours)}): "
            "give the spec as many param_groups, or none for one LR for all"
        )
    return list(range(len(theirs)))


def _by_name(theirs: list[Any], ours: tuple[str, ...]) -> list[int]:
    """A schedule may have more groups than the optimizer has yet."""
    unknown = [str(name) for name in theirs if name not in ours]
    if unknown or len(set(theirs)) != len(theirs):
        raise ParamGroupMismatch(
            f"the optimizer's param groups are named {', '.join(map(str, theirs))}, the schedule's {', '.join(ours)}"
        )
    return [ours.index(name) for name in theirs]


def _places(param_groups: list[ParamGroup], columns: list[int], schedule: ReadableSchedule) -> list[list[_Place]]:
    """For each other hyperparameter of the schedule, where its value is written in the optimizer's param groups.

    `columns` is that of `_lr_columns`. momentum is β1 where there are betas, as in torch's OneCycleLR. Raises
    ParamGroupMismatch if a group has no momentum, betas or weight_decay to set; what it does not know otherwise is left
    to the training loop.
    """
    names = [schedule.group_names[column] for column in columns]
    return [
        [
            place
            for index, (param_group, of) in enumerate(zip(param_groups, names, strict=True))
            if of == group and (place := _place_of(param_group, index, group, name)) is not None
        ]
        for group, name in schedule.hyperparameter_columns
    ]


def _write(param_groups: list[ParamGroup], place: _Place, value: float) -> None:
    """Writes a value to its place. Param groups are passed anew: loading an optimizer's state replaces them."""
    param_group = param_groups[place.group]
    if place.beta is None:
        _fill(param_group, place.name, value)
    else:
        betas = list(param_group["betas"])
        betas[place.beta] = value
        param_group["betas"] = tuple(betas)


def _fill(param_group: ParamGroup, name: str, value: float) -> None:
    """Sets a hyperparameter; a Tensor keeps its identity, so that a compiled step sees the new value."""
    if hasattr(param_group[name], "fill_"):
        param_group[name].fill_(value)
    else:
        param_group[name] = value


def _place_of(param_group: ParamGroup, index: int, group: str, name: str) -> _Place | None:
    if name in param_group:
        return _Place(index, name)
    if name in _BETAS and "betas" in param_group:
        return _Place(index, "betas", _BETAS[name])
    if name in _OF_EVERY_OPTIMIZER:
        raise ParamGroupMismatch(
            f"the schedule sets {name}, which the optimizer's param group {group} does not have: use an optimizer that "
            f"has it, or a spec without it (cycle_momentum: false for OneCycleLR and CyclicLR)"
        )
    return None
