"""Amendments: what is changed of a schedule from an iteration on, one after the other, on its values.

v₀ is the schedule as it stands above them, held at its last value past its end. Amendment i gives vᵢ from vᵢ₋₁: at the
iterations start … stop − 1 what its class says, elsewhere vᵢ = vᵢ₋₁. Iterations are those of the run. An amendment with
a clock of its own (rewarm, cooldown, replace with the clock `here`) is at its own 1 at `start`, as a run that counts
its updates from 1 is at its first.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Tag

from preheat.specs.durations import Iterations, IterationsOrZero
from preheat.specs.fields import MAX_ITERATION, MAX_PARAM_GROUPS, Closed, Int, NonNegative, Ratio, Share
from preheat.specs.hyperparameters import HyperparameterName, number_or_object

if TYPE_CHECKING:
    from preheat.specs.spec import Spec

MAX_AMENDMENTS = 2_000
"""Most amendments of a spec; where every one begins before the last, they take two million steps to be laid out."""


ChangeName = Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
"""The id of a change of a live run."""


class _Amendment(Closed):
    """An amendment in force at iterations start … stop − 1."""

    op: str
    start: IterationsOrZero = Field(description="First iteration at which it is in force.", examples=[12_000])
    stop: Iterations | None = Field(
        None, description="First iteration at which it no longer is; by default it stays.", examples=[12_300]
    )
    change: ChangeName | None = Field(
        None, description="In a revision of a live run, the id of the change that it is.", examples=["0123456789abcdef"]
    )


Names = Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_PARAM_GROUPS, fail_fast=True)]


_Value = Annotated[NonNegative, Field(le=1e6)]
PerGroup = Annotated[
    Annotated[_Value, Tag("a number")]
    | Annotated[dict[str, _Value], Field(min_length=1, max_length=MAX_PARAM_GROUPS), Tag("an object")],
    Discriminator(number_or_object),
]
"""One value for every param group, or an object with one for each by its name."""


class _OfGroups(_Amendment):
    """An amendment of one hyperparameter in some param groups."""

    param_groups: Names | None = Field(
        None, description="Names of the param groups that it is for; by default all that have it.", examples=[["head"]]
    )
    hyperparameter: HyperparameterName = Field(
        "lr", description="What is amended; gradient_clip, for one, if it has a schedule.", examples=["lr"]
    )


class ScaleAmendment(_OfGroups):
    """v · factor; where that is less than floor, floor, but never more than v."""

    op: Literal["scale"]
    factor: Ratio = Field(description="What every value is multiplied by.", examples=[0.5])
    floor: PerGroup | None = Field(
        None, description="What no value is lowered below, absolute; for a factor up to 1.", examples=[1e-6]
    )


class HoldAmendment(_OfGroups):
    """The value, at every iteration."""

    op: Literal["hold"]
    value: PerGroup = Field(description="The value, absolute.", examples=[1.875e-5, {"head": 1e-4}])


class ReplaceAmendment(_Amendment):
    """The values of another schedule in every column that it has; it may have none that the first lacks.

    At n its value at n, or with the clock `here` its value at n − start + 1; past its end its last one. The run ends
    where it does, if it replaces the LR of all param groups and stays.
    """

    op: Literal["replace"]
    schedule: "Spec" = Field(
        description="The spec of the other schedule.", examples=[{"target_lr": 0.01, "total_iterations": 20}]
    )
    clock: Literal["run", "here"] = Field("run", description="Whose iterations it counts.", examples=["here"])
    param_groups: Names | None = Field(
        None, description="Names of the param groups that it is for; by default all.", examples=[["head"]]
    )
    hyperparameter: HyperparameterName | None = Field(
        None, description="What is replaced; by default everything that the other schedule has.", examples=["lr"]
    )


class RewarmAmendment(_OfGroups):
    """v · (start_factor + (1 − start_factor) · x), x = (n − start + 1) / iterations.

    At n = start + iterations − 1, and from there on, v itself.
    """

    op: Literal["rewarm"]
    iterations: Iterations = Field(description="Iterations of the ramp.", examples=[200])
    start_factor: Share = Field(0.0, description="Factor before its first iteration.", examples=[0.1])


class CooldownAmendment(_OfGroups):
    """From v at n = start − 1 down (or up) to `to` at n = start + iterations − 1, where the run ends.

    Linear, v + (to − v) · x; cosine; or 1-sqrt, to + (v − to) · (1 − √x); x = (n − start + 1) / iterations. The run
    ends there if it is of the LR of all param groups. Source: as of CooldownLR.
    """

    op: Literal["cooldown"]
    iterations: Iterations = Field(description="Iterations of the cool-down.", examples=[1000])
    to: _Value = Field(0.0, description="Value at its end, absolute.", examples=[0.0])
    shape: Literal["linear", "cosine", "1-sqrt"] = Field("linear", description="Its shape.", examples=["1-sqrt"])


_Iteration = Annotated[Int, Field(ge=0, le=MAX_ITERATION)]
"""A number of iterations that follows from the schedule: no duration."""


class ExtendAmendment(_Amendment):
    """A longer run. `keep` goes on with the last value; `move-cooldown` moves the last phase to the new end.

    Where it comes after the end, the iterations before `start` have the last value, whatever amendments end there.

    With c the last iteration before the last phase and d the iterations more, move-cooldown gives v(n) at n ≤ c, v(c)
    at n ≤ c + d, and from there on v(n − d). Where both are given, as a change of a live run has them, they are other
    ones if need be, and all of it holds from `start` on.
    """

    op: Literal["extend"]
    total_iterations: Iterations = Field(description="Iterations of the run, warm-up included.", examples=[60_000])
    policy: Literal["keep", "move-cooldown"] = Field(
        "keep", description="What the last phase of the schedule does.", examples=["move-cooldown"]
    )
    moved_from: _Iteration | None = Field(
        None, description="c, the last iteration before the last phase; filled in.", examples=[45_000]
    )
    moved_by: Annotated[_Iteration, Field(ge=1)] | None = Field(
        None, description="d, if it is not what the run is longer by; c must be given too.", examples=[10_000]
    )
    held_from: _Iteration | None = Field(
        None, description="Of keep, whose value the iterations until `start` have, if not the end's.", examples=[20_000]
    )


Amendment = Annotated[
    ScaleAmendment | HoldAmendment | ReplaceAmendment | RewarmAmendment | CooldownAmendment | ExtendAmendment,
    Field(discriminator="op"),
]

AMENDMENTS: dict[str, type[_Amendment]] = {
    "scale": ScaleAmendment,
    "hold": HoldAmendment,
    "replace": ReplaceAmendment,
    "rewarm": RewarmAmendment,
    "cooldown": CooldownAmendment,
    "extend": ExtendAmendment,
}
"""Every amendment by its `op`."""
