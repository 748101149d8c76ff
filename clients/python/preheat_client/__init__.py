"""Reads the learning rate of each iteration from a Preheat service."""

from preheat_client._core.findings import Finding
from preheat_client.client import Preheat
from preheat_client.errors import (
    InvalidFallback,
    InvalidSpec,
    IterationOutOfRange,
    ParamGroupMismatch,
    PreheatError,
    RankZeroFailed,
    RequestRefused,
    ScheduleMismatch,
    ScheduleNotFound,
    ServiceUnavailable,
    VersionMismatch,
    is_retryable,
)
from preheat_client.schedule import Schedule
from preheat_client.status import Counters, State, Status

__all__ = [
    "Counters",
    "Finding",
    "InvalidFallback",
    "InvalidSpec",
    "IterationOutOfRange",
    "ParamGroupMismatch",
    "Preheat",
    "PreheatError",
    "RankZeroFailed",
    "RequestRefused",
    "Schedule",
    "ScheduleMismatch",
    "ScheduleNotFound",
    "ServiceUnavailable",
    "State",
    "Status",
    "VersionMismatch",
    "is_retryable",
]
