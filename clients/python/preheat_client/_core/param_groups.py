"""Param groups: where each value of a row of the schedule is written in those of an optimizer."""

import logging
from dataclasses import dataclass
from typing import Any

from preheat_client._core.curve import Row
from preheat_client._core.shares import GroupLrs, ParamGroup, Shares, shares_of
from preheat_client.errors import ParamGroupMismatch
from preheat_client.schedule import ReadableSchedule

_LOG = logging.getLogger("preheat_client")
Lrs = dict[str, float]
_BETAS = {"momentum": 0, "beta1": 0, "beta2": 1}
_OF_EVERY_OPTIMIZER = {"weight_decay", *_BETAS}


@dataclass(frozen=True)
class Place:
    """A hyperparameter of the param group at an index; `beta` is the place in its betas, if it is one of them."""

    group: int
    name: str
    beta: int | None = None


@dataclass(frozen=True)
class Binding:
    """The param groups of an optimizer, bound to the columns of a schedule.

    `columns` has for each group the place of its LR in a row; `shares` what it takes of it; `decays` whether it had a
    weight decay of its own; `places`, for each other hyperparameter of the schedule, where its value is written.
    """

    columns: list[int]
    shares: Shares
    decays: list[bool]
    places: list[list[Place]]

    @property
    def is_one_lr(self) -> bool:
        """Whether every group runs at the schedule's one LR, and nothing else is set."""
        return not self.places and not any(self.columns) and all(factor == 1.0 for factor in self.shares.factors)

    def lrs(self, row: Row) -> list[float]:
        """The LR of each group, in a row of the schedule."""
        if isinstance(row, list):
            return [row[column] for column in self.columns]
        return [row * factor for factor in self.shares.factors]

    def write(self, param_groups: list[ParamGroup], values: list[float]) -> None:
        """Writes other hyperparameters. Param groups are passed anew: loading an optimizer's state replaces them."""
        for places, value in zip(self.places, values, strict=True):
            for place in places:
                param_group = param_groups[place.group]
                if place.beta is None:
                    fill(param_group, place.name, value)
                else:
                    betas = list(param_group["betas"])
                    betas[place.beta] = value
                    param_group["betas"] = tuple(betas)


def bind(
    param_groups: list[ParamGroup], schedule: ReadableSchedule, group_lrs: GroupLrs | None, known: Binding | None = None
) -> Binding:
    """Binds param groups; `known` is how the first of them were bound, if groups were added since.

    Raises ParamGroupMismatch if the groups are not those of the schedule, have LRs of their own without `group_lrs`, or
    lack a hyperparameter that the schedule has.
    """
    columns = _lr_columns(param_groups, schedule)
    _separate_lrs(param_groups)
    count = len(known.decays) if known else 0
    if has_one_lr(schedule):
        shares = shares_of(param_groups, group_lrs, known.shares if known else None)
    elif group_lrs is not None:
        names = ", ".join(schedule.group_names)
        raise ParamGroupMismatch(f"group_lrs ({group_lrs}) must not be given: the spec has param_groups ({names})")
    else:
        shares = Shares([1.0] * len(param_groups))
    decays = [*(known.decays if known else ()), *(_has_decay(group, schedule) for group in param_groups[count:])]
    return Binding(columns, shares, decays, _places(param_groups, columns, decays, schedule))


def has_one_lr(schedule: ReadableSchedule) -> bool:
    """Whether the schedule has one LR, for whatever param groups an optimizer has."""
    return len(schedule.group_names) == 1 and not schedule.spec.get("param_groups")


def has_lr(param_group: ParamGroup, lr: float) -> bool:
    """Whether a group runs at an LR, as a Tensor's type rounds it."""
    own = param_group["lr"]
    return float(own) == (float(own.new_tensor(lr)) if hasattr(own, "new_tensor") else lr)


