"""Reads the learning rate of each iteration from a Preheat service."""

from preheat_client._core.findings import Finding
from preheat_client.client import Preheat
from preheat_client.errors import (
    CheckpointMismatch,
    InvalidFallback,
    InvalidSpec,
    IterationOutOfRange,
    KnowsMore,
    ParamGroupMismatch,
    PreheatError,
    RankZeroFailed,
    RequestRefused,
    RunDiffers,
    RunFinished,
    RunOccupied,
    RunSuperseded,
    ScheduleMismatch,
    ScheduleNotFound,
    ServiceUnavailable,
    VersionMismatch,
    is_retryable,
)
from preheat_client.run import Run
from preheat_client.run_status import Change, Restart, RunState, RunStatus
from preheat_client.schedule import Schedule
from preheat_client.status import Counters, State, Status

__all__ = [
    "Change",
    "CheckpointMismatch",
    "Counters",
    "Finding",
    "InvalidFallback",
    "InvalidSpec",
    "IterationOutOfRange",
    "KnowsMore",
    "ParamGroupMismatch",
    "Preheat",
    "PreheatError",
    "RankZeroFailed",
    "RequestRefused",
    "Restart",
    "Run",
    "RunDiffers",
    "RunFinished",
    "RunOccupied",
    "RunState",
    "RunStatus",
    "RunSuperseded",
    "Schedule",
    "ScheduleMismatch",
    "ScheduleNotFound",
    "ServiceUnavailable",
    "State",
    "Status",
    "VersionMismatch",
    "is_retryable",
]
