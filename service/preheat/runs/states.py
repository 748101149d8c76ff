"""States: what a run's job does, by what was last heard of it; for people, and no rule of correctness reads them."""

from typing import Literal

from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.run import Attempt, Run

State = Literal["WAITING", "RUNNING", "SILENT", "STALLED", "CLOSED", "FINISHED"]

_PROMISES = 2
"""So many leases without a heartbeat are silence."""

_OVERDUE = 1.5
"""So many times what was promised is late: healthy jobs ask a little after half a lease, by the length of a request."""


def state_of(run: Run, now: float, limits: Limits = DEFAULT_LIMITS) -> State:
    """WAITING before the first attempt; SILENT without heartbeats; STALLED with heartbeats at the same iteration."""
    attempt = run.attempt
    if run.is_finished:
        return "FINISHED"
    if attempt is None:
        return "WAITING"
    if attempt.is_closed:
        return "CLOSED"
    if not is_alive(attempt, now):
        return "SILENT"
    return "STALLED" if now > attempt.moved_at + limits.stalled_after_s else "RUNNING"


def is_alive(attempt: Attempt, now: float) -> bool:
    """Whether an attempt is neither closed nor silent.

    One that was heard of further ahead in time than it may be silent was so by a clock that has been set back since.
    """
    is_heard = attempt.heard_at - _PROMISES * attempt.lease_s <= now <= silent_at(attempt)
    return is_heard and not attempt.is_closed


def silent_at(attempt: Attempt) -> float:
    """Until when an attempt may be silent, in seconds of UTC."""
    return attempt.heard_at + _PROMISES * attempt.lease_s


def promised_s(attempt: Attempt) -> float:
    """Within how many seconds of asking the attempt asks again, whether it needs to or not."""
    return attempt.lease_s / 2


def is_overdue(attempt: Attempt, now: float) -> bool:
    """Whether an attempt that is alive should have asked by now, even if its request was slow to come."""
    return is_alive(attempt, now) and now > attempt.heard_at + _OVERDUE * promised_s(attempt)


def seconds_until(attempt: Attempt, iteration: int) -> float | None:
    """About how many seconds from now the attempt runs an iteration; None while it is not known how long one takes."""
    if attempt.iteration_s is None:
        return None
    return max(iteration - attempt.position, 0) * attempt.iteration_s
