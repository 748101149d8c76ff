"""Plateau: torch's own ReduceLROnPlateau as a fold over reports, with its state as plain data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from torch.optim.lr_scheduler import ReduceLROnPlateau

from preheat.errors import LimitExceeded
from preheat.runs.draft import Draft, Outcome
from preheat.runs.errors import ControllerNotFound, RunFinished
from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.record import line
from preheat.runs.revision import base_of
from preheat.runs.run import Attempt, Controller, Run, Snapshot
from preheat.schedulers import StandInOptimizer
from preheat.specs import InvalidSpec, violation
from preheat.specs.amendments import Names, PerGroup
from preheat.specs.fields import Closed, Int, NonNegative

if TYPE_CHECKING:
    from preheat.runs.attempts import Reports

_MOST_SNAPSHOTS = 64
_STATE = ("best", "cooldown_counter", "num_bad_epochs", "last_epoch")


class PlateauParameters(Closed):
    """The arguments of torch's ReduceLROnPlateau, whose epochs are reports here."""

    mode: Literal["min", "max"] = Field("min", description="Whether less of the metric is better.", examples=["min"])
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="What the LR is multiplied by.", examples=[0.5]
    )
    patience: Annotated[Int, Field(ge=0, le=10**9)] = Field(
        10, description="Reports without an improvement before the LR is reduced.", examples=[5]
    )
    threshold: NonNegative = Field(1e-4, description="What counts as an improvement.", examples=[1e-3])
    threshold_mode: Literal["rel", "abs"] = Field("rel", description="Of what it is a share.", examples=["rel"])
    cooldown: Annotated[Int, Field(ge=0, le=10**9)] = Field(
        0, description="Reports after a reduction that do not count.", examples=[2]
    )
    min_lr: PerGroup = Field(0.0, description="LR that none is reduced below.", examples=[1e-6])
    eps: NonNegative = Field(1e-8, description="Least reduction of an LR that is made.", examples=[1e-8])
    param_groups: Names | None = Field(None, description="Param groups that it is for; by default all.")


def control(
    run: Run, controller_id: str, metric: str, parameters: PlateauParameters, author: str, now: float,
    limits: Limits = DEFAULT_LIMITS,
) -> Outcome[Controller]:  # fmt: skip
    """Adds a controller, which follows the reports of a metric of what has not been handed out yet.

    One that is there already and does the same is the answer, and nothing is added: two would both reduce.
    Raises RunFinished, LimitExceeded; InvalidSpec for a param group that is unknown.
    """
    if run.is_finished:
        raise RunFinished(run.id)
    groups, content = check_groups(run, parameters), parameters.model_dump(mode="json", exclude_none=True)
    same = next((each for each in run.controllers if _does(each, metric, content, groups)), None)
    if same is not None:
        return Draft(run, now).outcome(same)
    if len(run.controllers) >= limits.most_controllers:
        count = len(run.controllers) + 1
        way = "remove one that is no longer needed"
        raise LimitExceeded("controllers of a run", count, "max_controllers_per_run", limits.most_controllers, way)
    draft = Draft(run, now)
    first = run.horizon
    controller = Controller(controller_id, metric, content, groups, state={}, first=first, folded=-1)
    draft.set(controllers=(*run.controllers, controller))
    draft.note("controller-added", controller=controller_id, metric=metric, author=author)
    return draft.outcome(controller)


def _does(controller: Controller, metric: str, content: Mapping[str, Any], groups: tuple[str, ...]) -> bool:
    """Whether a controller does what is asked for, whether its groups were named or are all."""
    own, asked = ({**each, "param_groups": None} for each in (controller.parameters, content))
    return controller.metric == metric and own == asked and set(controller.param_groups) == set(groups)


def release(run: Run, controller_id: str, author: str, now: float) -> Outcome[None]:
    """Takes a controller away; its reductions stay. Raises ControllerNotFound."""
    kept = tuple(each for each in run.controllers if each.id != controller_id)
    if len(kept) == len(run.controllers):
        raise ControllerNotFound(controller_id)
    draft = Draft(run, now)
    draft.set(controllers=kept)
    draft.note("controller-removed", controller=controller_id, author=author)
    return draft.outcome(None)


