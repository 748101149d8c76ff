"""Every scheduler that may stand in a spec: torch's own, the shapes it lacks, and what combines them."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypeAliasType

from preheat.specs.after_schedulers import compositions, sequences
from preheat.specs.after_schedulers.compositions import ClampLR, CooldownLR, MaxLR, MinLR, ProductLR, WindowLR
from preheat.specs.after_schedulers.decays import (
    REXLR,
    CosineLR,
    ExponentialDecayLR,
    InverseSqrtLR,
    InverseTimeLR,
    KDecayLR,
    NoamLR,
    PolynomialDecayLR,
    TanhLR,
)
from preheat.specs.after_schedulers.phases import PhasesLR
from preheat.specs.after_schedulers.points import ExpressionLR, PiecewiseLR, TableLR
from preheat.specs.after_schedulers.restarts import CosineRestartsLR
from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.after_schedulers.sequences import ChainedScheduler, SequentialLR
from preheat.specs.after_schedulers.shape import Shape
from preheat.specs.after_schedulers.staged import WSDLR, FlatCosineLR, RangeTestLR, SlantedTriangularLR, TriStageLR
from preheat.specs.after_schedulers.torch_schedulers import (
    SWALR,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    StepLR,
)

AfterScheduler = TypeAliasType(
    "AfterScheduler",
    Annotated[
        StepLR
        | MultiStepLR
        | ConstantLR
        | LinearLR
        | ExponentialLR
        | PolynomialLR
        | CosineAnnealingLR
        | CosineAnnealingWarmRestarts
        | CyclicLR
        | OneCycleLR
        | SWALR
        | MultiplicativeLR
        | SequentialLR
        | ChainedScheduler
        | PolynomialDecayLR
        | CosineLR
        | CosineRestartsLR
        | WSDLR
        | FlatCosineLR
        | InverseSqrtLR
        | NoamLR
        | TriStageLR
        | SlantedTriangularLR
        | InverseTimeLR
        | ExponentialDecayLR
        | KDecayLR
        | TanhLR
        | REXLR
        | RangeTestLR
        | PhasesLR
        | PiecewiseLR
        | TableLR
        | ExpressionLR
        | ProductLR
        | MaxLR
        | MinLR
        | ClampLR
        | WindowLR
        | CooldownLR,
        Field(discriminator="type"),
    ],
)
"""What may stand in a spec as `after_scheduler`."""

for _module in (sequences, compositions):
    for _model in vars(_module).values():
        if isinstance(_model, type) and issubclass(_model, Scheduler):
            _model.model_rebuild(force=True, _types_namespace={"AfterScheduler": AfterScheduler})

SCHEDULER_TYPES: dict[str, type[Scheduler]] = {
    model.__name__: model for model in AfterScheduler.__value__.__origin__.__args__
}
"""Every scheduler by its name."""

SHAPES: dict[str, type[Shape]] = {name: model for name, model in SCHEDULER_TYPES.items() if issubclass(model, Shape)}
"""Those that torch lacks."""
