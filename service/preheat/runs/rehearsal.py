"""Rehearsal: what a run would be if its job did now what it is to be asked for. Nothing of it is saved."""

from preheat.runs.attempts import Attached, AttachRequest, attach
from preheat.runs.changes import Precondition
from preheat.runs.draft import Curves, Outcome
from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.making import RollbackRequest, roll_back
from preheat.runs.run import Run


def rehearse_rollback(
    run: Run,
    request: RollbackRequest,
    precondition: Precondition,
    now: float,
    curves: Curves,
    limits: Limits = DEFAULT_LIMITS,
) -> Outcome[Attached]:
    """What a restart would be if the job came back at once, there, from a checkpoint of the present attempt.

    What controllers have counted by then is left out: no change depends on it. Raises as `roll_back` and `attach`.
    """
    asked = roll_back(run, request, precondition, now, limits)
    back = AttachRequest("of a rehearsal", run.attempt_number, asked.answer.position, take_over=True)
    return attach(asked.run, back, now, curves, lambda *_: (), limits)
