"""Bodies of requests about live runs: what each field means, checked, and as the values that `preheat.runs` takes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from preheat.api.run_fields import Count, Duration, GroupKey, Label, Name, Seconds, Token, Value, Why
from preheat.runs import attempts, changes, knowledge, making, windows
from preheat.runs.facts import Overrun
from preheat.runs.operations import as_tuple
from preheat.runs.plateau import PlateauParameters
from preheat.runs.reports import Report, Told
from preheat.runs.run import Lineage
from preheat.specs import InvalidSpec, Spec, from_pydantic, spec_of
from preheat.specs.bounds import check_bounds
from preheat.specs.fields import MAX_ITERATION, UNION_TAGS, Closed, Int
from preheat.specs.parse import content_of
from preheat.specs.violations import MOST_VIOLATIONS, Location

MOST_REPORTED, MOST_TOLD = 10_000, 1_000
"""Values that are reported, and iterations of ranks that are told, in one request."""


def _with_tuples(value: Any) -> Any:
    """The fields of a spec's models are tuples, which strict models take no list for."""
    if isinstance(value, dict):
        return {key: as_tuple(each) for key, each in value.items()}
    return value


Model = TypeVar("Model", bound=BaseModel)


def body_of(model: type[Model], body: bytes) -> Model:
    """The model that a JSON text stands for. Raises InvalidSpec."""
    content = content_of(body)
    check_bounds(content)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[:MOST_VIOLATIONS]
        violations = from_pydantic(first, tags=UNION_TAGS, fields_at=lambda location: _fields_at(model, location))
        raise InvalidSpec(violations, error.error_count()) from None


def spec_at(location: Location, content: Any, check: Callable[[], None]) -> Spec:
    """The spec that stands at a location of a body. Raises InvalidSpec, with pointers into the body."""
    try:
        return spec_of(content, check)
    except InvalidSpec as error:
        raise InvalidSpec([replace(each, location=(*location, *each.location)) for each in error.violations]) from None


def _fields_at(model: type[BaseModel], location: Location) -> tuple[str, ...]:
    """Names of the fields that an object at a location within a body may have."""
    for part in location:
        field = model.model_fields.get(str(part))
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return tuple(model.model_fields)


class RunRequest(Closed):
    """A run that is to be found by its label, or made."""

    label: Label = Field(description="Name of the training job.", examples=["llama-7b"])
    spec: dict[str, Any] | None = Field(
        None,
        description="The spec of its schedule, a recipe's too.",
        examples=[{"target_lr": 0.01, "total_iterations": 20}],
    )
    schedule_id: str | None = Field(
        None, max_length=32, description="Or the id of a schedule.", examples=["630e8304e0352e14c20ae59b8f487901"]
    )
    unique: bool = Field(
        True, description="Whether the living run of that label is the one, if there is one.", examples=[True]
    )

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.spec is None) == (self.schedule_id is None):
            raise ValueError("must have exactly one of spec and schedule_id")
        return self


class OverrunRequest(Closed):
    """Iterations through which a job went on while the service was out of reach."""

    start: Count = Field(description="C, the end of what the speaker had then.", examples=[1000])
    end: Count = Field(description="The end of what any rank was told.", examples=[1840])
    revision: Count = Field(description="The revision that it went on along.", examples=[2])

    def value(self) -> Overrun:
        """The same for `preheat.runs`."""
        return Overrun(self.start, self.end, self.revision)


class LineageRequest(Closed):
    """A job as its launcher knows it."""

    job: Name = Field(description="Id of torchelastic or SLURM.", examples=["slurm-4711"])
    restarts: Count = Field(0, description="How often it was restarted.", examples=[1])


class CheckpointRequest(Closed):
    """What a checkpoint says of the run that it was saved in."""

    run: str = Field(max_length=32, description="The run's id.", examples=["0123456789abcdef0123456789abcdef"])
    attempt: Count = Field(description="The attempt.", examples=[1])
    revision: Count = Field(description="The revision.", examples=[2])
    position: Count = Field(description="The next iteration to run.", examples=[14_501])
    acknowledged: Count = Field(description="C.", examples=[14_512])
    overrun: OverrunRequest | None = Field(None, description="The overrun that is not reported yet, if there is one.")

    def value(self) -> attempts.Checkpoint:
        """The same for `preheat.runs`."""
        overrun = None if self.overrun is None else self.overrun.value()
        return attempts.Checkpoint(
            self.run, self.attempt, self.revision, self.position, self.acknowledged, overrun=overrun
        )