def other_lrs(param_groups: list[ParamGroup], lasts: list[float], binding: Binding, names: tuple[str, ...]) -> Lrs:
    """The LRs that groups have and that were not set last, by param group of the schedule, as that group's LR.

    A Tensor on another device is not read: that would wait for the device.
    """
    found: Lrs = {}
    places = zip(param_groups, lasts, binding.columns, binding.shares.factors, strict=False)
    for param_group, last, column, factor in places:
        lr = param_group["lr"]
        is_far = hasattr(lr, "device") and lr.device.type != "cpu"
        if lr is not last and not is_far and not has_lr(param_group, last):
            found.setdefault(names[column], float(lr) / factor if factor else float(lr))
    return found


def fill(param_group: ParamGroup, name: str, value: float) -> None:
    """Sets a hyperparameter; a Tensor keeps its identity, so that a compiled step sees the new value."""
    before = param_group[name]
    if before.__class__ is not float and hasattr(before, "fill_"):  # nearly every one is a float
        before.fill_(value)
    else:
        param_group[name] = value


def _separate_lrs(param_groups: list[ParamGroup]) -> None:
    """Gives each group a Tensor of its own.

    Torch hands the one Tensor of `lr=` to every group, so that filling one group's LR would fill that of all.
    """
    seen: set[int] = set()
    for group in param_groups:
        lr = group["lr"]
        if id(lr) in seen and hasattr(lr, "clone"):
            group["lr"] = lr = lr.clone()
        seen.add(id(lr))


def _lr_columns(param_groups: list[ParamGroup], schedule: ReadableSchedule) -> list[int]:
    """For each param group of the optimizer, the place of its LR in a row of the schedule.

    All follow the one LR of a spec without param_groups. Otherwise they are matched by name where the spec and every
    group have one, else by position. Raises ParamGroupMismatch if they are not the schedule's.
    """
    ours = schedule.group_names
    if has_one_lr(schedule):
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
    """Several groups may have one name, and a schedule more groups than the optimizer has yet."""
    if any(name not in ours for name in theirs):
        raise ParamGroupMismatch(
            f"the optimizer's param groups are named {', '.join(map(str, theirs))}, the schedule's {', '.join(ours)}"
        )
    return [ours.index(name) for name in theirs]


def _has_decay(group: ParamGroup, schedule: ReadableSchedule) -> bool:
    """Whether a group came with a weight decay. It is noted in the group, as torch does with its LR.

    So a checkpoint tells, and a scheduler that is made again, after the schedule has set a 0.
    """
    if "weight_decay" not in group or all(name != "weight_decay" for _, name in schedule.hyperparameter_columns):
        return False
    group.setdefault("initial_weight_decay", group["weight_decay"])
    return float(group["initial_weight_decay"]) != 0


def _places(
    param_groups: list[ParamGroup], columns: list[int], decays: list[bool], schedule: ReadableSchedule
) -> list[list[Place]]:
    """For each other hyperparameter of the schedule, where its value is written in the optimizer's param groups.

    momentum is β1 where there are betas, as in torch's OneCycleLR. Raises ParamGroupMismatch if a group has no
    momentum, betas or weight_decay to set; what it does not know otherwise is left to the training loop.
    """
    names = [schedule.group_names[column] for column in columns]
    spared = [index for index, decay in enumerate(decays) if any(decays) and not decay]
    places: list[list[Place]] = []
    for group, name in schedule.hyperparameter_columns:
        members = [index for index, own in enumerate(names) if own == group]
        if name == "weight_decay" and not _is_named(schedule, group, name):
            left = [index for index in members if index in spared]
            members = [index for index in members if index not in spared]
            if left:
                _LOG.info(
                    "param groups %s keep a weight decay of 0: the spec does not name them for its weight_decay",
                    ", ".join(str(param_groups[index].get("name", index)) for index in left),
                )
        found = (_place_of(param_groups[index], index, group, name) for index in members)
        places.append([place for place in found if place is not None])
    return places


def _is_named(schedule: ReadableSchedule, group: str, name: str) -> bool:
    """Whether the spec says of this very param group that it has a hyperparameter."""
    if schedule.spec.get("hyperparameters", {}).get(name, {}).get("param_groups"):
        return True
    groups = schedule.spec.get("param_groups", ())
    own = dict(zip(schedule.group_names, groups, strict=False)).get(group, {})
    return name in (own.get("hyperparameters") or {})


def _place_of(param_group: ParamGroup, index: int, group: str, name: str) -> Place | None:
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
