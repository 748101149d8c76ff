"""Spec: what a user may say of a schedule, its param groups and its other hyperparameters."""

from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Literal

from pydantic import Field

from preheat.specs.after_schedulers import AfterScheduler
from preheat.specs.amending import amended_phases, lengths
from preheat.specs.amendments import MAX_AMENDMENTS, Amendment, ReplaceAmendment
from preheat.specs.durations import Iterations, Size, Units
from preheat.specs.fields import LR, MAX_PARAM_GROUPS, Closed, Int, Ratio
from preheat.specs.hyperparameters import (
    Assignment,
    HyperparameterName,
    ValueOrGroupHyperparameter,
    ValueOrHyperparameter,
)
from preheat.specs.tracks import Column, Phase, Track
from preheat.specs.warmup import Warmup, WarmupOrIterations


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
    warmup: WarmupOrIterations | None = Field(None, description="A warm-up of its own.", examples=[{"iterations": 10}])
    after_scheduler: AfterScheduler | None = Field(
        None, description="A scheduler of its own.", examples=[{"type": "CosineLR"}]
    )
    hyperparameters: dict[HyperparameterName, ValueOrGroupHyperparameter] | None = Field(
        None,
        max_length=20,
        description="Hyperparameters of its own, instead of the spec's of the same name; a number is a constant.",
        examples=[{"weight_decay": 0.0}],
    )


class LayerDecay(Closed):
    """Param groups by layer, layer_0 … layer_{layers + 1}: target_lr · factor^(layers + 1 − i) in group i.

    Group 0 is the embedding, the last the head. Source: Clark et al., ELECTRA (arXiv 2003.10555); BEiT, MAE.
    """

    # With embedding and head there are two groups more, within MAX_PARAM_GROUPS.
    layers: Annotated[Int, Field(ge=1, le=250)] = Field(description="Blocks between embedding and head.", examples=[12])
    factor: Annotated[float, Field(ge=1e-6, le=1)] = Field(
        description="Factor from one layer to the one below.", examples=[0.75]
    )

    def param_groups(self, target_lr: float) -> tuple[ParamGroup, ...]:
        """The groups, from the embedding up."""
        last = self.layers + 1
        return tuple(
            # Not validated: a target out of bounds is refused later as target_lr, which is what the user wrote.
            ParamGroup.model_construct(name=f"layer_{layer}", target_lr=target_lr * self.factor ** (last - layer))
            for layer in range(last + 1)
        )


class BatchScaling(Closed):
    """Every target LR times (batch / reference_batch), or the square root of that; end LRs stay as they are.

    Source: Goyal et al. (arXiv 1706.02677) for linear; Krizhevsky (arXiv 1404.5997) for the square root.
    """

    rule: Literal["linear", "sqrt"] = Field(description="How the LR follows the batch.", examples=["linear"])
    reference_batch: Size = Field(description="Batch that target_lr is stated for.", examples=[256])
    batch: Size = Field(description="Batch of the run, over all ranks.", examples=[8192])

    @property
    def scale(self) -> float:
        """What a target LR is multiplied by."""
        ratio = self.batch / self.reference_batch
        return float(ratio if self.rule == "linear" else ratio**0.5)


