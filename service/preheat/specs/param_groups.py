"""Param groups of a spec, what gives each its target, and hyperparameters with schedules of their own."""

from typing import Annotated, Literal

from pydantic import Field

from preheat.specs.after_schedulers import AfterScheduler
from preheat.specs.fields import LR, Closed, NonNegative, Ratio
from preheat.specs.warmup import Warmup

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"


class ParamGroup(Closed):
    """One param group of the optimizer."""

    name: str | None = Field(
        None, min_length=1, max_length=100, description="Name of the group; all have one, or none.", examples=["head"]
    )
    target_lr: LR | None = Field(
        None, description="LR at the end of the warm-up; by default the spec's target_lr.", examples=[0.001]
    )
    factor: Ratio | None = Field(
        None, description="The same as a factor of the spec's target_lr, instead of target_lr.", examples=[0.1]
    )
    warmup: Warmup | None = Field(None, description="A warm-up of its own.", examples=[{"iterations": 10}])
    after_scheduler: AfterScheduler | None = Field(
        None, description="A scheduler of its own.", examples=[{"type": "CosineLR"}]
    )


class LayerDecay(Closed):
    """Param groups by layer, layer_0 … layer_{layers + 1}: target_lr · factor^(layers + 1 − i) in group i.

    Group 0 is the embedding, the last the head. Source: Clark et al., ELECTRA (arXiv 2003.10555); BEiT, MAE.
    """

    layers: Annotated[int, Field(ge=1, le=250)] = Field(description="Blocks between embedding and head.", examples=[12])
    factor: Annotated[float, Field(ge=1e-6, le=1)] = Field(
        description="Factor from one layer to the one below.", examples=[0.75]
    )

    def param_groups(self, target_lr: float) -> tuple[ParamGroup, ...]:
        """The groups, from the embedding up."""
        last = self.layers + 1
        return tuple(
            ParamGroup.model_construct(name=f"layer_{layer}", target_lr=target_lr * self.factor ** (last - layer))
            for layer in range(last + 1)
        )


class BatchScaling(Closed):
    """Every target LR times (batch / reference_batch), or the square root of that; end LRs stay as they are.

    Source: Goyal et al. (arXiv 1706.02677) for linear; Krizhevsky (arXiv 1404.5997) for the square root.
    """

    rule: Literal["linear", "sqrt"] = Field(description="How the LR follows the batch.", examples=["linear"])
    reference_batch: Annotated[float, Field(ge=1e-6, le=1e15)] = Field(
        description="Batch that target_lr is stated for.", examples=[256]
    )
    batch: Annotated[float, Field(ge=1e-6, le=1e15)] = Field(
        description="Batch of the run, over all ranks.", examples=[8192]
    )

    @property
    def scale(self) -> float:
        """What a target LR is multiplied by."""
        ratio = self.batch / self.reference_batch
        return float(ratio if self.rule == "linear" else ratio**0.5)


class Hyperparameter(Closed):
    """A hyperparameter with a schedule of its own, in the LR's words; its `value` stands where target_lr does."""

    value: NonNegative = Field(le=1e6, description="Value at the end of its warm-up.", examples=[0.05])
    warmup: Warmup = Field(Warmup(), description="Its warm-up.", examples=[{"iterations": 10}])
    after_scheduler: AfterScheduler | None = Field(
        None,
        description="The scheduler that follows it; min_lr there is its end.",
        examples=[{"type": "CosineLR", "min_lr": 0.4}],
    )
    param_groups: Annotated[tuple[str, ...], Field(min_length=1, max_length=256, fail_fast=True)] | None = Field(
        None, description="Names of the param groups that it is for; by default all.", examples=[["decay"]]
    )
