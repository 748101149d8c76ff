"""Dry runs of restarts, and what answers say of the job that is to make a change."""

from typing import Any

import httpx
import pytest

from live_runs.rest_job import RestJob
from live_runs.script import Script
from preheat.api.run_content import job_content
from preheat.api.run_preview import restarted_content
from preheat.runs import attempts, making
from preheat.runs.changes import Precondition
from preheat.runs.knowledge import raise_generation
from preheat.runs.limits import Limits
from preheat.runs.rehearsal import rehearse_rollback
from preheat.runs.run import Lineage
from rest import problem


def test_an_answer_says_when_the_job_last_asked() -> None:
    """And within how long it promised to ask again: half of its lease of 5 s."""
    job = Script()
    assert job_content(job.run, job.now, job.limits) == {
        "state": "WAITING", "position": None, "heard_s": None, "promise_s": None, "is_overdue": False,
        "text": "no job has had it yet",
    }  # fmt: skip
    job.attach()
    job.ask(1)
    job.ask(9)

    def seen(later_s: float) -> tuple[object, ...]:
        found = job_content(job.run, job.now + later_s, job.limits)
        assert (found["position"], found["promise_s"]) == (9, 2.5)
        return found["state"], found["heard_s"], found["text"]

    promise = "it promised to ask again within 2.5 s"
    assert seen(4) == ("RUNNING", 4, f"its job last asked 4 s ago; {promise}")
    assert seen(14) == ("SILENT", 14, f"its job last asked 14 s ago; {promise}")
    assert seen(7200) == ("SILENT", 7200, f"its job last asked 2 h ago; {promise}")
    assert seen(-3)[1:] == (0, f"its job last asked 0 s ago; {promise}"), "the clock was set back"


@pytest.mark.parametrize(("speakers", "promised_s"), [("one", 2.5), ("all", 30)])
def test_a_job_is_overdue_when_its_promise_has_passed_by_half_again(speakers: Any, promised_s: float) -> None:
    """A request takes a while: one that comes a little late is none. Nor is a job that is silent, gone, or finished."""
    job = Script(limits=Limits())
    job.attach(speakers=speakers, lineage=Lineage("torchelastic", 0))
    job.ask(1)

    def is_overdue(promises: float) -> Any:
        return job_content(job.run, job.now + promises * promised_s, job.limits)["is_overdue"]

    assert [is_overdue(promises) for promises in (0, 1.01, 1.49, 1.51, 3.99, 4.01)] == [
        False, False, False, True, True, False
    ]  # fmt: skip
    going = job.run
    job.save(making.finish(going, "ann", job.now))
    assert is_overdue(2) is False
    job.save(attempts.close(going, 1, job.token, 1, job.now))
    assert is_overdue(2) is False


def test_it_promises_nothing_where_nothing_is_to_be_asked_any_more() -> None:
    """Said goodbye, fenced by a loss of the database (not if it was gone before), or of a run that is finished."""
    job = Script()

    def seen(later_s: float) -> tuple[object, ...]:
        found = job_content(job.run, job.now + later_s, job.limits)
        return found["state"], found["promise_s"], found["text"]

    fenced = "its job was cut off, since the database had lost what it knew, and is to attach again"
    for generation, last_words in ((2, fenced), (3, "its job has said goodbye")):
        job.attach()
        job.ask(1)
        if last_words != fenced:
            job.save(attempts.close(job.run, job.run.attempt_number, job.token, 1, job.now))
        job.save(raise_generation(job.run, generation, job.now))
        assert seen(3) == ("CLOSED", None, last_words)
    job.attach()
    job.ask(1)
    job.save(making.finish(job.run, "ann", job.now))
    assert seen(4980) == ("FINISHED", None, "it takes nothing more; its job last asked 83 min ago")
    waiting = Script()
    job.save(making.finish(waiting.run, "ann", job.now))
    assert seen(0) == ("FINISHED", None, "it takes nothing more; no job has had it yet")


def test_dry_run_change_and_cancelling_say_it(job: RestJob) -> None:
    """Each of the answers."""
    tried = job.dry_run(factor=0.5).json()
    made = job.change(factor=0.5)
    headers = {"if-match": made["etag"], "idempotency-key": "cancels-it"}
    cancelled = job.http.post(f"{job.path}/changes/{made['change']['id']}/cancel", headers=headers).json()
    for found in (tried, made, cancelled):
        assert found["job"]["position"] == 1
        assert found["job"]["promise_s"] == pytest.approx(2.5)
        assert found["job"]["text"].endswith("it promised to ask again within 2.5 s")


def halved_thrice(live: httpx.Client) -> RestJob:
    """A run at 0.1 that is halved at 17, 40 and 700, at iteration 60."""
    job = RestJob(live, {"target_lr": 0.1, "total_iterations": 1000})
    job.attach()
    job.ask(1)
    for at in (17, 40, 700):
        job.change(factor=0.5, at=at)
    job.run_to(60)
    return job


