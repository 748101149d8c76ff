"""Attachment: what a loop is told while the service is away, and what may happen in the moment that it is decided."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from preheat_client._core.worker import Worker
from preheat_client._runs.answers import Attached, Handed, RunDescription, handed_of
from preheat_client._runs.attachment import Attachment
from preheat_client._runs.heartbeat import Link, options_of
from preheat_client._runs.place import Place
from preheat_client._runs.processes import Processes
from preheat_client._runs.speaker import Overrun, Speaker
from preheat_client.errors import IterationOutOfRange, ServiceUnavailable
from preheat_client.run_status import RunHealth, RunState

COLUMNS = [("default", "lr")]
TOTAL = 10_000


def handed(start: int, stop: int, revision: int) -> Handed:
    """A window whose LRs are those of a revision."""
    answer = {
        "attempt": 1,
        "start": start,
        "stop": stop,
        "groups": [{"name": "default", "lr": [float(revision)] * (stop - start)}],
        "revision": revision,
        "schedule_id": f"{revision:032x}",
        "generation": 1,
        "lease_s": 5.0,
        "total_iterations": TOTAL,
    }
    return handed_of(answer, COLUMNS)


class Away:
    """A service that is."""

    def window(self, *_: Any) -> Handed:
        """No answer."""
        raise ServiceUnavailable("nobody is there")


class Known:
    """Revisions of which all LRs are known, and something that happens while they are looked up."""

    def __init__(self, newest: int) -> None:
        self.newest, self.asked, self.meanwhile = newest, list[int | None](), list[Callable[[], object]]()

    def see(self, *_: Any) -> None:
        """Nothing is new."""

    def focus(self, iteration: int) -> None:
        """Nothing is missing."""

    def rows(self, start: int, count: int, revision: int | None) -> Any:
        """Those of the newest, by default."""
        self.asked.append(revision)
        if self.meanwhile:
            self.meanwhile.pop()()
        found = revision or self.newest
        return found, handed(start, start + count, found).window


@pytest.fixture
def worker() -> Iterator[Worker]:
    """The client's thread."""
    worker = Worker(lambda: None, lambda: None)
    yield worker
    worker.close()
    worker.join(30)


def attached(worker: Worker, revisions: Known, revision: int = 1) -> tuple[Attachment, Speaker]:
    """A process that has attached at iteration 1 and lost the service."""
    run = RunDescription("a" * 32, "llama", "b" * 32, "b" * 32, revision, 1, 1, 1, TOTAL, ("default",), ())
    options = options_of("one", False, 0.3, 5.0, Processes(1, 0, None))
    health, api, known = RunHealth("run llama", worker.enqueue), Away(), revisions
    link: Any = (run, COLUMNS, options, "http://127.0.0.1:1", api, worker, known, health, Place())
    attachment = Attachment(Link(*link))
    speaker = Speaker(Attached(1, "token", 1, revision, f"{revision:032x}", 1, 5.0, TOTAL))
    attachment.heartbeat.start(speaker, 1)
    return attachment, speaker


def test_the_loop_goes_on_along_the_newest_revision_and_then_stays_with_it(worker: Worker) -> None:
    """Rule 6: one overrun is of one revision, though another has arrived since; no longer than windows are."""
    revisions = Known(newest=2)
    attachment, speaker = attached(worker, revisions)
    first = attachment.next_part(1)
    assert (first.start, first.stop, first.revision, first.overrun) == (1, 3, 2, Overrun(1, 3, 2))
    revisions.newest = 3
    second = attachment.next_part(3)
    assert (second.start, second.stop, second.overrun) == (3, 5, Overrun(1, 5, 2))
    assert revisions.asked == [None, 2]
    assert second.window.row(3)[0] == 2.0
    assert attachment._health.state is RunState.OVERRUN
    assert speaker.ask(5).overrun == Overrun(1, 5, 2)


def test_an_answer_that_arrives_in_that_moment_is_what_is_told(worker: Worker) -> None:
    """Two LRs of one iteration would follow from what was looked up before it."""
    revisions = Known(newest=1)
    attachment, speaker = attached(worker, revisions)
    revisions.meanwhile.append(lambda: speaker.adopt(handed(1, 5, 7)))
    part = attachment.next_part(1)
    assert (part.start, part.stop, part.revision, part.overrun) == (1, 5, 7, None)
    assert part.window.row(4)[0] == 7.0


def test_an_overrun_that_the_service_has_taken_in_that_moment_is_over(worker: Worker) -> None:
    """Its answer may hand out nothing; what is told next is another overrun, along the newest revision."""
    revisions = Known(newest=1)
    attachment, speaker = attached(worker, revisions)
    attachment.next_part(1)
    revisions.newest = 2
    revisions.meanwhile.append(lambda: speaker.adopt(handed(3, 3, 1)))
    part = attachment.next_part(3)
    assert (part.start, part.revision, part.overrun) == (3, 2, Overrun(3, 5, 2))
    assert revisions.asked == [None, 1, None]


def test_a_goodbye_in_that_moment_ends_the_loop(worker: Worker) -> None:
    """Nothing is told that nobody would report."""
    revisions = Known(newest=1)
    attachment, speaker = attached(worker, revisions)
    revisions.meanwhile.append(attachment.close)
    with pytest.raises(ServiceUnavailable, match="goodbye"):
        attachment.next_part(1)
    assert (speaker.told, speaker.overrun) == (1, None)


def test_it_does_not_go_on_along_an_older_revision_than_it_attached_to(worker: Worker) -> None:
    """What the attach moved has another clock there: the loop waits, and then says why."""
    revisions = Known(newest=1)
    attachment, speaker = attached(worker, revisions, revision=2)
    with pytest.raises(ServiceUnavailable, match="nobody is there"):
        attachment.next_part(1)
    assert speaker.overrun is None


def test_an_iteration_far_ahead_of_what_was_told_is_refused(worker: Worker) -> None:
    """65,536 may be passed over; what is asked for beyond is no overrun, and leaves none."""
    attachment, speaker = attached(worker, Known(newest=1))
    with pytest.raises(IterationOutOfRange, match=r"iteration \(65538\) must be in 0 … 65537"):
        attachment.next_part(65_538)
    assert speaker.overrun is None
    assert attachment.next_part(65_537).start == 1