class Spec(Closed):
    """A learning-rate schedule: a warm-up to target_lr, then a scheduler.

    Iterations run 0 … total_iterations, both included. A duration is a whole number of iterations or a text: "10%" of
    the run, "5ep", "2000it", "4e6sp" or "375e6tok", turned into the nearest iteration by `units`.
    """

    target_lr: LR = Field(description="LR at the end of the warm-up.", examples=[0.01])
    total_iterations: Iterations = Field(description="Iterations of the run, warm-up included.", examples=[20])
    warmup: WarmupOrIterations = Field(
        default=Warmup(), description="The warm-up; a number is its iterations.", examples=[{"iterations": 10}]
    )
    after_scheduler: AfterScheduler | None = Field(
        None,
        description="The scheduler that follows the warm-up; without one the target LR is held.",
        examples=[{"type": "CosineAnnealingLR"}],
    )
    param_groups: (
        Annotated[tuple[ParamGroup, ...], Field(min_length=1, max_length=MAX_PARAM_GROUPS, fail_fast=True)] | None
    ) = Field(
        None,
        description="The optimizer's param groups, in its order; by default one group.",
        examples=[[{"name": "backbone", "target_lr": 0.001}, {"name": "head"}]],
    )
    layer_decay: LayerDecay | None = Field(
        None,
        description="Param groups by layer, instead of param_groups; they are written out in the answer.",
        examples=[{"layers": 12, "factor": 0.75}],
    )
    hyperparameters: dict[HyperparameterName, ValueOrHyperparameter] | None = Field(
        None,
        max_length=20,
        description="Schedules of other hyperparameters, by name: weight_decay, momentum, gradient_clip, …",
        examples=[{"weight_decay": {"value": 0.04, "after_scheduler": {"type": "CosineLR", "min_lr": 0.4}}}],
    )
    batch_scaling: BatchScaling | None = Field(
        None,
        description="Scales every target LR with the batch; the answer has the scaled ones.",
        examples=[{"rule": "linear", "reference_batch": 256, "batch": 8192}],
    )
    amendments: Annotated[tuple[Amendment, ...], Field(max_length=MAX_AMENDMENTS, fail_fast=True)] | None = Field(
        None,
        description="What is changed of all this from an iteration on, in this order; the changes of a run.",
        examples=[[{"op": "scale", "start": 12, "factor": 0.5}]],
    )
    units: Units | None = Field(
        None, description="What epochs, samples and tokens are in iterations.", examples=[{"iterations_per_epoch": 156}]
    )
    recipe: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Name of a recipe (GET /v1/recipes) whose fields stand where the spec has none.",
        examples=["llama-3-405b"],
    )
    label: str | None = Field(
        None, min_length=1, max_length=200, description="A name to find the schedule by.", examples=["resnet-50"]
    )

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the param groups: `default` for one without a name, `group_0`, `group_1`, … for several."""
        groups = self.param_groups or (ParamGroup(),)
        if len(groups) == 1:
            return (groups[0].name or "default",)
        return tuple(group.name or f"group_{index}" for index, group in enumerate(groups))

    @property
    def target_lrs(self) -> tuple[float, ...]:
        """Target LR of each param group."""
        return tuple(map(self.target_lr_of, self.param_groups or (ParamGroup(),)))

    def target_lr_of(self, group: ParamGroup) -> float:
        """Target LR of a param group: its own, a factor of the spec's, or the spec's."""
        if group.factor is not None:
            return self.target_lr * group.factor
        return self.target_lr if group.target_lr is None else group.target_lr

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of an answer: the LR of each param group, then each other hyperparameter of each."""
        names = self.group_names
        found = [Column(name) for name in names]
        found += [
            Column(name, "momentum")
            for index, name in enumerate(names)
            if (after := self._schedule_of(index)[1]) is not None and after.cycles_momentum
        ]
        for hyperparameter, assignments in groupby(self.assignments, attrgetter("name")):
            first, *others = (assignment.groups for assignment in assignments)
            # One schedule has its groups in the order in which it names them; several are mixed, in the groups' order.
            mixed = set(sum(others, first))
            groups = [name for name in names if name in mixed] if others else first
            found += [Column(group, hyperparameter) for group in groups]
        return tuple(found)

    @property
    def assignments(self) -> list[Assignment]:
        """The schedules of other hyperparameters, by name: the spec's first, then those that groups have instead."""
        names, shared = self.group_names, self.hyperparameters or {}
        of_groups = [group.hyperparameters or {} for group in self.param_groups or ()]
        found = []
        # Sorted: columns follow this order, and must not depend on the order of keys in the document.
        for hyperparameter in sorted({*shared, *(name for own in of_groups for name in own)}):
            owners = {
                name: index
                for index, (name, own) in enumerate(zip(names, of_groups, strict=False))
                if hyperparameter in own
            }
            if hyperparameter in shared:
                schedule = shared[hyperparameter]
                groups = tuple(name for name in schedule.param_groups or names if name not in owners)
                found.append(Assignment(hyperparameter, groups, schedule, ("hyperparameters", hyperparameter)))
            for name, index in owners.items():
                location = ("param_groups", index, "hyperparameters", hyperparameter)
                found.append(Assignment(hyperparameter, (name,), of_groups[index][hyperparameter], location))
        return found

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What is stepped as one, of a normalised spec; together the tracks have every column once."""
        names, targets = self.group_names, self.target_lrs
        index_of = {column: index for index, column in enumerate(self.columns)}
        own = [index for index, group in enumerate(self.param_groups or ()) if group.warmup or group.after_scheduler]
        shared = tuple(sorted({*range(len(names))} - {*own}))
        found: list[Track] = []
        if shared:
            found.append(Track(shared, tuple(targets[index] for index in shared), self.warmup, self.after_scheduler))
        found += [
            Track((index,), (targets[index],), *self._schedule_of(index), ("param_groups", index)) for index in own
        ]
        # Momentum is a track of its own: no warm-up applies to it, and its columns come after all LRs.
        for track in [track for track in found if track.after_scheduler and track.after_scheduler.cycles_momentum]:
            momenta = tuple(index_of[Column(names[index], "momentum")] for index in track.columns)
            found.append(replace(track, columns=momenta, is_momentum=True))
        for each in self.assignments:
            indices = tuple(index_of[Column(group, each.name)] for group in each.groups)
            values = (each.schedule.value,) * len(indices)
            found.append(Track(indices, values, each.schedule.warmup, each.schedule.after_scheduler, each.location))
        return tuple(found)

    @property
    def amended_total_iterations(self) -> int:
        """The last iteration of a normalised spec, whose amendments may have made the run longer or shorter."""
        return lengths(self)[-1]

    @property
    def phases(self) -> list[Phase]:
        """The phases of a normalised spec's own warm-up and scheduler, amended, from 0 to its last iteration + 1."""
        own = Track((), (), self.warmup, self.after_scheduler).phases(self.total_iterations)
        return amended_phases(self, own)

    @property
    def replacing(self) -> "tuple[Spec, ...]":
        """The schedules that amendments put in the place of this one."""
        return tuple(each.schedule for each in self.amendments or () if isinstance(each, ReplaceAmendment))

    @property
    def has_closed_form(self) -> bool:
        """Whether any iteration can be computed without stepping to it."""
        is_closed = all(track.after_scheduler is None or track.after_scheduler.is_closed for track in self.tracks)
        return is_closed and all(spec.has_closed_form for spec in self.replacing)

    def _schedule_of(self, index: int) -> tuple[Warmup, AfterScheduler | None]:
        """Warm-up and scheduler of a param group: each its own, or the spec's."""
        group = self.param_groups[index] if self.param_groups else ParamGroup()
        return group.warmup or self.warmup, group.after_scheduler or self.after_scheduler


# The schedule of a ReplaceAmendment is a spec, which is defined only now.
ReplaceAmendment.model_rebuild(_types_namespace={"Spec": Spec})
Spec.model_rebuild(force=True, _types_namespace={"Spec": Spec})