def tried(job: RestJob, changes: str, after: int = 29, **headers: str) -> httpx.Response:
    """What a restart would do."""
    body = {"after": after, "changes": changes, "why": "diverged"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return job.http.post(f"{job.path}/rollback?dry_run=true", json=body, headers=given)


@pytest.mark.parametrize(
    ("policy", "effects", "lr", "total"),
    [("drop", [None, None], 0.05, 971 * 0.05), ("from-here", [30, 700], 0.025, 670 * 0.025 + 301 * 0.0125)],
)
def test_a_restart_that_is_tried_does_nothing_and_is_what_it_will_be(
    live: httpx.Client, policy: str, effects: list[Any], lr: float, total: float
) -> None:
    """The changes from there on, the LRs around, and the sums; then the job restarts in earnest."""
    job = halved_thrice(live)
    before = job.run()
    found = tried(job, policy).raise_for_status().json()
    after = job.run()
    assert [after[name] for name in ("etag", "events", "rollback")] == [before["etag"], before["events"], None]
    assert found["effect"] == {"iteration": 30, "in_s": None, "text": "from iteration 30"}
    assert [(each["change"]["effect"], each["effect"], each["stop"]) for each in found["changes"]] == [
        (40, effects[0], None), (700, effects[1], None)
    ]  # fmt: skip
    lrs = [[side["values"][str(n)]["default"] for n in (29, 30, 31)] for side in (found["before"], found["after"])]
    assert lrs == [[0.05] * 3, [0.05, lr, lr]]
    sums = [side["sums"]["default"] for side in (found["before"], found["after"])]
    assert sums == pytest.approx([10 * 0.05 + 660 * 0.025 + 301 * 0.0125, total])
    assert (found["needs_confirmation"], found["job"]["position"]) == ([], 60)
    job.send("rollback", {"after": 29, "changes": policy, "why": "diverged"}).raise_for_status()
    job.attach(30)
    changes = job.http.get(f"{job.path}/changes").json()["changes"]
    assert [each["effect"] for each in changes] == [17, *effects]
    assert job.lrs(30, 31) == [lr, lr]


def test_a_restart_that_cannot_be_asked_for_cannot_be_tried(live: httpx.Client) -> None:
    """The same rules; If-Match only if it is given. A picture is another format of the answer."""
    job = halved_thrice(live)
    assert problem(tried(job, "drop", after=900), 422, "invalid-spec")["errors"][0]["pointer"] == "/after"
    problem(tried(job, "drop", if_match='"1.1.1"'), 412, "precondition-failed")
    assert tried(job, "drop", accept="image/svg+xml").headers["content-type"] == "image/svg+xml"
    problem(tried(job, "drop", accept="text/csv"), 406, "not-acceptable")
    job.send("rollback", {"after": 29, "changes": "drop", "why": "x"}).raise_for_status()
    problem(tried(job, "drop"), 409, "rollback-pending")


def test_a_reduction_stays_in_a_restart_that_is_tried_if_its_report_does() -> None:
    """Though other changes are dropped."""
    job = Script()
    job.control(patience=0, factor=0.5)
    job.attach()
    job.run_to(5)
    for n, loss in ((1, 1.0), (2, 2.0)):
        job.report(n, loss)
    (reduction,) = job.run.changes
    job.change(factor=0.9, at=15)
    job.run_to(30)
    for after, kept in ((2, True), (1, False)):
        request = making.RollbackRequest(after, "drop", "diverged", "ann")
        outcome = rehearse_rollback(job.run, request, Precondition(job.run.etag, "k"), job.now, job.shelf, job.limits)
        assert [each.effect for each in outcome.run.changes] == [reduction.effect if kept else None, None]
    assert job.run.rollback is None


def test_what_becomes_of_a_reduction_before_the_restart_is_shown() -> None:
    """It goes with its report of a later iteration; one whose report stays is as it was, and not shown."""
    job = Script()
    job.control(patience=0, factor=0.5)
    job.attach()
    job.ask(1)
    for n, loss in ((1, 1.0), (20, 2.0)):
        job.report(n, loss)
    (reduction,) = job.run.changes
    assert reduction.effect == 11
    job.change(factor=0.9, at=12)
    job.run_to(30)
    shown = {}
    for after in (18, 20):
        request = making.RollbackRequest(after, "from-here", "diverged", "ann")
        outcome = rehearse_rollback(job.run, request, Precondition(job.run.etag, "k"), job.now, job.shelf, job.limits)
        found = restarted_content(job.run, outcome, after + 1, job.now)
        shown[after] = [(each["change"]["id"], each["effect"], each["kind"], each["reason"]) for each in found]
    assert shown == {18: [(reduction.id, None, "dropped", "its report of iteration 20 counts no more")], 20: []}
