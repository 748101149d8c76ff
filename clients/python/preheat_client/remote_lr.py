"""A schedule where a torch scheduler stands."""

from typing import Any

from preheat_client.errors import ParamGroupMismatch, ScheduleMismatch
from preheat_client.hyperparameters import Setter, setters
from preheat_client.schedule import Schedule


class RemoteLR:
    """Sets the LRs of an optimizer from a schedule of the service.

    Construction sets the LR of the first update, lr[1] by default; each `step()` after `optimizer.step()` sets that
    of the next. Works with any optimizer that has `param_groups`; Tensor LRs are filled in place. Param groups
    are matched by name where schedule and optimizer name them, else by position. Other hyperparameters that the
    schedule has (momentum or β1, weight_decay, …) are set with the LR; one that no param group has, such as
    gradient_clip, is for the loop to read from `get_last_hyperparameters`.

    Args:
        optimizer: a torch optimizer.
        schedule: from `Preheat.create` or `Preheat.schedule`.
        first_iteration: iteration of the first update; 0 for loops that count from 0.

    Raises ParamGroupMismatch if the param groups are not those of the schedule, and what `Schedule.lr` raises.
    """

    def __init__(self, optimizer: Any, schedule: Schedule, first_iteration: int = 1) -> None:
        self.optimizer = optimizer
        self.schedule = schedule
        self._last_hyperparameters: list[float] = []
        self._columns = _columns(optimizer.param_groups, schedule)
        self._setters: list[Setter] = setters(optimizer.param_groups, self._columns, schedule)
        self._after_last = schedule.total_iterations + 1
        self.iteration = first_iteration
        """Iteration of the update that the LR is set for."""
        self.step(first_iteration)

    def step(self, cur_iteration: int | None = None) -> None:
        """Sets the LR of the next update, or of update `cur_iteration`."""
        iteration = self.iteration + 1 if cur_iteration is None else cur_iteration
        # The step after the last update sets an LR that no update runs at: the end is passed only after that.
        lr = self.schedule.lr(iteration if iteration != self._after_last else iteration - 1)
        if isinstance(lr, float):
            (group,) = self.optimizer.param_groups
            if isinstance(group["lr"], float):
                group["lr"] = lr
            else:
                _fill(group, lr)
            self._last_lr = [lr]
        else:
            self._last_lr = [lr[column] for column in self._columns]
            for group, value in zip(self.optimizer.param_groups, self._last_lr, strict=True):
                _fill(group, value)
        if self._setters:
            self._set_hyperparameters(iteration if iteration != self._after_last else iteration - 1)
        self.iteration = iteration

    def get_last_lr(self) -> list[float]:
        """The LR of each param group, as set last."""
        return list(self._last_lr)

    def get_last_hyperparameters(self) -> dict[str, dict[str, float]]:
        """Every other hyperparameter by name and param group, as set last."""
        found: dict[str, dict[str, float]] = {}
        for (group, name), value in zip(self.schedule.hyperparameter_columns, self._last_hyperparameters, strict=True):
            found.setdefault(name, {})[group] = value
        return found

    def _set_hyperparameters(self, iteration: int) -> None:
        self._last_hyperparameters = self.schedule.hyperparameters(iteration)
        for set_value, value in zip(self._setters, self._last_hyperparameters, strict=True):
            set_value(value)

    def state_dict(self) -> dict[str, Any]:
        """Which update the LR is set for, and of which schedule."""
        return {"iteration": self.iteration, "schedule_id": self.schedule.id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken: sets the LR of the same update.

        Raises ScheduleMismatch if the state is that of another schedule.
        """
        if state_dict["schedule_id"] != self.schedule.id:
            raise ScheduleMismatch(
                f"the state belongs to schedule {state_dict['schedule_id']}, this is {self.schedule.id}: to change "
                f"schedules, construct RemoteLR with first_iteration={state_dict['iteration']}"
            )
        self.step(state_dict["iteration"])


def _fill(group: dict[str, Any], lr: float) -> None:
    """Sets the LR of a param group; a Tensor keeps its identity, so that a compiled step sees it."""
    if hasattr(group["lr"], "fill_"):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _columns(param_groups: list[dict[str, Any]], schedule: Schedule) -> list[int]:
    """For each param group of the optimizer, its place in the schedule."""
    theirs, ours = [group.get("name") for group in param_groups], schedule.group_names
    if len(theirs) != len(ours):
        raise ParamGroupMismatch(
            f"the optimizer has {len(theirs)} param groups, the schedule has {len(ours)} ({', '.join(ours)}): "
            "give the spec as many param_groups"
        )
    if not schedule.has_named_groups or not any(theirs):
        return list(range(len(theirs)))
    if set(theirs) != set(ours):
        raise ParamGroupMismatch(
            f"the optimizer's param groups are named {', '.join(map(str, theirs))}, the schedule's {', '.join(ours)}"
        )
    return [ours.index(str(name)) for name in theirs]
