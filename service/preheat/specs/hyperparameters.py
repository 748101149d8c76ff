"""Hyperparameters besides the LR: schedules in its words, of all param groups or of one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag

from preheat.specs.after_schedulers import AfterScheduler
from preheat.specs.fields import MAX_PARAM_GROUPS, Closed, NonNegative
from preheat.specs.violations import Location
from preheat.specs.warmup import Warmup, WarmupOrIterations

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"

HyperparameterName = Annotated[str, Field(pattern=NAME_PATTERN, max_length=50)]


class GroupHyperparameter(Closed):
    """A hyperparameter with a schedule of its own, in the LR's words; its `value` stands where target_lr does."""

    value: NonNegative = Field(le=1e6, description="Value at the end of its warm-up.", examples=[0.05])
    # One instance for all: models are frozen.
    warmup: WarmupOrIterations = Field(Warmup(), description="Its warm-up.", examples=[{"iterations": 10}])
    after_scheduler: AfterScheduler | None = Field(
        None,
        description="The scheduler that follows it; min_lr there is its end.",
        examples=[{"type": "CosineLR", "min_lr": 0.4}],
    )


class Hyperparameter(GroupHyperparameter):
    """A hyperparameter of the param groups that it names, or of all that have none of that name of their own."""

    param_groups: (
        Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_PARAM_GROUPS, fail_fast=True)] | None
    ) = Field(None, description="Names of the param groups that it is for; by default all.", examples=[["decay"]])


def number_or_object(value: Any) -> str:
    """The tag of a union's member, where either may stand."""
    # A bool is an int in Python, and no value of a hyperparameter.
    return "a number" if isinstance(value, int | float) and not isinstance(value, bool) else "an object"


_Constant = Annotated[NonNegative, Field(le=1e6)]

if TYPE_CHECKING:  # a number is validated to a hyperparameter
    ValueOrHyperparameter = Hyperparameter
    ValueOrGroupHyperparameter = GroupHyperparameter
else:
    # Tags with a blank, because no hyperparameter has such a name. A validator around the whole would see what JSON has
    # as Python values, in which a strict model takes no list for a tuple.
    ValueOrHyperparameter, ValueOrGroupHyperparameter = (
        Annotated[
            Annotated[_Constant, AfterValidator(lambda value, model=model: model(value=value)), Tag("a number")]
            | Annotated[model, Tag("an object")],
            Discriminator(number_or_object),
        ]
        for model in (Hyperparameter, GroupHyperparameter)
    )


@dataclass(frozen=True)
class Assignment:
    """A hyperparameter's schedule, and the param groups that have it; `location` leads to it in the spec."""

    name: str
    groups: tuple[str, ...]
    schedule: GroupHyperparameter
    location: Location
