"""Speaker against the rules of live runs: a pure client and a toy service, with every loss, delay and crash between."""

from dataclasses import asdict
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from preheat_client._core.curve import Window
from preheat_client._runs.answers import Attached, Handed, attached_of, handed_of
from preheat_client._runs.speaker import Asked, Overrun, Speaker
from preheat_client.errors import ServiceUnavailable
from support.toy_runs import RUN, Refused, ToyRun

COLUMNS = [("default", "lr")]
TOTAL = 400


def toy() -> ToyRun:
    """A run whose LRs all differ."""
    return ToyRun(lambda n: 1.0 + n / 1024, TOTAL)


def attach_body(token: str, seen: int, position: int, **more: Any) -> dict[str, Any]:
    """A request to attach."""
    plain = {"speakers": "one", "lineage": None, "take_over": False, "checkpoint": None, "knowledge": None}
    return {"token": token, "seen_attempt": seen, "position": position, **plain, **more}


class Job:
    """One process: its speaker, what its ranks were told, and what they have used."""

    def __init__(self, service: ToyRun, token: str, position: int, **more: Any) -> None:
        self.service, self.position = service, position
        seen = service.present.number if service.present else 0
        self.speaker = Speaker(attached_of(service.attach(attach_body(token, seen, position, **more))))
        self.attempt = self.speaker.attempt
        self.told: dict[int, float] = {}
        self.attempt_of: dict[int, int] = {}
        self.known = self.speaker.revision
        self.flight: tuple[Asked, dict[str, Any], Handed | Refused | None] | None = None

    def tell(self, part: Any) -> None:
        """Ranks are told."""
        for n in range(part.start, part.stop):
            assert n not in self.told, "told twice"
            row = part.window.row(n)[0]
            assert isinstance(row, float)
            self.told[n], self.attempt_of[n] = row, part.attempt


class Machine(RuleBasedStateMachine):
    """One job after another, a service that changes, and a network that loses and delays."""

    @initialize()
    def start(self) -> None:
        """The first process."""
        self.service, self.count = toy(), 0
        self.late: list[dict[str, Any]] = []
        self.dead: list[Job] = []
        self.job = Job(self.service, "token 0", 1)

    @precondition(lambda self: self.job.flight is None)
    @rule(fate=st.sampled_from(["answered", "lost", "never sent"]))
    def ask(self, fate: str) -> None:
        """A request, whose answer is on its way, or is not."""
        job = self.job
        asked = job.speaker.ask(job.position)
        body = {**job.speaker.body(asked), "iteration_s": 0.5, "reports": []}
        if fate == "never sent":
            self.late.append(body)
            return
        answer = handed_of(self.service.window(body), COLUMNS)
        job.flight = (asked, body, answer if fate == "answered" else None)
        if fate == "lost":
            job.flight = None

    @precondition(lambda self: self.job.flight is not None)
    @rule()
    def arrive(self) -> None:
        """The answer arrives; loop and people may have gone on meanwhile."""
        job = self.job
        assert job.flight is not None
        handed = job.flight[2]
        job.flight = None
        assert isinstance(handed, Handed)
        if job.speaker.adopt(handed):
            job.known = handed.revision

    @precondition(lambda self: self.late)
    @rule(index=st.integers(0, 100))
    def arrive_late(self, index: int) -> None:
        """A request that was given up reaches the service after all; its answer reaches nobody."""
        body = self.late.pop(index % len(self.late))
        if body["attempt"] != self.service.attempts[-1].number:
            with pytest.raises(Refused, match="superseded"):
                self.service.window(body)
        elif body["overrun"] is None:  # an older overrun is a part of the newer one
            self.service.window(body)

    @rule(steps=st.integers(1, 12))
    def run_on(self, steps: int) -> None:
        """The loop: told what has arrived, and what it has been told it runs."""
        job = self.job
        for _ in range(steps):
            if job.position not in job.told:
                part = job.speaker.tell()
                if part is None:
                    return
                job.tell(part)
            job.position += 1

    @precondition(lambda self: not self.job.speaker.has_more and self.job.position >= self.job.speaker.end)
    @rule(count=st.integers(2, 9))
    def overrun(self, count: int) -> None:
        """Out of reach: the loop goes on along what it knows."""
        job, speaker = self.job, self.job.speaker
        revision = speaker.overrun.revision if speaker.overrun else job.known
        start = speaker.end
        handed = {"start": start, "stop": start + count}
        lrs = [self.service.lr(revision, n) for n in range(start, start + count)]
        attached = {**self.service._attached(self.service.attempts[-1], start), **handed}
        window = handed_of({**attached, "groups": [{"name": "default", "lr": lrs}]}, COLUMNS).window
        job.tell(speaker.go_on(window, start + count, revision))

    @rule(factor=st.sampled_from([0.5, 0.9, 2.0]), at=st.integers(0, TOTAL))
    def change(self, factor: float, at: int) -> None:
        """Somebody changes the run: never what was handed out."""
        if len(self.service.changes) < 8:
            before = self.service.attempts[-1].handed
            assert self.service.change(factor, at) >= before

    @rule(back=st.integers(0, 30))
    def restart(self, back: int) -> None:
        """The process dies; the next one goes on from a checkpoint."""
        job, speaker = self.job, self.job.speaker
        k = max(job.position - back, speaker.start)
        overrun = speaker.overrun
        checkpoint = {
            "run": RUN,
            "attempt": speaker.attempt,
            "revision": speaker.revision,
            "position": k,
            "acknowledged": speaker.acknowledged,
            "overrun": None if overrun is None or overrun.start >= k else asdict(overrun),
        }
        if job.flight is not None:
            self.late.append(job.flight[1])
        self.dead.append(job)
        self.count += 1
        self.job = Job(self.service, f"token {self.count}", k, take_over=True, checkpoint=checkpoint)

    @invariant()
    def the_record_is_what_was_used(self) -> None:
        """What the service has on record as acknowledged is what ranks were told, at each iteration."""
        if not hasattr(self, "job"):
            return
        job, attempt = self.job, self.service.attempts[-1]
        for n in range(job.speaker.start, min(job.position, attempt.acknowledged)):
            assert attempt.record[n] == job.told[n], f"{n}: on record {attempt.record[n]}, used {job.told[n]}"

    @invariant()
    def nothing_is_told_that_was_not_handed_out_or_noted(self) -> None:
        """Every iteration that was told lies before H, or in the overrun that will be reported."""
        if not hasattr(self, "job"):
            return
        speaker, attempt = self.job.speaker, self.service.attempts[-1]
        noted = speaker.overrun.end if speaker.overrun else 0
        assert speaker.told <= max(attempt.handed, noted)
        assert speaker.acknowledged <= attempt.handed


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestSpeaker = Machine.TestCase