class KnowledgeRequest(Closed):
    """What a process knows of a run that the database has lost."""

    attempt: Count = Field(description="The last attempt that it has seen.", examples=[2])
    revision: Count = Field(description="The last revision.", examples=[5])
    bound: Count = Field(description="The end of what it was handed.", examples=[2064])
    spec: dict[str, Any] | None = Field(
        None,
        description="The spec of that revision's schedule.",
        examples=[{"target_lr": 0.01, "total_iterations": 20}],
    )
    start: Count | None = Field(None, description="Where that attempt began, if it knows that.", examples=[1])

    def value(self) -> knowledge.Knowledge:
        """The same for `preheat.runs`."""
        return knowledge.Knowledge(self.attempt, self.revision, self.bound, self.spec, self.start)


class AttachRequest(Closed):
    """A speaker process that is about to run its first iteration."""

    token: Token = Field(description="Random, and the process's own.", examples=["Y2xpZW50LW93bi10b2tlbg"])
    seen_attempt: Count = Field(description="The present attempt that it has looked at, 0 for none.", examples=[0])
    position: Count = Field(description="k, the next iteration to run.", examples=[1])
    speakers: Literal["one", "all"] = Field(
        "one", description="Who talks to the service: one process, or each.", examples=["one"]
    )
    lineage: LineageRequest | None = Field(None, description="The job, as its launcher knows it.")
    take_over: bool = Field(False, description="Whether to fence a job that is alive.", examples=[False])
    world_size: Count | None = Field(None, description="Processes of the job, for information.", examples=[8])
    checkpoint: CheckpointRequest | None = Field(None, description="The checkpoint that it goes on from.")
    knowledge: KnowledgeRequest | None = Field(None, description="After a knows-more: what the process knows.")

    def value(self) -> attempts.AttachRequest:
        """The same for `preheat.runs`."""
        return attempts.AttachRequest(
            token=self.token,
            seen_attempt=self.seen_attempt,
            position=self.position,
            speakers=self.speakers,
            lineage=None if self.lineage is None else Lineage(self.lineage.job, self.lineage.restarts),
            take_over=self.take_over,
            checkpoint=None if self.checkpoint is None else self.checkpoint.value(),
            knowledge=None if self.knowledge is None else self.knowledge.value(),
            world_size=self.world_size,
        )


class CloseRequest(Closed):
    """The goodbye of a speaker."""

    token: Token = Field(description="The attempt's token.", examples=["Y2xpZW50LW93bi10b2tlbg"])
    position: Count = Field(description="The next iteration, which it does not run.", examples=[60_001])


class ReportRequest(Closed):
    """Numbers of one iteration."""

    iteration: Count = Field(description="The iteration.", examples=[12])
    values: dict[Name, Value] = Field(
        min_length=1, max_length=100, description="By name; NaN and infinities as texts.", examples=[{"loss": 2.31}]
    )


class ToldRequest(Closed):
    """What a rank says that it used at one iteration."""

    iteration: Count = Field(description="The iteration.", examples=[12])
    rank: Count = Field(description="The rank.", examples=[3])
    lrs: dict[GroupKey, Value] = Field(max_length=256, description="LR by param group.", examples=[{"default": 0.01}])
    revision: Count = Field(description="The revision that it had them from.", examples=[2])

    def value(self) -> Told:
        """The same for `preheat.runs`."""
        return Told(self.iteration, self.rank, self.lrs, self.revision)


class _Reporting(Closed):
    attempt: Count = Field(description="The attempt.", examples=[1])
    token: Token = Field(description="The attempt's token.", examples=["Y2xpZW50LW93bi10b2tlbg"])
    reports: list[ReportRequest] = Field(
        [], max_length=MOST_REPORTED, description="What the job reports, at most 10,000 values.", examples=[[]]
    )
    told: list[ToldRequest] = Field(
        [], max_length=MOST_TOLD, description="What ranks used, to be held against the record.", examples=[[]]
    )

    @model_validator(mode="after")
    def _has_not_too_much(self) -> Self:
        count = sum(len(each.values) for each in self.reports)
        if count > MOST_REPORTED:
            raise ValueError(f"must have at most {MOST_REPORTED} reported values, and has {count}")
        return self

    @property
    def batch(self) -> tuple[Report, ...]:
        """Each reported value."""
        return tuple(
            Report(each.iteration, name, value) for each in self.reports for name, value in each.values.items()
        )

    @property
    def told_values(self) -> tuple[Told, ...]:
        """What ranks used, for `preheat.runs`."""
        return tuple(each.value() for each in self.told)


class ReportsRequest(_Reporting):
    """A batch of reports."""


