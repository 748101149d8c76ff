"""torch: a scheduler of `torch.optim.lr_scheduler` that sets the LRs of a schedule."""

import dataclasses
import logging
import sys
from collections.abc import Sequence
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from preheat_client._core.curve import Known, Metadata
from preheat_client._core.param_groups import Binding, bind, fill, has_lr, other_lrs
from preheat_client._core.run_use import IN_SEQUENTIAL_LR, is_live
from preheat_client._core.scheduler_copies import SchedulerCopies
from preheat_client._core.scheduler_state import iteration_of
from preheat_client._core.series import NOTHING, AtHand, Series
from preheat_client._core.shares import GroupLrs, Shares, check_choice, note_initial_lrs
from preheat_client._core.updates import REPLACED, Updates, unwrapped
from preheat_client._core.watch import Watch, refuse_chain
from preheat_client.errors import ParamGroupMismatch
from preheat_client.schedule import ReadableSchedule, check_readable, whole_number

__all__ = ["RemoteLR"]

_LOG = logging.getLogger("preheat_client")

_UNCHANGING = Known(Metadata())
"""Of a schedule that is not ours, which has the same param groups during a whole run."""


class RemoteLR(SchedulerCopies, LRScheduler):
    """Sets the LRs of an optimizer from a schedule of the service, or from a run, to which its first update attaches.

    Construction sets the LR of the first update, lr[1] by default. The iteration is the number of updates that the
    optimizer has *performed*: `step()` sets the LR of the next one, however often it is called for the same update.
    So gradient accumulation, updates that a GradScaler or accelerate skip, and accelerate's step for every process
    change nothing. Only a fused optimizer hides from torch that a GradScaler skipped it, and has to be told on.

    One LR drives every param group, unless the spec has param_groups: these are matched by name where both sides name
    them, else by position; groups that are added later follow. Tensor LRs are filled in place. Other hyperparameters
    that the schedule has (momentum or β1, weight_decay, …) are set with the LR; one that no param group has, such as
    gradient_clip, is for the loop to read from `get_last_hyperparameters`. A param group whose own weight decay is 0
    keeps it, unless the spec names the group for its weight_decay or every group's is 0.

    Args:
        optimizer: a torch optimizer, also as accelerate, Lightning and others wrap it.
        schedule: from `Preheat.create` or `Preheat.schedule`, or a run; under torch.distributed also from
            `preheat_client.distributed.from_rank_zero`, so that rank 0 asks and all others follow.
        first_iteration: iteration of the first update (epoch); 0 for loops that count from 0.
        unit: what one iteration of the schedule is. With "epoch" every `step()` after one update or more sets the LR of
            the next epoch.
        group_lrs: needed if the param groups have LRs of their own (`initial_lr` or `lr`, times `lr_scale`), and the
            spec has no param_groups. "scale" runs each at its share of the schedule's LR, which is that of the group
            with the highest; a group at 0 stays there. "set" runs all of them at the schedule's LR.

    In a SequentialLR it begins at `first_iteration` when its turn comes. Another RemoteLR on the same optimizer
    replaces this one, whose `step` then raises RuntimeError; in a ChainedScheduler with others it raises ValueError.

    Raises ParamGroupMismatch if the param groups are not those of the schedule, or differ in their LRs without
    `group_lrs`, TypeError for what is no optimizer or no schedule, ValueError for another `unit` or `group_lrs`, and
    what `Schedule.lr` raises.
    """

    unchanging = _UNCHANGING
    _binding: Binding
    _groups: list[dict[str, Any]]
    _group_count: int
    _known: Any
    _bound_to: Any
    _at_hand: AtHand
    _series: Series
    _one_lr: Sequence[float] | None
    _lr: float
    _is_first: bool
    _has_turn: bool

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: ReadableSchedule,
        first_iteration: int = 1,
        *,
        unit: Literal["update", "epoch"] = "update",
        group_lrs: GroupLrs | None = None,
    ) -> None:
        check_choice("unit", unit, ("update", "epoch"))
        check_choice("group_lrs", group_lrs, ("scale", "set", None))
        optimizer = unwrapped(optimizer)
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer ({type(optimizer).__name__}) is not an Optimizer")
        check_readable(schedule)
        self._first = whole_number(first_iteration, "first_iteration")
        self.schedule, self._unit, self._group_lrs = schedule, unit, group_lrs
        self._lrs: list[float] = []
        self._last_hyperparameters: list[float] = []
        self._updates = Updates()
        self._watch = Watch()
        self._start_use(schedule)
        self._bind(optimizer, None)
        super().__init__(optimizer)

    @property
    def iteration(self) -> int:
        """Iteration of the update (epoch) that the LR is set for; torch calls it last_epoch."""
        return self.last_epoch

    def step(self, cur_iteration: int | None = None, *, was_skipped: bool = False) -> None:
        """Sets the LR of the next update, or of update `cur_iteration`.

        `was_skipped` says that the optimizer was called, but a GradScaler kept it from changing anything; this happens
        with `fused=True` alone: `scaler.get_scale()` fell.
        """
        updates = self._updates
        if cur_iteration is not None and updates.count >= 0:
            iteration = cur_iteration
        elif updates.count == 1 and not was_skipped:
            iteration = self.last_epoch + 1
        else:
            iteration = self._counted(was_skipped)
            if iteration == self.last_epoch:
                self._stay()
                return
        updates.count = 0
        # Nearly every step takes this way, so it is kept short. Another curve of the schedule has another view.
        viewed, view, start, length, one_lr, known_groups, group_count = self._at_hand
        if viewed.view is view and type(iteration) is int:
            offset = iteration - start
            groups = self.optimizer.param_groups
            if 0 <= offset < length and groups is known_groups and len(groups) == group_count:
                if one_lr is None:
                    self._set_from(self._series, offset)
                else:
                    last = self._lr
                    self._lr = lr = one_lr[offset]
                    for group in groups:
                        if group["lr"] is last:
                            group["lr"] = lr
                        else:
                            self._replace(group, last, lr)
                self.last_epoch = iteration
                return
        self._set_next(whole_number(iteration, "cur_iteration"))

    def get_last_lr(self) -> list[Any]:
        """The LR of each param group, as set last."""
        return [self._lr] * self._group_count if self._one_lr is not None else list(self._lrs)

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
        """Which update (epoch) the LR is set for, of which schedule or run, and whether the optimizer has it now.

        In a SequentialLR it has another scheduler's before and after this one's turn. `shares`: of `group_lrs="scale"`.
        Updates count that were performed and not stepped for yet, as where a checkpoint is saved before the step.
        """
        is_current = self._is_current()
        due = max(self._updates.count, 0) if is_current and self._unit == "update" else 0
        iteration = self.last_epoch + due
        is_run = is_live(self.schedule)
        state = self._use_state(iteration) if is_run else {"iteration": iteration, "schedule_id": self.schedule.id}
        shares = {"shares": self._binding.shares.factors} if self._group_lrs == "scale" else {}
        return {**state, "unit": self._unit, **shares, "is_current": is_current}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken: sets the LR of the same update.

        Raises ScheduleMismatch if the state is that of another schedule or of another scheduler, or counts in another
        unit; it says how to take over from there. TypeError if it is not a dict.
        """
        iteration = iteration_of(state_dict, self.schedule, self._unit)
        self._look_from(state_dict)
        factors = state_dict.get("shares")
        if self._group_lrs == "scale" and factors and len(factors) == self._group_count:
            shares = Shares(list(factors), self._binding.shares.reference)
            self._binding = dataclasses.replace(self._binding, shares=shares)
        if state_dict.get("is_current", True):
            self._begin(iteration)
        else:
            self.last_epoch, self._at_hand, self._has_turn = iteration, NOTHING, False
            self._looked_at = iteration

    def _initial_step(self) -> None:
        """Torch's constructor begins with it, and a SequentialLR whose first scheduler this is."""
        if is_live(self.schedule) and hasattr(self, "_step_count"):
            raise ValueError(IN_SEQUENTIAL_LR)
        self._step_count = 1
        self._begin(self._first)

    def _update_lr(self, epoch: int | None = None) -> None:
        """A SequentialLR calls it when it is the turn of this scheduler."""
        del epoch
        if is_live(self.schedule):
            raise ValueError(IN_SEQUENTIAL_LR)
        self._begin(self._first)

    def _begin(self, iteration: int) -> None:
        self._set(iteration)
        self._updates.start(self.optimizer, self._hook)
        self._at_hand, self._is_first, self._has_turn = NOTHING, True, True

    def _set_used(self, iteration: int) -> None:
        self._set(iteration, is_used=True)
        if self._is_first:  # the next step looks for a ChainedScheduler
            self._at_hand = NOTHING

    def _set_next(self, iteration: int) -> None:
        """Sets what a step sets, and looks for what else may set LRs."""
        if self._is_first:  # a ChainedScheduler looks at its schedulers in no other way than by stepping them
            refuse_chain(sys._getframe(2).f_locals.get("self"))  # noqa: SLF001 - what inspect.stack() reads, in 1/1000
            self._is_first = False
        groups = self.optimizer.param_groups
        if groups is self._groups:
            for group, last in zip(groups, self.get_last_lr(), strict=False):  # groups may have been added
                self._note_other(group, last)
        self._set(iteration)
        self._has_turn = True

    def _set_for_new_groups(self) -> None:
        """Sets the LR of an update whose param groups were added or loaded since the step: theirs is another one.

        Where another scheduler of a SequentialLR, or SWALR, had its turn, the LRs are left to it.
        """
        groups = self.optimizer.param_groups
        if groups is self._groups and len(groups) == self._group_count:
            return
        lasts = self.get_last_lr()
        if self._has_turn and all(map(has_lr, self._groups, lasts)):
            if groups is not self._groups and self._is_first and self._first <= 1 and self.last_epoch == self._first:
                self._watch.forgotten_state(groups, lasts, self.last_epoch)
            self._set(self.last_epoch)

    def _has_other_lr(self) -> bool:
        groups = self.optimizer.param_groups
        if self._one_lr is None:
            return any(group["lr"] is not lr for group, lr in zip(groups, self._lrs, strict=False))
        lr = self._lr
        for group in groups:  # noqa: SIM110 - before every update, and any() would take three times as long
            if group["lr"] is not lr:
                return True
        return False

    def _other_lrs(self) -> dict[str, float]:
        return other_lrs(self.optimizer.param_groups, self.get_last_lr(), self._binding, self.schedule.group_names)

    def _replace(self, group: dict[str, Any], last: float, lr: float) -> None:
        """Sets one LR where a Tensor is, or where not the float is that was set last."""
        self._note_other(group, last)
        fill(group, "lr", lr)

    def _note_other(self, group: dict[str, Any], last: float) -> None:
        self._watch.other_lr(group, last)

    def _stay(self) -> None:
        """A step without an update."""
        self._set_for_new_groups()
        self._watch.idle(self.last_epoch)

    def _counted(self, was_skipped: bool) -> int:
        """Iteration after the updates that were counted; there may be none, or several."""
        if self._updates.count == REPLACED:
            raise RuntimeError(
                "this RemoteLR was replaced: step the one that was constructed on the same optimizer after it"
            )
        performed = max(self._updates.count - was_skipped, 0)
        self._updates.count = 0
        if self._unit == "epoch":
            return self.last_epoch + min(performed, 1)
        if performed > 1:
            self._watch.advanced(self.last_epoch, performed, self._after_last - 1)
        return self.last_epoch + performed

    def _is_current(self) -> bool:
        return all(map(has_lr, self.optimizer.param_groups, self.get_last_lr()))

    def _set(self, iteration: int, *, is_used: bool = False) -> None:
        groups = self.optimizer.param_groups
        if groups is not self._groups or len(groups) != self._group_count:
            self._bind(self.optimizer, self._binding)
        elif self._known.metadata is not self._bound_to:  # an attribute: a property would cost an eighth of the step
            self._bind_again()
        # A step sets the LR of an update that is yet to come, and after the last one there need be none: the end is
        # passed only by the step after that, which names the update that was done beyond it.
        is_next = iteration == self._after_last or self._after_last < iteration == self.last_epoch + 1
        held = iteration - 1 if is_next and not is_used else iteration
        self._lrs = self._binding.lrs(self._source.lr(held))
        for group, lr in zip(groups, self._lrs, strict=True):
            fill(group, "lr", lr)
        if self._binding.places:
            self._last_hyperparameters = self._source.hyperparameters(held)
            self._binding.write(groups, self._last_hyperparameters)
        self.last_epoch = self._looked_at = iteration
        self._look()

    def _set_from(self, series: Series, offset: int) -> None:
        """The same from memory."""
        lasts, self._lrs = self._lrs, []
        for group, last, (values, factor) in zip(self._groups, lasts, series.lrs, strict=True):
            lr = values[offset] * factor
            self._lrs.append(lr)
            if group["lr"] is last:
                group["lr"] = lr
            else:
                self._replace(group, last, lr)
        if series.others:
            self._last_hyperparameters = [values[offset] for values in series.others]
            self._binding.write(self._groups, self._last_hyperparameters)

    def _look(self) -> None:
        """Notes which part of the schedule is in memory, for the steps that follow."""
        view = getattr(self._known, "view", None)  # before the metadata: a curve that arrives changes it last
        self._at_hand, self._one_lr = NOTHING, None
        if view is not None and self._known.metadata is self._bound_to and self.is_in_use:
            self._series = series = Series.of(view, self._binding)
            if self._binding.is_one_lr:
                self._one_lr, self._lr = series.lrs[0][0], self._lrs[0]
            place = series.start, series.length, self._one_lr
            self._at_hand = self._known, view, *place, self._groups, self._group_count

    def _bind(self, optimizer: Optimizer, known: Binding | None) -> None:
        """Matches param groups and columns."""
        groups, schedule = optimizer.param_groups, self.schedule
        if known is not None and len(groups) > self._group_count:
            note_initial_lrs(groups, self.get_last_lr())
        elif known is not None and len(groups) < self._group_count:  # they are others
            known = None
        self._known = getattr(schedule, "_known", _UNCHANGING)
        self._bound_to = self._known.metadata
        self._after_last = schedule.total_iterations + 1
        self._binding = bind(groups, schedule, self._group_lrs, known)
        self._groups, self._group_count = groups, len(groups)

    def _bind_again(self) -> None:
        """The schedule has taken over from a fallback; if it does not suit the optimizer the loop still goes on."""
        try:
            self._bind(self.optimizer, self._binding)
        except ParamGroupMismatch as error:
            self._binding = dataclasses.replace(self._binding, columns=[0] * self._group_count, places=[])
            _LOG.error("the schedule that has arrived does not suit the optimizer: %s", error)
