"""Models of answers about changes of live runs: what each field means, for the OpenAPI document."""

from typing import Any

from pydantic import BaseModel, Field

from preheat.api.run_models import SCHEDULE_ID, TIME, Moment
from preheat.lint import Finding
from preheat.runs.run import PlacementKind
from preheat.runs.states import State
from preheat.runs.status import Status


class PlacementDescription(BaseModel):
    """Where a change stands from a revision on."""

    revision: int = Field(description="The revision.", examples=[2])
    attempt: int = Field(description="The attempt in which it came there.", examples=[1])
    effect: int | None = Field(description="E, null if it is out.", examples=[12_345])
    kind: PlacementKind = Field(description="Why it stands there.", examples=["accepted"])
    stop: int | None = Field(description="Where it ends earlier than was asked for.", examples=[None])
    pauses: list[tuple[int, int]] = Field(
        description="Iterations start … stop − 1 which a job that had used it ran out of reach, without it.",
        examples=[[]],
    )


class CauseDescription(BaseModel):
    """The report for which a controller made a change."""

    controller: str = Field(description="The controller.", examples=["0123456789abcdef"])
    attempt: int = Field(description="The attempt.", examples=[1])
    iteration: int = Field(description="The iteration.", examples=[900])


class ChangeDescription(BaseModel):
    """A change that was accepted."""

    id: str = Field(description="Its id.", examples=["0123456789abcdef"])
    operation: dict[str, Any] = Field(description="What it does.", examples=[{"op": "scale", "factor": 0.5}])
    why: str = Field(description="Why.", examples=["loss spike"])
    author: str = Field(description="Who: the name of the API key.", examples=["ann"])
    is_automated: bool = Field(description="Whether a program made it.", examples=[False])
    accepted_at: str = Field(description="When it was accepted, UTC.", examples=[TIME])
    at: int | None = Field(description="The iteration wanted.", examples=[None])
    until: int | None = Field(description="The first iteration that is as before again, as asked for.", examples=[None])
    for_iterations: int | None = Field(description="Or for how long.", examples=[None])
    not_after: int | None = Field(description="The last iteration at which it may begin.", examples=[None])
    cause: CauseDescription | None = Field(description="Of a controller's: the report.")
    effect: int | None = Field(description="E, the first iteration with it; null if it is out.", examples=[12_345])
    stop: int | None = Field(description="The first iteration without it again, null if it stays.", examples=[None])
    status: Status | None = Field(
        description="Where it stands in the attempt that was asked for; null if that was over before it came.",
        examples=["scheduled"],
    )
    when: Moment | None = Field(description="When it begins, while it is scheduled.")
    placements: list[PlacementDescription] = Field(description="Where it has stood, the latest last.")


class ChangeList(BaseModel):
    """The changes of a run, in order of acceptance."""

    changes: list[ChangeDescription] = Field(description="The changes.")


class JobDescription(BaseModel):
    """What is known of the job of a run; all but its state are null before the first attempt."""

    state: State = Field(description="What it does.", examples=["RUNNING"])
    position: int | None = Field(description="k, the next iteration to run, as it has said.", examples=[12_000])
    heard_s: float | None = Field(description="How many seconds ago it asked last.", examples=[14.2])
    promise_s: float | None = Field(
        description="Within how many seconds of that it has promised to ask again; null once it asks no more.",
        examples=[2.5],
    )
    is_overdue: bool = Field(
        description="Whether that has passed by half again: it may have ended without a word, and is not SILENT yet.",
        examples=[False],
    )
    text: str = Field(
        description="The same in words.",
        examples=["its job last asked 14 s ago; it promised to ask again within 2.5 s"],
    )


class AcceptedAnswer(BaseModel):
    """A change that was accepted, or cancelled."""

    change: ChangeDescription = Field(description="The change.")
    effect: Moment | None = Field(description="When it begins; null if it is out.")
    revision: int = Field(description="The present revision.", examples=[2])
    schedule_id: str = Field(description="Its schedule.", examples=[SCHEDULE_ID])
    etag: str = Field(description="For the next If-Match.", examples=['"1.2.1"'])
    is_repeated: bool = Field(description="Whether the key was answered before.", examples=[False])
    job: JobDescription = Field(description="Who is to make it.")


class PhaseDescription(BaseModel):
    """A part of a schedule."""

    name: str = Field(description="Its name.", examples=["warm-up"])
    start: int = Field(description="First iteration.", examples=[0])
    stop: int = Field(description="The iteration before which it ends.", examples=[11])


class SideDescription(BaseModel):
    """The run before or after a change."""

    values: dict[str, dict[str, float]] = Field(
        description="Values at E − 1, E, E + 1 and the last iteration, by iteration and column.",
        examples=[{"12": {"default": 0.01}}],
    )
    total_iterations: int = Field(description="The last iteration.", examples=[60_000])
    sums: dict[str, float] | None = Field(
        description="Sums from E on, by column; null where there are too many iterations.", examples=[{"default": 7.5}]
    )
    phases: list[PhaseDescription] = Field(description="Its phases.")


class PreviewAnswer(BaseModel):
    """What a change would do if it were accepted now."""

    effect: Moment = Field(description="When it would begin.")
    needs_confirmation: list[str] = Field(description="Why confirm: true would have to be sent.", examples=[[]])
    before: SideDescription = Field(description="The run without it.")
    after: SideDescription = Field(description="The run with it.")
    job: JobDescription = Field(description="Who would make it.")
    lint: list[Finding] | None = Field(description="What lint says of what would be; null if it takes too long.")


class RestartedChange(BaseModel):
    """A change that begins at the restart or later, or that would be out then, and where it would stand."""

    change: ChangeDescription = Field(description="As it is now.")
    effect: int | None = Field(description="E then; null if it would be out.", examples=[14_501])
    stop: int | None = Field(description="The first iteration without it again then.", examples=[None])
    kind: PlacementKind = Field(description="Why it would stand there, or be out.", examples=["from-here"])
    reason: str | None = Field(
        description="Why it would be out or moved, where the policy alone does not say it.",
        examples=["the run ends with iteration 700"],
    )


class RollbackPreviewAnswer(PreviewAnswer):
    """What a dry run of a restart shows; `after` is the run when the job has made it."""

    changes: list[RestartedChange] = Field(
        description="What becomes of the changes from there on, and of those before it that would not stay."
    )