class WindowRequest(_Reporting):
    """What a speaker asks and tells: the heartbeat."""

    position: Count = Field(description="The next iteration to run.", examples=[12])
    acknowledged: Count = Field(
        description="C, the end of what it has; with an overrun, its start or its end.", examples=[16]
    )
    revision: Count = Field(description="The revision that it has it by.", examples=[1])
    generation: Count = Field(1, description="The generation that it has seen.", examples=[1])
    schedule_id: str | None = Field(
        None,
        max_length=32,
        description="The id of that revision's schedule.",
        examples=["0123456789abcdef0123456789abcdef"],
    )
    iteration_s: Seconds | None = Field(None, description="How long an iteration takes.", examples=[0.8])
    overrun: OverrunRequest | None = Field(None, description="What it did while the service was out of reach.")

    def value(self) -> windows.WindowRequest:
        """The same for `preheat.runs`."""
        return windows.WindowRequest(
            attempt=self.attempt,
            token=self.token,
            position=self.position,
            acknowledged=self.acknowledged,
            revision=self.revision,
            generation=self.generation,
            schedule_id=self.schedule_id,
            iteration_s=self.iteration_s,
            overrun=None if self.overrun is None else self.overrun.value(),
        )


class ChangeRequest(Closed):
    """A change of what is still to come."""

    operation: dict[str, Any] = Field(
        description="`op` and its fields: scale, hold, replace, rewarm, cooldown, extend, or revert.",
        examples=[{"op": "scale", "factor": 0.5}],
    )
    why: Why = Field(description="For those who read it later.", examples=["loss spike"])
    at: Duration = Field(None, description="When, by default as soon as may be.", examples=[12_000])
    until: Duration = Field(None, description="The first iteration that is as before again.", examples=[12_300])
    for_iterations: Duration = Field(None, description="Or for how long, from when it begins.", examples=[300])
    not_after: Duration = Field(None, description="The last iteration at which it may begin.", examples=[12_100])
    confirm: bool = Field(False, description="Whether something out of the ordinary is meant.", examples=[False])
    is_automated: bool = Field(False, description="Whether a program asks, which has a budget.", examples=[False])

    def value(self, author: str, *, confirm: bool | None = None) -> changes.ChangeRequest:
        """The same for `preheat.runs`."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        confirmed = self.confirm if confirm is None else confirm
        return changes.ChangeRequest(**{**fields, "author": author, "confirm": confirmed})


class RollbackRequest(Closed):
    """A restart that is asked for."""

    after: Annotated[Int, Field(ge=-1, le=MAX_ITERATION)] = Field(
        description="The iteration after which the job goes on.", examples=[14_500]
    )
    changes: Literal["drop", "from-here"] = Field(
        description="What becomes of changes from there on.", examples=["from-here"]
    )
    why: Why = Field(description="For those who read it later.", examples=["diverged"])

    def value(self, author: str) -> making.RollbackRequest:
        """The same for `preheat.runs`."""
        return making.RollbackRequest(self.after, self.changes, self.why, author)


class ForkRequest(Closed):
    """A second run that shares the history of an attempt."""

    attempt: Count = Field(description="The attempt.", examples=[1])
    iteration: Count = Field(description="The last iteration that both share.", examples=[14_500])
    label: Label = Field(description="Name of the new run.", examples=["llama-7b-high-lr"])
    changes: Literal["keep", "drop"] = Field(
        "keep", description="What becomes of changes that are planned.", examples=["keep"]
    )

    def value(self) -> making.ForkRequest:
        """The same for `preheat.runs`."""
        return making.ForkRequest(self.attempt, self.iteration, self.label, self.changes)


class LockRequest(Closed):
    """Whether a run takes changes."""

    lock: Literal["open", "locked"] = Field(description="What it shall be.", examples=["locked"])


class ControllerRequest(Closed):
    """A rule that follows a reported number."""

    metric: Name = Field(description="Name of the number.", examples=["loss"])
    parameters: Annotated[PlateauParameters, BeforeValidator(_with_tuples)] = Field(
        default_factory=PlateauParameters,
        description="Arguments of torch's ReduceLROnPlateau.",
        examples=[{"factor": 0.5, "patience": 5}],
    )


BODIES: tuple[type[BaseModel], ...] = (
    RunRequest,
    AttachRequest,
    WindowRequest,
    CloseRequest,
    ReportsRequest,
    ChangeRequest,
    RollbackRequest,
    ForkRequest,
    LockRequest,
    ControllerRequest,
)
"""Models of bodies that routes read themselves."""
