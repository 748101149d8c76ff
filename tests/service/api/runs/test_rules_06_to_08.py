"""The rules of live runs over REST: out of reach, many speakers, attempts."""

from typing import Any

import httpx
import pytest

from live_runs.rest_job import SPEC, RestJob
from rest import problem
from running_service import service, wait_until

COSINE = {"target_lr": 0.1, "total_iterations": 200, "after_scheduler": {"type": "CosineAnnealingLR"}}


def test_rule_06_facts_replace_what_was_planned(job: RestJob) -> None:
    """A change that the job did not know moves behind what it did out of reach, and says why."""
    changed = job.change(factor=0.5)["change"]
    overrun = {"start": 17, "end": 40, "revision": 1}
    answer = job.ask(30, 17, overrun=overrun)
    assert (answer["start"], answer["horizon"]) == (40, 46)
    assert job.lrs(16, 17, 39, 40) == [0.1, 0.1, 0.1, 0.05]
    assert job.certainties(17, 29, 30, 39) == ["used", "used", "committed", "committed"]
    found = job.http.get(f"{job.path}/changes/{changed['id']}").json()
    assert (found["effect"], found["placements"][-1]["kind"]) == (40, "moved")
    moved = next(event for event in job.events() if event["kind"] == "change-moved")["data"]
    assert (moved["before"], moved["effect"]) == (17, 40)
    assert "out of reach" in moved["why"]
    assert job.ask(30, 17, overrun=overrun)["start"] == 40
    assert job.kinds().count("overrun") == 1
    parts = job.http.get(f"{job.path}/lr?start=10&stop=60").json()["parts"]
    assert [(each["start"], each["stop"], each["certainty"], each["is_overrun"]) for each in parts] == [
        (10, 17, "used", False),
        (17, 30, "used", True),
        (30, 40, "committed", True),
        (40, 46, "committed", False),
        (46, 60, "planned", False),
    ]


def test_rule_06_what_is_moved_past_its_own_end_is_missed(job: RestJob) -> None:
    """An event, and no error of the job."""
    job.change(factor=0.5, until=30)
    job.ask(40, 17, overrun={"start": 17, "end": 40, "revision": 1})
    assert job.statuses() == ["missed"]
    assert "change-missed" in job.kinds()


def test_rule_06_an_overrun_has_a_bound(job: RestJob) -> None:
    """A cap past the position, as windows have."""
    far = {"start": 17, "end": 200, "revision": 1}
    assert problem(job.try_ask(20, 17, overrun=far), 409, "position-ahead")["value"] == 200


def test_rule_07_many_speakers_share_an_attempt_and_have_no_overrun(live: httpx.Client) -> None:
    """By their lineage they are one job; the token in the answer is for all; LRs are the same for all."""
    job = RestJob(live)
    many: dict[str, Any] = {"speakers": "all", "lineage": {"job": "slurm-7", "restarts": 0}, "take_over": False}
    first = job.attach(**many)
    second = job.try_attach(seen_attempt=0, **many)
    assert (second.status_code, second.json()["attempt"], second.json()["token"]) == (200, 1, first["token"])
    assert first["lease_s"] == 60.0
    assert job.ask(1, 1)["groups"] == job.ask(1, 1)["groups"]
    problem(job.try_ask(1, 17, overrun={"start": 17, "end": 20, "revision": 1}), 409, "no-overrun")
    unknown = job.try_attach(speakers="all")
    assert problem(unknown, 422, "invalid-spec")["errors"][0]["pointer"] == "/lineage"


def test_rule_08_looking_attaches_nothing(job: RestJob) -> None:
    """Whoever reads the run, its LRs, its changes or its events opens no attempt and hands nothing out."""
    before = job.run()
    for path in (
        "",
        "/lr",
        "/lr/500",
        "/changes",
        "/attempts",
        "/events?after=0",
        "/controllers",
        "/reports?name=loss",
    ):
        assert job.http.get(job.path + path).is_success
    job.dry_run(factor=0.5)
    assert job.run() == before


def test_rule_08_an_attach_names_the_attempt_that_it_saw(job: RestJob) -> None:
    """409 if that moved; the same token again is the same attempt, and opens nothing."""
    moved = problem(job.try_attach(seen_attempt=0, take_over=True), 409, "attempt-moved")
    assert (moved["seen"], moved["present"]) == (0, 1)
    again = job.try_attach(token=job.token, seen_attempt=0)
    assert (again.status_code, again.json()["attempt"]) == (200, 1)
    assert len(job.http.get(f"{job.path}/attempts").json()["attempts"]) == 1


def test_rule_08_while_an_attempt_is_alive_others_wait(live: httpx.Client) -> None:
    """Unless they are its restart, or take over, or it has said goodbye; Retry-After says when to ask again."""
    job = RestJob(live)
    job.attach(lineage={"job": "torchrun-1"})
    refused = job.try_attach()
    assert problem(refused, 409, "occupied")["attempt"] == 1
    assert refused.headers["retry-after"] == "5"
    assert job.try_attach(lineage={"job": "torchrun-1", "restarts": 1}).status_code == 201
    job.attach()
    closed = job.http.post(f"{job.path}/attempts/3/close", json={"token": job.token, "position": 1})
    assert closed.json()["state"] == "CLOSED"
    assert job.try_attach().status_code == 201


def test_rule_08_a_silent_attempt_may_be_taken_over() -> None:
    """After two leases without a heartbeat."""
    with service(run_lease_s=0.05) as url, httpx.Client(base_url=url, timeout=60) as http:
        job = RestJob(http)
        job.attach()
        wait_until(lambda: job.run()["state"] == "SILENT", 10)
        assert http.get("/v1/runs?state=SILENT").json()["runs"][0]["id"] == job.run()["id"]
        assert job.try_attach().status_code == 201