def window(start: int, lrs: list[float], attempt: int = 1, revision: int = 1) -> Handed:
    """A window that was handed out."""
    answer = {
        "attempt": attempt,
        "start": start,
        "stop": start + len(lrs),
        "groups": [{"name": "default", "lr": lrs}],
        "revision": revision,
        "schedule_id": f"{revision:032x}",
        "generation": 1,
        "lease_s": 5.0,
        "total_iterations": TOTAL,
        "restart": None,
    }
    return handed_of(answer, COLUMNS)


def speaker_at(start: int) -> Speaker:
    """A speaker that has just attached."""
    return Speaker(Attached(1, "t", start, 1, f"{1:032x}", 1, 5.0, TOTAL))


def flat(start: int, count: int) -> Window:
    """A window of a revision."""
    return window(start, [0.25] * count).window


def test_an_answer_that_begins_below_what_was_told_meanwhile_is_thrown_away() -> None:
    """Rule 6: the loop has gone on to 13 while the answer for 5 … was on its way."""
    speaker = speaker_at(1)
    assert speaker.adopt(window(1, [0.5] * 4))
    assert (part := speaker.tell()) is not None
    assert (part.start, part.stop, part.is_overrun) == (1, 5, False)
    assert speaker.ask(5) == Asked(5, 5, None)
    assert speaker.go_on(flat(5, 8), 13, 1).overrun == Overrun(5, 13, 1)
    assert not speaker.adopt(window(5, [0.125] * 4))
    assert speaker.ask(9) == Asked(9, 5, Overrun(5, 13, 1))
    assert speaker.adopt(window(13, [0.125] * 2))
    assert (part := speaker.tell()) is not None
    assert (part.start, part.overrun, speaker.acknowledged) == (13, None, 15)


def test_an_overrun_is_reported_from_c_to_the_end_of_what_was_told() -> None:
    """Rule 6: its start stays C however often it grows, and its revision stays the same."""
    speaker = speaker_at(7)
    for start in (7, 9, 11):
        speaker.go_on(flat(start, 2), start + 2, 3)
    assert speaker.ask(12).overrun == Overrun(7, 13, 3)
    assert speaker.body(speaker.ask(12))["overrun"] == {"start": 7, "end": 13, "revision": 3}
    assert speaker.adopt(window(13, []))
    assert speaker.ask(13) == Asked(13, 13, None)


def test_a_request_acknowledges_what_has_arrived_and_no_more() -> None:
    """Rule 1: C moves when a window arrives, whether it was told or not; a position beyond it is not claimed."""
    speaker = speaker_at(1)
    assert speaker.ask(1).acknowledged == 1
    speaker.adopt(window(1, [0.5] * 4))
    assert speaker.ask(99) == Asked(5, 5, None)


@pytest.mark.parametrize("wrong", [window(6, [0.5]), window(1, [0.5], attempt=2)])
def test_an_answer_to_something_else_is_refused(wrong: Handed) -> None:
    """One that leaves a gap, or is another attempt's."""
    with pytest.raises(ServiceUnavailable, match="answered attempt"):
        speaker_at(1).adopt(wrong)


def test_a_service_that_lost_the_attempt_goes_on_where_ranks_were_told_to() -> None:
    """Rule 14: what had arrived is still told; what ranks were told while it attached is an overrun of the new one."""
    speaker = speaker_at(1)
    speaker.adopt(window(1, [0.5] * 4))
    new = speaker.renewed(Attached(3, "u", 5, 2, f"{2:032x}", 2, 5.0, TOTAL))
    assert (part := new.tell()) is not None
    assert (part.start, part.stop, part.attempt) == (1, 5, 1)
    assert new.ask(4) == Asked(5, 5, None)
    speaker.tell()
    speaker.go_on(flat(5, 2), 7, 1)
    speaker.go_on(flat(7, 2), 9, 1)
    new = speaker.renewed(Attached(3, "u", 7, 2, f"{2:032x}", 2, 5.0, TOTAL))
    assert new.ask(8).overrun == Overrun(7, 9, 1)
