"""Reads the learning rate of each iteration from a Preheat service."""

from preheat_client.client import Preheat
from preheat_client.errors import (
    InvalidSpec,
    IterationOutOfRange,
    ParamGroupMismatch,
    PreheatError,
    RequestRefused,
    ScheduleMismatch,
    ScheduleNotFound,
    ServiceUnavailable,
    is_retryable,
)
from preheat_client.remote_lr import RemoteLR
from preheat_client.schedule import Schedule

__all__ = [
    "InvalidSpec",
    "IterationOutOfRange",
    "ParamGroupMismatch",
    "Preheat",
    "PreheatError",
    "RemoteLR",
    "RequestRefused",
    "Schedule",
    "ScheduleMismatch",
    "ScheduleNotFound",
    "ServiceUnavailable",
    "is_retryable",
]