def test_rule_08_after_a_crash_everything_is_replayed(live: httpx.Client) -> None:
    """The same changes at the same iterations, bit for bit, none of them twice; the old attempt keeps its lane."""
    job = RestJob(live, COSINE)
    job.attach()
    job.ask(1)
    job.change(factor=0.5, at=20)
    job.change(factor=0.9, at=30)
    job.run_to(40)
    before = job.lrs(*range(18, 60, 3))
    job.attach(25, checkpoint=job.checkpoint(25))
    assert job.lrs(*range(18, 60, 3)) == before
    job.run_to(45)
    assert job.lrs(*range(18, 60, 3)) == before
    assert job.run()["changes"] == 2
    assert job.certainties(24, 39, attempt=1) == ["used", "used"]
    assert [job.statuses(attempt) for attempt in (1, 2)] == [["applied", "applied"]] * 2


@pytest.mark.parametrize(("policy", "effects"), [("drop", [None, None]), ("from-here", [25, 25])])
def test_rule_08_a_rollback_is_asked_of_the_job(live: httpx.Client, policy: str, effects: list[int | None]) -> None:
    """Each window has it until the job restarts there; other changes are refused meanwhile."""
    job = RestJob(live)
    job.attach()
    job.ask(1)
    for at in (28, 33):
        job.change(factor=0.5, at=at)
    job.run_to(40)
    asked = job.send("rollback", {"after": 24, "changes": policy, "why": "diverged"})
    assert asked.json()["rollback"] == {"position": 25, "changes": policy, "why": "diverged", "author": "anonymous"}
    assert job.ask(41)["restart"] == asked.json()["rollback"]
    assert job.kinds().count("restart-requested") == 1
    assert problem(job.try_change(), 409, "rollback-pending")["position"] == 25
    job.attach(25, checkpoint=job.checkpoint(25))
    found = job.http.get(f"{job.path}/changes").json()["changes"]
    assert [each["effect"] for each in found] == effects
    assert job.run()["rollback"] is None
    assert job.lrs(24, 25) == ([0.1, 0.1] if policy == "drop" else [0.1, 0.025])
    assert job.statuses(1) == ["applied", "applied"]


def test_rule_08_a_rollback_may_be_withdrawn_and_comes_once(job: RestJob) -> None:
    """With the key again it is the same; afterwards changes are taken again."""
    body, key = {"after": 4, "changes": "drop", "why": "diverged"}, {"idempotency_key": "roll"}
    assert [job.send("rollback", body, **key).status_code for _ in range(2)] == [200, 200]
    assert job.kinds().count("rollback-asked") == 1
    assert job.send("rollback", method="DELETE").json()["rollback"] is None
    problem(job.send("rollback", method="DELETE"), 409, "not-in-force")
    job.change(factor=0.9)
    ahead = job.send("rollback", {"after": 99, "changes": "drop", "why": "x"})
    assert problem(ahead, 422, "invalid-spec")["errors"][0]["pointer"] == "/after"


def test_rule_08_a_fork_shares_the_history(job: RestJob) -> None:
    """A second living run; a checkpoint of the first is no mismatch there; the key again makes no third."""
    job.change(factor=0.5, at=12)
    job.run_to(30)
    saved = job.checkpoint(25)
    body = {"attempt": 1, "iteration": 24, "label": f"{job.run()['label']}-fork"}
    first, again = (job.send("fork", body, idempotency_key="fork") for _ in range(2))
    assert (first.status_code, again.status_code, first.json()["id"]) == (201, 200, again.json()["id"])
    assert first.headers["location"].endswith(first.json()["id"])
    problem(job.send("fork", {**body, "iteration": 20}, idempotency_key="fork"), 422, "key-reused")
    problem(job.send("fork", body), 409, "run-differs")
    problem(job.send("fork", {**body, "iteration": 900, "label": "new"}), 409, "history-unknown")
    problem(job.send("fork", body, idempotency_key=None), 428, "precondition-required")
    forked = RestJob(job.http)
    forked.path = f"/v1/runs/{first.json()['id']}"
    assert forked.run()["origins"] == [{"run": job.run()["id"], "attempt": 1, "iteration": 24}]
    forked.attach(25, checkpoint=saved)
    forked.change(factor=0.5)
    assert forked.lrs(11, 17, 24, 25) == [0.1, 0.05, 0.05, 0.025]
    assert job.lrs(24, 25) == [0.05, 0.05]
    assert forked.certainties(10, 24) == ["used", "used"]


def test_rule_08_making_a_run_finds_the_living_one_of_its_label(live: httpx.Client) -> None:
    """The same call on every rank; another spec, or a finished run, is 409 with the difference."""
    first = RestJob(live, label="llama")
    again = RestJob(live, label="llama")
    assert (first.made.status_code, again.made.status_code, first.path) == (201, 200, again.path)
    other = live.post("/v1/runs", json={"label": "llama", "spec": {**SPEC, "target_lr": 0.2}})
    assert problem(other, 409, "run-differs")["differences"] == {"target_lr": {"run": 0.1, "yours": 0.2}}
    assert RestJob(live, label="llama", unique=False).path != first.path
    live.post(f"{first.path}/finish").raise_for_status()
    assert RestJob(live, label="llama").made.status_code == 200
    assert [run["label"] for run in live.get("/v1/runs?label=llama&state=FINISHED").json()["runs"]] == ["llama"]
