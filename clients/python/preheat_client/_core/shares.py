"""Shares: the part of a schedule's one LR that each param group of an optimizer runs at, by the LRs they came with."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from preheat_client.errors import ParamGroupMismatch

ParamGroup = dict[str, Any]

GroupLrs = Literal["scale", "set"]
"""What becomes of LRs that param groups have of their own: each is its group's share, or is overwritten."""


@dataclass(frozen=True)
class Shares:
    """For each param group the factor from the schedule's LR to its own; `reference`: the own LR of a factor of 1."""

    factors: list[float]
    reference: float = 0.0


def shares_of(param_groups: list[ParamGroup], group_lrs: GroupLrs | None, known: Shares | None = None) -> Shares:
    """The shares of param groups by their own LRs: `initial_lr`, which torch's schedulers leave, else `lr`.

    The highest own LR is the reference, and a group at 0 stays there. `lr_scale` multiplies, unless the LRs have it
    already (a checkpoint of a loop that multiplied). `known` are the shares of the first groups if others were added
    after them, whose LRs are seen against the same reference.

    Raises ParamGroupMismatch if a share is not 1 and `group_lrs` does not say what becomes of it, and if it says
    "scale" of groups that are all at 0.
    """
    if group_lrs == "set":
        return Shares([1.0] * len(param_groups))
    lrs = [_own_lr(group) for group in param_groups]
    scales = [float(group.get("lr_scale", 1.0)) for group in param_groups]
    shares = _initial(lrs, scales) if known is None else _extended(known, lrs, scales)
    if group_lrs is None and any(factor != 1.0 for factor in shares.factors):
        raise ParamGroupMismatch(_choices(param_groups, lrs, scales, shares.factors))
    if group_lrs == "scale" and len(lrs) > 1 and not any(lrs) and len(set(scales)) == 1:
        raise ParamGroupMismatch('group_lrs="scale" needs a param group with an LR above 0: all are at 0')
    return shares


def note_initial_lrs(param_groups: list[ParamGroup], current_lrs: list[float]) -> None:
    """Notes the LRs that param groups were added with after those of `current_lrs`, as torch notes those of the others.

    A group that was added with exactly the LR that another one runs at now begins where that one began; one at 0 is
    frozen, wherever the others are.
    """
    first = len(current_lrs)
    for group in param_groups[first:]:
        lr = float(group["lr"])
        alike = (own for own, current in zip(param_groups[:first], current_lrs, strict=True) if current == lr > 0)
        group.setdefault("initial_lr", _own_lr(next(alike, group)))


def check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    """Raises ValueError, with name and value, for what is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} ({value!r:.40}) must be one of {', '.join(map(repr, choices))}")


def _own_lr(group: ParamGroup) -> float:
    return float(group["initial_lr"] if "initial_lr" in group else group["lr"])


def _initial(lrs: list[float], scales: list[float]) -> Shares:
    highest = max(lrs, default=0.0)
    scale = scales[lrs.index(highest)] if lrs else 1.0
    # Also where all are at 0: so a loop leaves them that has not taken a step of its warm-up.
    has_scale = (math.isclose(lr * scale, highest * own, rel_tol=1e-6) for lr, own in zip(lrs, scales, strict=True))
    if all(has_scale):
        return Shares(scales, highest / scale if scale else 0.0)
    return Shares([lr / highest * own for lr, own in zip(lrs, scales, strict=True)], highest)


def _extended(known: Shares, lrs: list[float], scales: list[float]) -> Shares:
    first, reference = len(known.factors), known.reference
    added = zip(lrs[first:], scales[first:], strict=True)
    return Shares(known.factors + [lr / reference * own if reference else own for lr, own in added], reference)


def _choices(param_groups: list[ParamGroup], lrs: list[float], scales: list[float], factors: list[float]) -> str:
    found = ", ".join(
        f"{group.get('name', index)}: {lr:g}" + (f" with lr_scale {scale:g}" if scale != 1.0 else "")
        for index, (group, lr, scale) in enumerate(zip(param_groups, lrs, scales, strict=True))
    )
    return (
        f"the optimizer's param groups have LRs of their own ({found}), the schedule has one for all: say "
        f'group_lrs="scale" to run them at {", ".join(f"{factor:g}" for factor in factors)} times that one, '
        'group_lrs="set" to run all of them at it, or give the spec param_groups'
    )
