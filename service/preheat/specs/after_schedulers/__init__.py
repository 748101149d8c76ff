"""Every scheduler that may stand in a spec as `after_scheduler`: torch's own, shapes that it lacks, compositions."""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field
from typing_extensions import TypeAliasType

from preheat.specs.after_schedulers import (
    compositions,
    decays,
    phases,
    piecewise,
    restarts,
    sequences,
    staged,
    staircase,
    torch_cycles,
    torch_decays,
)
from preheat.specs.after_schedulers.scheduler import Scheduler, Shape

_FAMILIES = (
    torch_decays,
    torch_cycles,
    sequences,
    decays,
    restarts,
    staged,
    piecewise,
    phases,
    compositions,
    staircase,
)
"""The modules with schedulers: a class with a `type` of its own in one of them is served."""

SCHEDULER_TYPES: dict[str, type[Scheduler]] = {
    name: model
    for family in _FAMILIES
    for name, model in vars(family).items()
    # A module also holds the schedulers that it imports, from which __module__ tells its own.
    if isinstance(model, type) and issubclass(model, Scheduler) and model.__module__ == family.__name__
    if model.model_fields["type"].annotation is not str  # a base class of several
}
"""Every scheduler by its name."""

SHAPES: dict[str, type[Shape]] = {name: model for name, model in SCHEDULER_TYPES.items() if issubclass(model, Shape)}
"""Those that torch lacks and that are a formula alone."""

if TYPE_CHECKING:  # a union of what SCHEDULER_TYPES has at run time, of which all that is known is the base
    AfterScheduler = Scheduler
else:
    AfterScheduler = TypeAliasType(
        "AfterScheduler",
        Annotated[Union[tuple(SCHEDULER_TYPES.values())], Field(discriminator="type")],  # noqa: UP007
    )

# Compositions contain what is defined only now; a subclass of one that pydantic has completed needs it too.
for _model in SCHEDULER_TYPES.values():
    _model.model_rebuild(force=True, _types_namespace={"AfterScheduler": AfterScheduler})
