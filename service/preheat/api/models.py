"""Models of JSON requests and answers: what each field means, for the OpenAPI document and for what routes return."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from preheat.api.links import Links, ScheduleLinks, ScheduleWindowLinks, WindowLinks
from preheat.conversions import Source
from preheat.lint import Finding
from preheat.server import API_LEVEL, OLDEST_API_LEVEL
from preheat.specs import Spec
from preheat.specs.fields import LR, MAX_ITERATION, Closed

_LINT = "What its author may not have meant, the most severe first."
_OTHERS = "Others that have a schedule, by name, if there are any."
_ID = "630e8304e0352e14c20ae59b8f487901"


class GroupName(BaseModel):
    """A param group."""

    name: str = Field(description="Name of the param group.", examples=["default"])


class ColumnName(BaseModel):
    """What a column of an answer has the values of."""

    group: str = Field(description="Name of the param group.", examples=["default"])
    hyperparameter: str = Field(description="lr, momentum, weight_decay, …", examples=["lr"])


# What several answers share; without a schema of its own in the OpenAPI document, which has what is inherited in full.
class _Bounds(BaseModel):
    start: int = Field(description="First iteration.", examples=[8])
    stop: int = Field(description="Iteration before which the window ends.", examples=[11])


class _Steps(_Bounds):
    step: int = Field(description="Distance of two iterations.", examples=[1])


class _Heading(BaseModel):
    id: str = Field(description="Hash of the schedule as it was written down.", examples=[_ID])
    total_iterations: int = Field(description="Iterations of the run, warm-up included.", examples=[20])
    columns: list[ColumnName] = Field(description="The columns of CSV and NPY, in order: every group's LR first.")


class _Origin(_Heading):
    spec: Spec = Field(description="The normalised spec: every default filled in.")
    torch_version: str | None = Field(
        description="The torch that it was made under; null where no torch scheduler computes.", examples=["2.13.0"]
    )
    computes: bool = Field(description="Whether this service's torch gives the LRs that it has.", examples=[True])


class ScheduleAnswer(_Origin):
    """A schedule without its learning rates, and what lint says about it."""

    links: ScheduleLinks = Field(description="Where to find more.")
    groups: list[GroupName] = Field(description="The param groups, in order.")
    lint: list[Finding] | None = Field(
        description=f"{_LINT} Null if the schedule does not compute, lint is not asked for, or it takes too long."
    )


class GroupLRs(GroupName):
    """Learning rates of one param group."""

    lr: list[float] = Field(description="One LR per iteration of the window.", examples=[[0.008, 0.009, 0.01]])
    hyperparameters: dict[str, list[float]] | None = Field(
        None, description=_OTHERS, examples=[{"momentum": [0.9, 0.89]}]
    )


class _Window(_Heading, _Steps):
    groups: list[GroupLRs] = Field(description="The values, a list per param group and hyperparameter.")


class WindowAnswer(_Window):
    """Learning rates of iterations start, start + step, … below stop: a column per param group."""

    links: WindowLinks = Field(description="Where to find more.")


class ScheduleWindowAnswer(_Window, _Origin):
    """A schedule with a window of its learning rates: the first 5,000 values, unless another window is asked for."""

    is_complete: bool = Field(
        description="Whether these are the LRs of the whole run; if not, `links.next` has those that follow.",
        examples=[True],
    )
    links: ScheduleWindowLinks = Field(description="Where to find more.")
    lint: list[Finding] | None = Field(
        description=f"{_LINT} Null if it takes too long, or the window is empty: who asks for no LR waits for no lint.",
        examples=[[]],
    )


class GroupLR(GroupName):
    """Learning rate of one param group."""

    lr: float = Field(description="The LR.", examples=[0.009])
    hyperparameters: dict[str, float] | None = Field(None, description=_OTHERS, examples=[{"momentum": 0.9}])


class PointAnswer(BaseModel):
    """Learning rates of one iteration."""

    iteration: int = Field(description="The iteration.", examples=[9])
    groups: list[GroupLR] = Field(description="One entry per param group.")


class UnreadableSchedule(BaseModel):
    """A stored schedule that cannot be read."""

    id: str = Field(description="Its id.", examples=[_ID])
    reason: str = Field(description="damaged, or unknown-content of a later version.", examples=["damaged"])
    detail: str = Field(description="What is wrong.", examples=["its content is not what its id is the hash of"])


class ScheduleSummary(BaseModel):
    """A schedule in a list."""

    id: str = Field(description="Its id.", examples=[_ID])
    label: str | None = Field(description="The label of its spec, if there is one.", examples=["resnet-50"])
    target_lr: float = Field(description="The target LR of its spec.", examples=[0.01])
    total_iterations: int = Field(description="Iterations of the run, warm-up included.", examples=[20])
    after_scheduler: str | None = Field(
        description="Type of the scheduler after the warm-up; null where the LR is held.", examples=["CosineLR"]
    )
    created_at: str | None = Field(
        description="When it was stored (UTC); null for those that a version before stored.",
        examples=["2026-01-31T12:00:00Z"],
    )
    links: Links = Field(description="Where to find more.")


class ScheduleList(BaseModel):
    """A page of schedules, newest first."""

    schedules: list[ScheduleSummary] = Field(description="The page.")
    unreadable: list[UnreadableSchedule] = Field(description="Schedules of the page that cannot be read.")
    next: str | None = Field(description="Cursor of the next page; null on the last.", examples=["MTI"])


class ColumnTotal(ColumnName):
    """Sum and mean of one column."""

    sum: float = Field(description="Sum over the window.", examples=[0.1])
    mean: float = Field(description="Mean over the window.", examples=[0.005])


class TotalAnswer(_Bounds):
    """Sums over a window."""

    columns: list[ColumnTotal] = Field(description="Every column.")


class CrossingAnswer(ColumnName):
    """When a value is reached."""

    value: float = Field(description="The value asked for.", examples=[0.005])
    iteration: int | None = Field(
        description="The first iteration at which it is reached; null for never.", examples=[5]
    )
    reached: float | None = Field(description="The value there.", examples=[0.005])
    rises: bool | None = Field(description="Whether it is reached from below.", examples=[True])
    is_sampled: bool = Field(
        description="Whether an earlier crossing, or any, may be missed: the window is long, and where an expression, "
        "several combined schedulers or a dampened warm-up turn cannot be told, so that a sample is looked at.",
        examples=[False],
    )


class DifferenceRow(ColumnName):
    """One iteration of two schedules."""

    iteration: int = Field(description="The iteration.", examples=[11])
    a: float = Field(description="The value in a.", examples=[0.01])
    b: float = Field(description="The value in b.", examples=[0.009])
    difference: float = Field(description="b − a.", examples=[-0.001])


class DifferenceAnswer(_Steps):
    """The differences of two schedules."""

    a: str = Field(description="Id of the first.", examples=[_ID])
    b: str = Field(description="Id of the second.", examples=[_ID])
    total_iterations: dict[str, int] = Field(description="Length of each.", examples=[{"a": 20, "b": 30}])
    columns: list[ColumnName] = Field(description="Columns compared: those that both have.")
    first: DifferenceRow | None = Field(description="The first difference; null if there is none.")
    largest: DifferenceRow | None = Field(description="The largest difference; null if there is none.")
    table: list[DifferenceRow] = Field(description="Iterations at even distances.")


class GroupHandover(BaseModel):
    """One param group where one schedule takes over from another."""

    group: str = Field(description="Name of the param group.", examples=["default"])
    last_lr: float = Field(description="LR of the last update before it.", examples=[0.01])
    old_lr: float = Field(description="LR of the first update after the handover by the old schedule.", examples=[0.01])
    new_lr: float = Field(description="The same by the new one, with the policy applied.", examples=[0.01])
    ratio: float | None = Field(description="New over old; null where the old LR is 0.", examples=[1.0])
    is_continuous: bool = Field(description="Whether both are the same.", examples=[True])
    is_ordinary: bool = Field(
        description="Whether the step from last_lr to new_lr is no larger than the schedules' own.", examples=[True]
    )


class HandoverAnswer(BaseModel):
    """What becomes of a run that goes over to another schedule."""

    iteration: int = Field(description="The first update after the handover, by the new schedule.", examples=[12])
    old_iteration: int = Field(description="The same update by the count of the old one.", examples=[12])
    groups: list[GroupHandover] = Field(description="Every param group there.")
    lint: list[Finding] | None = Field(
        description="What lint says about the spec, of a run that is there; null if it takes too long."
    )
    spec: dict[str, Any] = Field(description="The spec to go on with; post it to get its schedule.")


class LintAnswer(BaseModel):
    """What lint says about a spec."""

    is_valid: bool = Field(description="Whether the spec would be taken: it has no error.", examples=[True])
    findings: list[Finding] = Field(description="The most severe first.")


class RecipeSummary(BaseModel):
    """A recipe in the list."""

    name: str = Field(description="Name, for `recipe` in a spec.", examples=["llama-3-405b"])
    title: str = Field(description="What it trains.", examples=["Llama 3 405B, AdamW"])
    source: str = Field(description="Paper or configuration.", examples=["Dubey et al., arXiv 2407.21783 §3.4.1"])
    plot_png: str = Field(description="Its picture.", examples=["/v1/plot.png?spec=%7B%22recipe%22..."])


class RecipeAnswer(RecipeSummary):
    """A recipe."""

    notes: str = Field(description="What its units are, and what the source leaves open.", examples=[""])
    recipe: dict[str, Any] = Field(description="The spec as a user writes it.")
    spec: dict[str, Any] = Field(description="The normalised spec.")


class RecipeList(BaseModel):
    """Every recipe."""

    recipes: list[RecipeSummary] = Field(description="The recipes.")


class ImportRequest(Closed):
    """A schedule of another library."""

    library: Source | None = Field(
        None, description="Whose schedule it is; by default the one that its names tell.", examples=["torch"]
    )
    source: str | dict[str, Any] = Field(
        description=(
            "Torch code, a state_dict, or the library's own configuration: an object, or the text of its JSON, YAML, "
            "TOML or command line."
        ),
        examples=["CosineAnnealingLR(optimizer, T_max=90)"],
    )
    target_lr: LR | None = Field(
        None, description="Target LR; by default the source's, where it says one.", examples=[0.1]
    )
    total_iterations: int | None = Field(
        None, ge=1, le=MAX_ITERATION, description="Length of the run; by default the source's.", examples=[90]
    )
    warmup_iterations: int | None = Field(
        None, ge=0, le=MAX_ITERATION, description="Warm-up; by default the source's.", examples=[10]
    )
    dataset_size: int | None = Field(
        None, ge=1, le=MAX_ITERATION, description="Samples of the data set, for a length in epochs.", examples=[1000]
    )
    batch_size: int | None = Field(
        None, ge=1, le=MAX_ITERATION, description="Batch of one device; by default the source's.", examples=[16]
    )
    accumulation: int | None = Field(
        None, ge=1, le=MAX_ITERATION, description="Batches of one update; by default the source's.", examples=[2]
    )
    devices: int | None = Field(
        None, ge=1, le=MAX_ITERATION, description="Devices that share the data; 1 by default.", examples=[8]
    )
    epochs: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="Epochs of the run; by default the source's.", examples=[3]
    )


class NotCarriedAnswer(BaseModel):
    """A field of the source that the spec does not say."""

    field: str = Field(description="Its name in the source.", examples=["last_epoch"])
    reason: str = Field(description="Why it is not in the spec.", examples=["is where the run stands"])


class ImportAnswer(BaseModel):
    """A spec that says what the source says."""

    library: Source = Field(description="The library that it was read as.", examples=["torch"])
    spec: dict[str, Any] = Field(description="The normalised spec; post it to get its schedule.")
    not_carried: list[NotCarriedAnswer] = Field(description="What of the source is not in it.")


class Health(BaseModel):
    """A sign of life."""

    status: str = Field(description="`alive` or `ready`.", examples=["ready"])
    version: str = Field(description="The service's version.", examples=["0.1.0"])
    api_level: int = Field(API_LEVEL, description="What the API can do; a client needs a level.", examples=[1])
    oldest_api_level: int = Field(
        OLDEST_API_LEVEL, description="The lowest level that a client may need and be understood.", examples=[1]
    )
