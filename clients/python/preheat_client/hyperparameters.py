"""Hyperparameters besides the LR, where an optimizer keeps them."""

from collections.abc import Callable
from typing import Any

from preheat_client.errors import ParamGroupMismatch
from preheat_client.schedule import Schedule

Setter = Callable[[float], None]

_BETAS = {"momentum": 0, "beta1": 0, "beta2": 1}
_OF_EVERY_OPTIMIZER = {"weight_decay", *_BETAS}


def setters(param_groups: list[dict[str, Any]], columns: list[int], schedule: Schedule) -> list[Setter]:
    """For each hyperparameter column of the schedule, what writes its value to the param group that it is for.

    `columns` has the place in the schedule of each param group. momentum is β1 where there are betas, as in torch's
    OneCycleLR. Raises ParamGroupMismatch if the optimizer has no momentum, betas or weight_decay to set; what it does
    not know otherwise is left to the training loop.
    """
    by_name = {schedule.group_names[column]: group for group, column in zip(param_groups, columns, strict=True)}
    return [_setter(by_name[group], group, name) for group, name in schedule.hyperparameter_columns]


def _setter(param_group: dict[str, Any], group: str, name: str) -> Setter:
    if name in param_group:
        return lambda value: _fill(param_group, name, value)
    if name in _BETAS and "betas" in param_group:
        return lambda value: _set_beta(param_group, _BETAS[name], value)
    if name in _OF_EVERY_OPTIMIZER:
        raise ParamGroupMismatch(
            f"the schedule sets {name}, which the optimizer's param group {group} does not have: use an optimizer that "
            f"has it, or a spec without it (cycle_momentum: false for OneCycleLR and CyclicLR)"
        )
    return lambda _: None


def _fill(param_group: dict[str, Any], name: str, value: float) -> None:
    if hasattr(param_group[name], "fill_"):
        param_group[name].fill_(value)
    else:
        param_group[name] = value


def _set_beta(param_group: dict[str, Any], index: int, value: float) -> None:
    betas = list(param_group["betas"])
    betas[index] = value
    param_group["betas"] = tuple(betas)
