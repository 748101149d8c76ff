"""Models of answers about live runs: what each field means, for the OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from preheat.api.models import ColumnName, GroupLR, GroupLRs, GroupName
from preheat.runs.record import Certainty
from preheat.runs.states import State

_ID = "0123456789abcdef0123456789abcdef"
SCHEDULE_ID = "630e8304e0352e14c20ae59b8f487901"
TIME = "2026-11-28T22:30:00.123456Z"


class Moment(BaseModel):
    """An iteration to come, and when that is."""

    iteration: int = Field(description="The iteration.", examples=[12_345])
    in_s: float | None = Field(
        description="In about how many seconds; null while nobody knows how long an iteration takes.", examples=[4.2]
    )
    text: str = Field(description="The same in words.", examples=["from iteration 12,345, in about 4 s"])


class RunPlace(BaseModel):
    """Where a run stands."""

    position: int = Field(description="k, the next iteration to run, as its job has said.", examples=[12_000])
    acknowledged: int = Field(description="C, the end of what the speaker has.", examples=[12_030])
    horizon: int = Field(description="H, the end of what was handed out.", examples=[12_345])
    next_change: Moment = Field(description="Where a change would begin that is accepted now.")


class RollbackDescription(BaseModel):
    """A restart that was asked for."""

    position: int = Field(description="The next iteration to run after it.", examples=[14_501])
    changes: Literal["drop", "from-here"] = Field(
        description="What becomes of changes from there on.", examples=["from-here"]
    )
    why: str = Field(description="Why.", examples=["diverged"])
    author: str = Field(description="Who asked.", examples=["ann"])


class OriginDescription(BaseModel):
    """Where a run was forked."""

    run: str = Field(description="From which run.", examples=[_ID])
    attempt: int = Field(description="In which attempt.", examples=[1])
    iteration: int = Field(description="The last iteration that both share.", examples=[14_500])


class RunLink(BaseModel):
    """Where to find a run."""

    self: str = Field(description="The run.", examples=[f"/v1/runs/{_ID}"])


class RunLinks(RunLink):
    """Where to find everything about a run."""

    attempts: str = Field(description="Its attempts; POST attaches.", examples=[f"/v1/runs/{_ID}/attempts"])
    windows: str = Field(description="POST asks for a window.", examples=[f"/v1/runs/{_ID}/windows"])
    changes: str = Field(description="Its changes; POST makes one.", examples=[f"/v1/runs/{_ID}/changes"])
    reports: str = Field(description="What its job reported.", examples=[f"/v1/runs/{_ID}/reports"])
    events: str = Field(description="Its events.", examples=[f"/v1/runs/{_ID}/events"])
    lr: str = Field(description="Its LRs, past and future.", examples=[f"/v1/runs/{_ID}/lr"])
    fork: str = Field(description="POST makes another run of it.", examples=[f"/v1/runs/{_ID}/fork"])
    rollback: str = Field(description="POST asks for a restart.", examples=[f"/v1/runs/{_ID}/rollback"])
    finish: str = Field(description="POST ends it.", examples=[f"/v1/runs/{_ID}/finish"])
    lock: str = Field(description="PUT locks or opens it.", examples=[f"/v1/runs/{_ID}/lock"])
    controllers: str = Field(description="Its controllers; POST adds one.", examples=[f"/v1/runs/{_ID}/controllers"])
    schedule: str = Field(description="The present revision's schedule.", examples=[f"/v1/schedules/{SCHEDULE_ID}"])
    plot_png: str = Field(description="Its picture as PNG.", examples=[f"/v1/runs/{_ID}/plot.png"])
    plot_svg: str = Field(description="Its picture as SVG.", examples=[f"/v1/runs/{_ID}/plot.svg"])


class RunSummary(RunPlace):
    """A run in a list."""

    id: str = Field(description="Its id.", examples=[_ID])
    label: str = Field(description="Name of the training job.", examples=["llama-7b"])
    state: State = Field(description="What its job does.", examples=["RUNNING"])
    etag: str = Field(description="For If-Match: it moves with revisions and attempts.", examples=['"1.3.2"'])
    revision: int = Field(description="The present revision.", examples=[3])
    generation: int = Field(description="How often the database knew less than a client, and one.", examples=[1])
    schedule_id: str = Field(description="The present revision's schedule.", examples=[SCHEDULE_ID])
    total_iterations: int = Field(description="Its last iteration.", examples=[60_000])
    attempt_number: int = Field(description="Of the last attempt, 0 before the first.", examples=[2])
    rollback: RollbackDescription | None = Field(description="The restart that was asked for, if one was.")
    lock: Literal["open", "locked"] = Field(description="Whether it takes changes.", examples=["open"])
    is_finished: bool = Field(description="Whether it takes nothing more.", examples=[False])
    created_at: str = Field(description="When it was made, UTC.", examples=[TIME])
    events: int = Field(description="Number of its last event.", examples=[17])
    changes: int = Field(description="How many changes it has.", examples=[4])
    origins: list[OriginDescription] = Field(description="Where it was forked, the root first.", examples=[[]])
    links: RunLink = Field(description="Where to find it.")


class RunList(BaseModel):
    """A page of runs, newest first."""

    runs: list[RunSummary] = Field(description="The runs.")
    next: str | None = Field(description="`cursor` of the following page, null on the last.", examples=["MTI"])


class LineageDescription(BaseModel):
    """A job as its launcher knows it."""

    job: str = Field(description="Id of torchelastic or SLURM.", examples=["slurm-4711"])
    restarts: int = Field(description="How often it was restarted.", examples=[1])


class OverrunDescription(BaseModel):
    """Iterations through which a job went on while the service was out of reach."""

    start: int = Field(description="First iteration.", examples=[1000])
    stop: int = Field(description="The iteration before which it ended.", examples=[1840])


class AttemptAnswer(BaseModel):
    """One life of a job."""

    number: int = Field(description="Its number, from 1.", examples=[2])
    parent: int | None = Field(description="The attempt that it goes on from.", examples=[1])
    start: int = Field(description="Its first iteration.", examples=[14_501])
    position: int = Field(description="k, the next iteration to run.", examples=[15_000])
    acknowledged: int = Field(description="C.", examples=[15_016])
    handed: int = Field(description="H.", examples=[15_032])
    schedule_id: str = Field(description="The schedule by which it runs, or ran.", examples=[SCHEDULE_ID])
    speakers: Literal["one", "all"] = Field(description="Who talks to the service.", examples=["one"])
    is_closed: bool = Field(description="Whether it has said goodbye, or was fenced.", examples=[False])
    attached_at: str = Field(description="When it began, UTC.", examples=[TIME])
    heard_at: str = Field(description="When it was heard of last, UTC.", examples=[TIME])
    moved_at: str = Field(description="When its position moved last, UTC.", examples=[TIME])
    lease_s: float = Field(description="How long a window lasts.", examples=[5.0])
    iteration_s: float | None = Field(description="How long an iteration takes, once known.", examples=[0.8])
    world_size: int | None = Field(description="Processes of the job, if it said so.", examples=[8])
    lineage: LineageDescription | None = Field(description="The job as its launcher knows it.")
    overruns: list[OverrunDescription] = Field(description="What it ran without the service.", examples=[[]])


class AttemptList(BaseModel):
    """The attempts of a run, the first first."""

    attempts: list[AttemptAnswer] = Field(description="The attempts, those that a fork shares included.")


class ControllerAnswer(BaseModel):
    """A rule that follows a reported number."""

    id: str = Field(description="Its id.", examples=["0123456789abcdef"])
    metric: str = Field(description="Name of the number.", examples=["loss"])
    kind: str = Field(description="Torch's class.", examples=["ReduceLROnPlateau"])
    parameters: dict[str, Any] = Field(description="Its arguments.", examples=[{"factor": 0.5}])
    param_groups: list[str] = Field(description="The param groups that it is for.", examples=[["default"]])
    first: int = Field(description="First iteration whose report counts.", examples=[1])
    folded: int | None = Field(description="The last iteration whose report has counted.", examples=[900])
    counted: int = Field(description="Reports that have counted.", examples=[40])
    best: float | str | None = Field(description="The best value of them.", examples=[2.25])
    not_better: int = Field(description="The last of them that have not bettered it.", examples=[3])


class ControllerList(BaseModel):
    """The controllers of a run."""

    controllers: list[ControllerAnswer] = Field(description="The controllers.")


class RunAnswer(RunSummary):
    """A run, with its present attempt."""

    base_id: str = Field(description="The base's schedule.", examples=[SCHEDULE_ID])
    groups: list[GroupName] = Field(description="The param groups, in order.")
    columns: list[ColumnName] = Field(description="The columns, in order: every group's LR first.")
    attempt: AttemptAnswer | None = Field(description="The present attempt, null before the first.")
    controllers: list[ControllerAnswer] = Field(description="Its controllers.")
    links: RunLinks = Field(description="Where to find more.")


class AttachedAnswer(BaseModel):
    """The attempt that was opened or joined."""

    attempt: int = Field(description="Its number.", examples=[1])
    token: str = Field(description="Its token, to be sent with windows and reports.", examples=["Y2xpZW50LW93bi10b2"])
    start: int = Field(description="Its first iteration.", examples=[1])
    revision: int = Field(description="The present revision.", examples=[1])
    schedule_id: str = Field(description="Its schedule.", examples=[SCHEDULE_ID])
    generation: int = Field(description="The present generation.", examples=[1])
    lease_s: float = Field(description="How long a window lasts; half of it is the heartbeat.", examples=[5.0])
    speakers: Literal["one", "all"] = Field(description="Who talks to the service.", examples=["one"])
    total_iterations: int = Field(description="The run's last iteration.", examples=[60_000])
    when: Moment = Field(description="From where on LRs are handed out.")


class ReportCount(BaseModel):
    """What became of a batch of reports."""

    stored: int = Field(description="Values that are on the disk now.", examples=[3])
    ignored: int = Field(description="Values that were there already, or come too late.", examples=[0])
    left_from: int | None = Field(
        description="Reports from this iteration on are to be sent again: for them there was no time left.",
        examples=[None],
    )


class RunWindowAnswer(RunPlace):
    """LRs of iterations start … stop − 1, which may be told to ranks."""

    attempt: int = Field(description="The attempt.", examples=[1])
    start: int = Field(description="First iteration.", examples=[16])
    stop: int = Field(description="The end; equal to start where there is nothing to hand out.", examples=[32])
    revision: int = Field(description="The revision that they are of.", examples=[1])
    schedule_id: str = Field(description="Its schedule.", examples=[SCHEDULE_ID])
    generation: int = Field(description="The present generation.", examples=[1])
    lease_s: float = Field(description="How long a window lasts; half of it is the heartbeat.", examples=[5.0])
    total_iterations: int = Field(description="The run's last iteration.", examples=[60_000])
    groups: list[GroupLRs] = Field(description="The values, a list per param group and hyperparameter.")
    state: State = Field(description="What the job does.", examples=["RUNNING"])
    restart: RollbackDescription | None = Field(description="The restart that a person asks the job for.")
    reports: ReportCount = Field(description="What became of the reports.")
    alarms: int = Field(description="Iterations at which a rank used something else than the record has.", examples=[0])
    events: int = Field(description="Number of the run's last event.", examples=[17])


class ReportsAnswer(ReportCount):
    """What became of a batch of reports."""

    alarms: int = Field(description="Iterations at which a rank used something else than the record has.", examples=[0])
    revision: int = Field(description="The present revision.", examples=[1])
    next_change: Moment = Field(description="Where a change would begin that is accepted now.")
    events: int = Field(description="Number of the run's last event.", examples=[17])


class SeriesAnswer(BaseModel):
    """What an attempt reported under a name."""

    attempt: int = Field(description="The attempt.", examples=[1])
    name: str = Field(description="The name.", examples=["loss"])
    names: list[str] = Field(description="All names that it has reported.", examples=[["loss"]])
    iterations: list[int] = Field(description="Iterations, ascending.", examples=[[1, 2]])
    values: list[float | str] = Field(description="Values; NaN and infinities are texts.", examples=[[2.31, "NaN"]])
    next: int | None = Field(description="The iteration that follows, null if there is none.", examples=[None])


class RecordPart(BaseModel):
    """Consecutive iterations of which the record says the same."""

    start: int = Field(description="First iteration.", examples=[0])
    stop: int = Field(description="The iteration before which they end.", examples=[12_000])
    attempt: int = Field(description="The attempt that they are of.", examples=[1])
    schedule_id: str = Field(description="The schedule that has their LRs.", examples=[SCHEDULE_ID])
    certainty: Certainty = Field(description="What is known of them.", examples=["used"])
    is_overrun: bool = Field(description="Whether the service was out of reach.", examples=[False])


class RunLRsAnswer(BaseModel):
    """LRs of an attempt's line, past and future."""

    attempt: int = Field(description="The attempt, 0 before the first.", examples=[1])
    start: int = Field(description="First iteration.", examples=[0])
    stop: int = Field(description="The iteration before which the window ends.", examples=[21])
    step: int = Field(description="Distance of two iterations.", examples=[1])
    groups: list[GroupLRs] = Field(description="The values, a list per param group and hyperparameter.")
    parts: list[RecordPart] = Field(description="What is known of which iterations.")
    next_change: Moment = Field(description="Where a change would begin that is accepted now.")


class RunLRAnswer(BaseModel):
    """LRs of one iteration of an attempt's line."""

    iteration: int = Field(description="The iteration.", examples=[9])
    attempt: int = Field(description="The attempt that it is of, 0 before the first.", examples=[1])
    schedule_id: str = Field(description="The schedule that has its LRs.", examples=[SCHEDULE_ID])
    certainty: Certainty = Field(description="What is known of it.", examples=["used"])
    is_overrun: bool = Field(description="Whether the service was out of reach.", examples=[False])
    groups: list[GroupLR] = Field(description="One entry per param group.")
    when: Moment | None = Field(description="When it is, if it is still to come.")


class EventAnswer(BaseModel):
    """Something that happened to a run."""

    number: int = Field(description="1, 2, 3, … without a gap.", examples=[17])
    kind: str = Field(description="What happened.", examples=["change-accepted"])
    at: str = Field(description="When, UTC.", examples=[TIME])
    data: dict[str, Any] = Field(description="More, by its kind.", examples=[{"change": "0123456789abcdef"}])


class EventList(BaseModel):
    """Events of a run."""

    events: list[EventAnswer] = Field(description="The events, in order.")
    last: int = Field(description="Number of the run's last event.", examples=[17])
