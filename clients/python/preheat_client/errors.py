"""Errors of the client.

PreheatError
├── ServiceUnavailable     no answer, or none that can be used: trying again may help
│   └── VersionMismatch    client or service is too old for the other
├── RequestRefused         the service says no
│   ├── InvalidSpec        the spec breaks rules
│   ├── ScheduleNotFound   no schedule has this id
│   ├── RunDiffers         a label names a run of another spec, or a finished one
│   ├── RunFinished        a run that is over gives nothing more
│   ├── RunOccupied        another process trains the run, and is alive
│   ├── RunSuperseded      another process has taken the run over: this one must stop
│   ├── CheckpointMismatch a checkpoint that the run cannot be resumed from
│   └── KnowsMore          the service has lost what this process knows
├── InvalidFallback        a fallback or an override file from which no LRs follow, or which is for no run
├── IterationOutOfRange    an iteration outside 0 … total_iterations
├── ParamGroupMismatch     optimizer and schedule have different param groups
├── ScheduleMismatch       a saved state belongs to another schedule
└── RankZeroFailed         rank 0, which asks for all ranks, failed otherwise than by one of these

All of them can be pickled: they reach other processes whole.
"""

from typing import Any


class PreheatError(Exception):
    """Root of the client's errors."""


class ServiceUnavailable(PreheatError):
    """The service did not answer, or answered what cannot be used; `retry_after_s`: its Retry-After, if it sent one."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.retry_after_s), self.__dict__


class VersionMismatch(ServiceUnavailable):
    """Client or service is too old for the other, and which of them is; an outage until one of them is upgraded."""


class RequestRefused(PreheatError):
    """The service refused the request; `problem` is its RFC 9457 document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status, self.problem = status, problem
        super().__init__(f"{problem.get('title', 'request refused')} ({status}): {problem.get('detail', '')}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.problem), self.__dict__


class InvalidSpec(RequestRefused):
    """The spec breaks rules; `problem["errors"]` names every field."""


class ScheduleNotFound(RequestRefused):
    """No schedule has this id."""


class RunDiffers(RequestRefused):
    """The label names a run of another spec (`problem["differences"]` has both values), or one that is finished.

    The message has both values of each field, and what can be done.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(status, problem)
        differences = problem.get("differences")
        pairs = differences.items() if isinstance(differences, dict) else ()
        found = [
            f"{name}: the run has {pair['run']!r:.200}, you gave {pair['yours']!r:.200}"
            for name, pair in pairs
            if isinstance(pair, dict) and {"run", "yours"} <= pair.keys()
        ]
        self.args = (f"{self}; {'; '.join([*found, _WAYS if found else _WAYS_OF_FINISHED])}",)


_WAYS_OF_FINISHED = "give another label, or delete the finished run (preheat runs delete)"
_WAYS = (
    "give another label; or the run's own spec, and change the run (preheat runs change … replace); or finish and "
    "delete it (preheat runs finish, delete)"
)


class RunFinished(RequestRefused):
    """The run is over: somebody has finished it."""


class RunOccupied(RequestRefused):
    """Another process trains the run, and was heard of a moment ago; `retry_after_s`: when to ask again."""

    retry_after_s: float | None = None


class RunSuperseded(RequestRefused):
    """Another process has taken the run over, or did so after this one had looked: this process must stop."""


class CheckpointMismatch(RequestRefused):
    """A checkpoint that the run cannot be resumed from; `problem` has `field`, `checkpoint` and `run`."""


class KnowsMore(RequestRefused):
    """The service has lost what this process knows: it was restored from a backup. The client tells it by itself."""


class InvalidFallback(PreheatError, ValueError):
    """No LRs follow from a fallback, or from the content of an override file; or there is one, and a run is opened."""


class IterationOutOfRange(PreheatError):
    """An iteration outside 0 … `last`; `why` is the end of the message, where there is more to say."""

    def __init__(self, iteration: int, last: int, why: str = "") -> None:
        self.iteration, self.last, self.why = iteration, last, why
        super().__init__(f"iteration ({iteration}) must be in 0 … {last}{why}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.iteration, self.last, self.why), self.__dict__


class ParamGroupMismatch(PreheatError):
    """The optimizer's param groups are not those of the schedule."""


class ScheduleMismatch(PreheatError):
    """A saved state belongs to another schedule."""


class RankZeroFailed(PreheatError):
    """Rank 0 of a process group raised something that is no PreheatError, and that only it raises."""


REFUSALS: dict[str, type[RequestRefused]] = {
    "urn:preheat:schedule-not-found": ScheduleNotFound,
    "urn:preheat:run-differs": RunDiffers,
    "urn:preheat:run-finished": RunFinished,
    "urn:preheat:occupied": RunOccupied,
    "urn:preheat:superseded": RunSuperseded,
    "urn:preheat:attempt-moved": RunSuperseded,
    "urn:preheat:checkpoint-mismatch": CheckpointMismatch,
    "urn:preheat:knows-more": KnowsMore,
}
"""Refusals by the type of their problem document; a status alone may be a wrong path in the URL, or a proxy's."""


def is_retryable(error: Exception) -> bool:
    """Whether the same request may succeed later: connection, timeout, 408, 425, 429, 5xx; no other refusal may."""
    return isinstance(error, ServiceUnavailable)
