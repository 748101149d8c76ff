"""Which param group of an optimizer follows which column of a schedule, and how its values are written there."""

from dataclasses import dataclass
from typing import Any

from preheat_client.errors import ParamGroupMismatch
from preheat_client.readable import Readable

ParamGroup = dict[str, Any]

_BETAS = {"momentum": 0, "beta1": 0, "beta2": 1}
_OF_EVERY_OPTIMIZER = {"weight_decay", *_BETAS}


@dataclass(frozen=True)
class Place:
    """A hyperparameter of the param group at an index; `beta` is the place in its betas, if it is one of them."""

    group: int
    name: str
    beta: int | None = None


def lr_columns(param_groups: list[ParamGroup], schedule: Readable) -> list[int]:
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


def places(param_groups: list[ParamGroup], columns: list[int], schedule: Readable) -> list[list[Place]]:
    """For each other hyperparameter of the schedule, where its value is written in the optimizer's param groups.

    `columns` is that of `lr_columns`. momentum is β1 where there are betas, as in torch's OneCycleLR. Raises
    ParamGroupMismatch if a group has no momentum, betas or weight_decay to set; what it does not know otherwise is left
    to the training loop.
    """
    names = [schedule.group_names[column] for column in columns]
    return [
        [
            place
            for index, (param_group, of) in enumerate(zip(param_groups, names, strict=True))
            if of == group and (place := _place(param_group, index, group, name)) is not None
        ]
        for group, name in schedule.hyperparameter_columns
    ]


def write(param_groups: list[ParamGroup], place: Place, value: float) -> None:
    """Writes a value to its place. Param groups are passed anew: loading an optimizer's state replaces them."""
    param_group = param_groups[place.group]
    if place.beta is None:
        fill(param_group, place.name, value)
    else:
        betas = list(param_group["betas"])
        betas[place.beta] = value
        param_group["betas"] = tuple(betas)


def fill(param_group: ParamGroup, name: str, value: float) -> None:
    """Sets a hyperparameter; a Tensor keeps its identity, so that a compiled step sees the new value."""
    if hasattr(param_group[name], "fill_"):
        param_group[name].fill_(value)
    else:
        param_group[name] = value


def _place(param_group: ParamGroup, index: int, group: str, name: str) -> Place | None:
    if name in param_group:
        return Place(index, name)
    if name in _BETAS and "betas" in param_group:
        return Place(index, "betas", _BETAS[name])
    if name in _OF_EVERY_OPTIMIZER:
        raise ParamGroupMismatch(
            f"the schedule sets {name}, which the optimizer's param group {group} does not have: use an optimizer that "
            f"has it, or a spec without it (cycle_momentum: false for OneCycleLR and CyclicLR)"
        )
    return None
