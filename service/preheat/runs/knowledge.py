"""Knowledge: what a client knows that the database has lost (a restored backup, a failover without its tail)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from preheat.runs.draft import Curves, Draft, Outcome
from preheat.runs.recovery import take_revision
from preheat.runs.revision import revise
from preheat.runs.run import Attempt, Run
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, violation

_MOST_LOST = 100_000
"""Generations, attempts or revisions."""


@dataclass(frozen=True)
class Knowledge:
    """The last attempt and revision that a client has seen, the end of what it was handed, and that revision's spec.

    `start` is where that attempt began, None if the client does not know it.
    """

    attempt: int
    revision: int
    bound: int
    spec: Mapping[str, Any] | None = None
    start: int | None = None

    def is_ahead_of(self, run: Run) -> bool:
        """Whether the run has lost any of it, or has another revision by its number. Raises InvalidSpec."""
        known = run.attempt_of(self.attempt)
        if known is None or self.revision > run.revision or self.bound > known.handed:
            return True
        ours = run.schedule_of(self.revision)
        if self.spec is None or ours is None:
            return False
        with _in_spec():
            return Schedule.of(self.spec).id != ours


def raise_generation(run: Run, generation: int, now: float) -> Outcome[None]:
    """Fences every attempt of a run that has lost something: `generation` is that of the KnowsMore that told of it."""
    draft = Draft(run, now)
    if generation <= run.generation:
        return draft.outcome(None)
    draft.set(generation=generation)
    if run.attempt is not None and not run.attempt.is_closed:
        draft.set_attempt(run.attempt.number, is_closed=True, is_fenced=True)
    draft.note("generation-raised", generation=generation)
    return draft.outcome(None)


def recover(draft: Draft, knowledge: Knowledge, curves: Curves) -> None:
    """Takes the facts: what was handed out was by the client's revision, and numbers go on from its.

    From C, the end of what this database knows the job to have, or the start of an attempt that was lost, to the end of
    what the job was told LRs are exactly those of that revision's spec. Behind that holds what the database has, and,
    in the order of that revision, what the database has lost. A change that would lie within what was told, and that
    the job did not know, is moved behind it, or missed: an event, and its status, say so.

    Raises InvalidSpec if that spec is none of this run; for numbers that nobody can have seen.
    """
    run = draft.run
    check_plausible(run, "knowledge", attempt=knowledge.attempt, revision=knowledge.revision)
    known = run.attempts[-1].acknowledged if run.attempts else 0
    if knowledge.attempt > run.attempt_number:
        # It may have begun below what is known here, by a rewind.
        known = known if knowledge.start is None else min(known, knowledge.start)
        draft.add_attempt(_lost(run, knowledge, known, draft.now))
    elif run.attempt is not None:
        draft.set_attempt(run.attempt.number, handed=max(run.attempt.handed, knowledge.bound))
    if run.attempt is not None and not run.attempt.is_closed:
        # Nobody who had its token has told of the loss; it is fenced by this one, as by every attempt.
        draft.set(generation=run.generation + 1)
    draft.set(revision=max(run.revision, knowledge.revision))
    draft.note("recovered", attempt=knowledge.attempt, revision=knowledge.revision, bound=knowledge.bound)
    if knowledge.spec is None:
        return
    with _in_spec():
        take_revision(draft, knowledge.spec, range(known, draft.run.horizon), curves)
    revise(draft, curves)


@contextmanager
def _in_spec() -> Iterator[None]:
    """What is wrong with the spec is so at its place in the request."""
    try:
        yield
    except InvalidSpec as error:
        raise InvalidSpec(
            [replace(each, location=("knowledge", "spec", *each.location)) for each in error.violations]
        ) from None


def check_plausible(run: Run, *location: str, **seen: int) -> None:
    """Raises InvalidSpec for numbers so far beyond those of the run that no database can have lost as much."""
    known = {"generation": run.generation, "attempt": run.attempt_number, "revision": run.revision}
    violations = [
        violation((*location, name), f"must be one that this service has given (here: {known[name]})", value)
        for name, value in seen.items()
        if value > known[name] + _MOST_LOST
    ]
    if violations:
        raise InvalidSpec(violations)


def _lost(run: Run, knowledge: Knowledge, start: int, now: float) -> Attempt:
    """The attempt that the client has seen and the database has not."""
    return Attempt(
        number=knowledge.attempt,
        parent=run.attempts[-1].number if run.attempts else None,
        start=start,
        token="",
        handed=max(knowledge.bound, start),
        acknowledged=max(knowledge.bound, start),
        position=start,
        schedule_id=run.schedule_id,
        attached_at=now,
        heard_at=now,
        moved_at=now,
        lease_s=0.0,
        is_closed=True,
    )