def check_groups(run: Run, parameters: PlateauParameters) -> tuple[str, ...]:
    """The param groups of a controller. Raises InvalidSpec."""
    known = base_of(run).spec.group_names
    groups = parameters.param_groups or known
    wrong = [
        violation(("param_groups", i), f"must be one of {', '.join(known)}", g)
        for i, g in enumerate(groups)
        if g not in known
    ]
    if isinstance(parameters.min_lr, dict) and set(parameters.min_lr) != set(groups):
        wrong.append(violation(("min_lr",), f"must have the param groups {', '.join(groups)}", parameters.min_lr))
    if wrong:
        raise InvalidSpec(wrong)
    return tuple(groups)


def stepped(
    parameters: Mapping[str, Any], groups: Sequence[str], state: Mapping[str, Any], value: float, lrs: Sequence[float]
) -> tuple[dict[str, Any], list[float]]:
    """The state after one report, and what torch makes of the LRs: each the same, or reduced."""
    own = {name: each for name, each in parameters.items() if name != "param_groups"}
    if isinstance(own.get("min_lr"), Mapping):
        own["min_lr"] = [own["min_lr"][group] for group in groups]
    optimizer = StandInOptimizer(lrs)
    scheduler = ReduceLROnPlateau(optimizer, **own)
    if state:
        restored = {name: float(state[name]) if name == "best" else state[name] for name in _STATE}
        scheduler.load_state_dict({**scheduler.state_dict(), **restored})
    scheduler.step(value)
    found = scheduler.state_dict()
    # JSON has no infinity: as a text it is read back by float().
    best = found["best"] if math.isfinite(found["best"]) else repr(found["best"])
    return {**{name: found[name] for name in _STATE}, "best": best}, [group["lr"] for group in optimizer.param_groups]


def with_report(controller: Controller, attempt: int, iteration: int, state: dict[str, Any]) -> Controller:
    """The controller after the report of an iteration; of many snapshots every other older one goes."""
    snapshots = (*controller.snapshots, Snapshot(attempt, iteration, state))
    if len(snapshots) > _MOST_SNAPSHOTS:
        half = _MOST_SNAPSHOTS // 2
        snapshots = (*snapshots[:half:2], *snapshots[half:])
    return replace(controller, state=state, folded=iteration, snapshots=snapshots)


def rewind(draft: Draft, parent: Attempt | None, k: int, reports: "Reports") -> None:
    """Takes every controller back to what it was before iteration k on the line of the parent, and its reductions.

    A reduction stays exactly if its report does. Reports since the last snapshot on that line are folded again.
    """
    if parent is None:
        return
    stops = {
        each.number: min(end for end in (k, stop, draft.run.shared_until(each.number)) if end is not None)
        for each, stop in line(draft.run, parent.number)
    }
    draft.set(controllers=tuple(_rewound(each, stops, reports) for each in draft.run.controllers))
    for change in draft.run.changes:
        cause = change.cause
        if cause is not None and change.effect is not None and cause.iteration >= stops.get(cause.attempt, 0):
            draft.place(change, None, "dropped", why=f"its report of iteration {cause.iteration:,} counts no more")


def _rewound(controller: Controller, stops: dict[int, int], reports: "Reports") -> Controller:
    """`stops` has, for every attempt of the line, the end of what is of it."""
    kept = tuple(each for each in controller.snapshots if each.iteration < stops.get(each.attempt, 0))
    state: Mapping[str, Any] = kept[-1].state if kept else {}
    folded = kept[-1].iteration if kept else -1
    found = replace(controller, state=state, snapshots=kept, folded=folded)
    # Numbers of attempts go up from the root on.
    for number in sorted(stops):
        for iteration, value in reports(controller.metric, number, max(found.folded + 1, found.first), stops[number]):
            # LRs of 1: what is reduced is known already, and the state does not depend on it.
            ones = [1.0] * len(found.param_groups)
            after, _ = stepped(found.parameters, found.param_groups, found.state, value, ones)
            found = with_report(found, number, iteration, after)
    return found
