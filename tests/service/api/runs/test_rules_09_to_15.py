"""The rules of live runs over REST: fencing, checkpoints, plateau, events, states, recovery, scopes."""

import gzip
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from sqlalchemy import text

from live_runs.rest_job import SPEC, RestJob
from preheat.store import Database
from rest import problem
from running_service import service, wait_until
from support.keys import bearer, keyed_service


def test_rule_09_the_zombie_of_a_requeued_job_gets_nothing(job: RestJob) -> None:
    """Windows, reports and goodbyes of an attempt that is not the newest are 409; its token never comes back."""
    zombie, number = job.token, job.attempt
    job.attach(5)
    present, job.token, job.attempt = job.token, zombie, number
    assert problem(job.try_ask(5), 409, "superseded")["present"] == 2
    for path, body in (
        ("reports", {"attempt": 1, "token": zombie, "reports": []}),
        ("attempts/1/close", {"token": zombie, "position": 5}),
        ("windows", {"attempt": 2, "token": zombie, "position": 5, "acknowledged": 5, "revision": 1}),
    ):
        problem(job.http.post(f"{job.path}/{path}", json=body), 409, "superseded")
    problem(job.try_attach(token=zombie, take_over=True), 409, "superseded")
    job.token, job.attempt = present, 2
    assert job.ask(5)["attempt"] == 2


def test_rule_09_no_token_is_ever_shown(job: RestJob) -> None:
    """Not in the run, its attempts or its events: who may read cannot speak."""
    for path in ("", "/attempts", "/events?after=0"):
        assert job.token not in job.http.get(job.path + path).text


@pytest.mark.parametrize(
    ("wrong", "field", "values"),
    [
        ({"run": "f" * 32}, "run", ["f" * 32, None]),
        ({"attempt": 9}, None, None),
        ({"position": 6}, "position", [6, 7]),
    ],
)
def test_rule_10_a_mismatch_is_an_error_with_both_values(job: RestJob, wrong: Any, field: Any, values: Any) -> None:
    """Never a silent skip: field, value of the checkpoint, and what it must be."""
    answer = job.try_attach(7, checkpoint={**job.checkpoint(7), **wrong}, take_over=True)
    if field is None:  # an attempt that the database has not seen: it has lost something, or the checkpoint is foreign
        problem(answer, 409, "knows-more")
        return
    document = problem(answer, 409, "checkpoint-mismatch")
    expected = [values[0], values[1] or job.run()["id"]]
    assert (document["field"], [document["checkpoint"], document["run"]]) == (field, expected)


def test_rule_10_the_first_lr_is_an_event_and_so_is_a_jump(live: httpx.Client) -> None:
    """Replay goes on as it was; what a rollback makes of the LR is said."""
    job = RestJob(live)
    job.attach()
    job.ask(1)
    job.change(factor=0.5, at=30)
    job.run_to(40)
    job.attach(35, checkpoint=job.checkpoint(35))
    assert job.events()[-1]["kind"] == "first-lr"
    assert job.events()[-1]["data"]["lr"] == {"default": 0.05}
    job.send("rollback", {"after": 19, "changes": "from-here", "why": "diverged"})
    job.attach(20, checkpoint=job.checkpoint(20, attempt=1, acknowledged=20))
    jump = job.events()[-1]
    assert (jump["kind"], jump["data"]["jumps"]) == ("lr-jump", {"default": [0.1, 0.05]})


def test_rule_11_plateau_is_torchs_own_bit_for_bit(live: httpx.Client) -> None:
    """Over a constant base, from the next free iteration on: torch's sequence, NaN included."""
    losses: list[float] = [3.0, 2.0, 2.1, 2.2, 2.0, math.nan, 2.5, 1.0, 1.1, 1.2, 1.3, 1.4, 0.5, 0.6, 0.7, 0.8]
    arguments: dict[str, Any] = {"factor": 0.3, "patience": 1, "min_lr": 0.002, "cooldown": 1}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **arguments)
    job = RestJob(live)
    added = job.http.post(f"{job.path}/controllers", json={"metric": "loss", "parameters": arguments})
    assert added.status_code == 201
    job.attach()
    for iteration, loss in enumerate(losses, start=1):
        # Two iterations at a time: what this report makes of the LR holds from the one after next on.
        assert job.ask(iteration, iteration_s=100.0)["stop"] == iteration + 2
        job.report(iteration, "NaN" if math.isnan(loss) else loss)
        scheduler.step(loss)
        assert job.lrs(iteration + 2) == [optimizer.param_groups[0]["lr"]]
    changes = job.http.get(f"{job.path}/changes").json()["changes"]
    assert {change["author"] for change in changes} == {"plateau"}
    assert len(changes) > 2


def test_rule_11_reports_are_counted_once_and_never_an_error(job: RestJob) -> None:
    """The same again is ignored, another value under the key is an event, one that comes too late is one too."""
    job.http.post(f"{job.path}/controllers", json={"metric": "loss", "parameters": {"patience": 0, "factor": 0.5}})
    job.ask(16)
    assert job.report(17, 1.0) | {"events": 0} == job.report(17, 1.0) | {"events": 0, "stored": 1, "ignored": 0}
    assert job.report(17, 2.0)["stored"] == 0
    assert job.report(20, "Infinity")["stored"] == 1
    assert job.report(18, 1.0)["stored"] == 0
    assert [kind for kind in job.kinds() if kind.startswith("report")] == ["report-conflict", "report-late"]
    change = job.http.get(f"{job.path}/changes").json()["changes"][0]
    assert (change["author"], change["is_automated"], change["cause"]["iteration"]) == ("plateau", True, 20)
    assert "loss has not come below its best in 1 reports" in change["why"]
    assert job.http.get(f"{job.path}/reports?name=loss").json()["values"] == [1.0, "Infinity"]


def test_rule_11_reports_come_with_a_window_and_may_be_gzipped(job: RestJob) -> None:
    """One request for both; a body that is packed otherwise, or not as it says, is told so."""
    answer = job.ask(3, reports=[{"iteration": n, "values": {"loss": n / 2, "grad_norm": "NaN"}} for n in (1, 2)])
    assert answer["reports"] == {"stored": 4, "ignored": 0, "left_from": None}
    found = job.http.get(f"{job.path}/reports?name=grad_norm").json()
    assert (found["names"], found["iterations"], found["values"]) == (["grad_norm", "loss"], [1, 2], ["NaN", "NaN"])
    packed = gzip.compress(json.dumps({"attempt": 1, "token": job.token, "reports": []}).encode())
    headers = {"content-type": "application/json"}
    for encoding, body in (("br", packed), ("gzip", b"{}"), ("gzip", packed[:-4]), ("gzip", packed + b"x")):
        sent = {**headers, "content-encoding": encoding}
        problem(job.http.post(f"{job.path}/reports", content=body, headers=sent), 415, "compression-refused")
    bomb = gzip.compress(b" " * 3_000_000)
    sent = {**headers, "content-encoding": "gzip"}
    problem(job.http.post(f"{job.path}/reports", content=bomb, headers=sent), 413, "request-entity-too-large")


def test_rule_11_an_equal_controller_is_the_one_that_there_is(job: RestJob) -> None:
    """A script that adds it at each start has one: two would both reduce. Another argument makes another one."""
    asked: dict[str, Any] = {"metric": "loss", "parameters": {"patience": 0, "factor": 0.5}}
    path = f"{job.path}/controllers"
    first = job.http.post(path, json=asked)
    job.report(16, 1.0)
    assert first.json()["counted"] == 0
    for same in (asked, {**asked, "parameters": {**asked["parameters"], "param_groups": ["default"], "eps": 1e-8}}):
        again = job.http.post(path, json=same)
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json()["id"] == first.json()["id"]
    for other in ({**asked, "metric": "grad_norm"}, {**asked, "parameters": {"patience": 1, "factor": 0.5}}):
        assert job.http.post(path, json=other).status_code == 201
    assert job.kinds().count("controller-added") == 3
    for iteration in (17, 18):
        job.report(iteration, 1.0)
    changes = job.http.get(f"{job.path}/changes").json()["changes"]
    assert [(each["cause"]["iteration"], each["operation"]["factor"]) for each in changes] == [(18, 0.5)]
    counted = job.http.get(path).json()["controllers"][0]
    assert (counted["counted"], counted["best"], counted["not_better"]) == (2, 1.0, 0)


def test_rule_11_a_window_does_not_wait_for_many_reports(live: httpx.Client) -> None:
    """It has an answer in time: what is left of the reports is sent with the next request, and each counts once."""
    job = RestJob(live)
    names = [f"loss {k}" for k in range(10)]
    for name in names:
        job.http.post(f"{job.path}/controllers", json={"metric": name, "parameters": {"patience": 10**6}})
    job.attach()
    job.ask(1)
    # In parts of ten, with a pause after each: longer than a request may take.
    asked = [{"iteration": n, "values": dict.fromkeys(names, 1 / n)} for n in range(1, 80)]
    left, stored = asked, []
    while left:
        found = job.ask(1, reports=left)["reports"]
        stored.append(found["stored"])
        left_from = found["left_from"]
        left = [] if left_from is None else [each for each in asked if each["iteration"] >= left_from]
    assert sum(stored) == 790
    assert 0 < stored[0] < 600
    assert 0 not in stored
    assert job.ask(1, reports=asked)["reports"] == {"stored": 0, "ignored": 790, "left_from": None}


def test_rule_11_reports_of_what_nobody_can_have_run_are_one_event(job: RestJob) -> None:
    """However many they are: a batch whose answer got lost comes again, and the history is for people."""
    job.http.post(f"{job.path}/controllers", json={"metric": "loss", "parameters": {}})
    body = {"attempt": job.attempt, "token": job.token}
    body["reports"] = [{"iteration": n, "values": {"loss": 1.0}} for n in (1, *range(5000, 5300))]
    for stored in (1, 0):
        answer = job.http.post(f"{job.path}/reports", json=body).json()
        assert (answer["stored"], answer["ignored"], answer["left_from"]) == (stored, 301 - stored, None)
    events = job.http.get(f"{job.path}/events?after=0&limit=100").json()["events"]
    ahead = [each for each in events if each["kind"] == "report-ahead"]
    assert [(each["data"]["iteration"], each["data"]["count"]) for each in ahead] == [(5000, 300)] * 2


def streamed(job: RestJob, after: int | None, count: int) -> Iterator[dict[str, Any]]:
    """The next events of a stream, with their own numbers checked."""
    headers = {"accept": "text/event-stream"} | ({} if after is None else {"last-event-id": str(after)})
    with httpx.stream("GET", f"{job.http.base_url}{job.path}/events", headers=headers, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                event = json.loads(fields["data"])
                assert (str(event["number"]), event["kind"]) == (fields["id"], fields["event"])
                yield event
                count -= 1
                fields = {}
            if not count:
                return


def test_rule_12_events_are_pushed_without_a_gap(job: RestJob) -> None:
    """From the last one that a watcher has, as they happen; two watchers see the same."""
    total = len(job.events()) + 2 * 6
    found: dict[str, list[int]] = {}

    def watch(name: str, after: int) -> None:
        found[name] = [event["number"] for event in streamed(job, after, total - after)]

    threads = [threading.Thread(target=watch, args=watcher) for watcher in (("all", 0), ("late", 3))]
    for thread in threads:
        thread.start()
    for _ in range(6):
        job.change(factor=0.9)
    for thread in threads:
        thread.join(30)
    assert found == {"all": list(range(1, total + 1)), "late": list(range(4, total + 1))}


def test_rule_12_a_stream_ends_with_its_run(job: RestJob) -> None:
    """Without Last-Event-ID it begins now."""
    ended = threading.Event()

    def watch() -> None:
        assert [event["kind"] for event in streamed(job, None, 99)] == ["finished"]
        ended.set()

    threading.Thread(target=watch).start()
    threading.Event().wait(0.5)
    job.http.post(f"{job.path}/finish").raise_for_status()
    threading.Event().wait(0.2)
    assert job.http.delete(job.path).status_code == 204
    assert ended.wait(30)
    problem(job.http.get(f"{job.path}/events"), 404, "run-not-found")


def test_rule_12_a_stream_ends_when_the_service_stops() -> None:
    """At once: nobody waits for those who watch."""
    with service() as url, httpx.Client(base_url=url, timeout=60) as http:
        job = RestJob(http)
        thread = threading.Thread(target=lambda: list(streamed(job, 0, 99)))
        thread.start()
        threading.Event().wait(0.5)
    thread.join(10)
    assert not thread.is_alive()


def test_rule_12_trimmed_events_are_gone(tmp_path: Path) -> None:
    """410 says which is the first that is kept."""
    url = f"sqlite:///{tmp_path}/preheat.db"
    with (
        service(database_url=url, max_events_per_run=100) as address,
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        job = RestJob(http)
        for number in range(60):
            http.put(f"{job.path}/lock", json={"lock": "locked"})
            http.put(f"{job.path}/lock", json={"lock": "open"})
            if number == 0:
                assert job.events()[0]["number"] == 1
        assert problem(http.get(f"{job.path}/events?after=3"), 410, "events-trimmed")["first"] == 22
        assert [event["number"] for event in job.events(21)] == list(range(22, 122))


def test_rule_13_states_say_what_the_job_does(live: httpx.Client) -> None:
    """WAITING, RUNNING, CLOSED, FINISHED; a list is filtered by them."""
    job = RestJob(live)
    assert job.run()["state"] == "WAITING"
    job.attach()
    assert job.run()["state"] == job.ask(1)["state"] == "RUNNING"
    job.http.post(f"{job.path}/attempts/1/close", json={"token": job.token, "position": 1})
    assert job.run()["state"] == "CLOSED"
    job.http.post(f"{job.path}/finish")
    assert job.run()["state"] == "FINISHED"
    problem(job.try_change(), 409, "run-finished")
    problem(job.try_ask(1), 409, "superseded")
    problem(job.try_attach(take_over=True), 409, "run-finished")
    label = job.run()["label"]
    assert [run["id"] for run in live.get(f"/v1/runs?state=FINISHED&label={label}").json()["runs"]] == [job.run()["id"]]


def test_rule_13_a_job_that_stands_still_is_stalled() -> None:
    """Heartbeats come, the iteration stays."""
    with service(run_stalled_after_s=0.1) as url, httpx.Client(base_url=url, timeout=60) as http:
        job = RestJob(http)
        job.attach()
        job.ask(1)
        wait_until(lambda: job.ask(1)["state"] == "STALLED", 10)
        assert job.ask(2)["state"] == "RUNNING"


def test_rule_13_a_rank_that_differs_is_an_alarm(job: RestJob) -> None:
    """Another LR, or a revision that there is not, at one iteration."""
    right = {"iteration": 5, "rank": 0, "lrs": {"default": 0.1}, "revision": 1}
    wrong = [{**right, "rank": 1, "lrs": {"default": 0.2}}, {**right, "rank": 2, "revision": 7}]
    assert job.ask(6, told=[right, *wrong])["alarms"] == 2
    alarms = [event["data"] for event in job.events() if event["kind"] == "alarm"]
    assert [(each["rank"], each["lrs"], each["expected"]) for each in alarms] == [
        (1, {"default": 0.2}, {"default": 0.1}),
        (2, {"default": 0.1}, {"default": 0.1}),
    ]


def test_rule_14_a_restored_backup_fences_everybody_and_takes_the_facts(tmp_path: Path) -> None:
    """Who knows more than the database attaches again with what it knows; its LRs hold, and the old token is gone."""
    file, backup = tmp_path / "preheat.db", tmp_path / "backup.db"
    database = Database(f"sqlite:///{file}", 5)
    with service(database_url=f"sqlite:///{file}") as url, httpx.Client(base_url=url, timeout=60) as http:
        job = RestJob(http)
        job.attach()
        job.ask(1)
        database.backup(backup)
        job.change(factor=0.5)
        known = job.ask(10)
        assert known["revision"] == 2
        spec = http.get(f"/v1/schedules/{known['schedule_id']}").json()["spec"]
        database.restore(backup, lambda _: None)
        lost = problem(job.try_ask(12, known["stop"]), 409, "knows-more")
        assert (lost["generation"], lost["lost"]["revision"]) == (2, [2, 1])
        assert (job.run()["generation"], job.run()["state"]) == (2, "CLOSED")
        problem(job.try_ask(12, known["stop"]), 409, "knows-more")  # its answer may have got lost
        knowledge = {"attempt": 1, "revision": 2, "bound": known["stop"], "spec": spec}
        answer = job.attach(known["stop"], knowledge=knowledge, take_over=False)
        assert (answer["attempt"], answer["generation"]) == (2, 2)
        assert answer["revision"] > 2
        assert job.lrs(known["stop"] - 1, known["stop"]) == [0.05, 0.05]
        assert job.ask(known["stop"])["groups"][0]["lr"][0] == 0.05
        assert {"generation-raised", "recovered"} <= set(job.kinds())
    database.close()


def test_rule_14_every_commit_is_synced(tmp_path: Path) -> None:
    """SQLite stays at synchronous = FULL."""
    database = Database(f"sqlite:///{tmp_path}/preheat.db", 5)
    with database.transaction("write") as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    database.close()


def test_rule_15_world_size_is_information(live: httpx.Client) -> None:
    """It is shown, and moves nothing; times are UTC."""
    job = RestJob(live)
    job.attach(world_size=8)
    before = job.lrs(100)
    job.attach(world_size=4)
    shown = job.http.get(f"{job.path}/attempts").json()["attempts"]
    assert [each["world_size"] for each in shown] == [8, 4]
    assert all(each["attached_at"].endswith("Z") for each in shown)
    assert job.lrs(100) == before


def test_scopes_say_who_may_do_what() -> None:
    """`run` speaks, `steer` changes under its name, `read` looks, `admin` deletes."""
    with keyed_service() as keyed:
        made = keyed.http.post("/v1/runs", json={"label": "a", "spec": SPEC}, headers=bearer(keyed.tokens["run"]))
        path = f"/v1/runs/{made.json()['id']}"
        attach = {"token": "t" * 16, "seen_attempt": 0, "position": 1}
        change = {"operation": {"op": "scale", "factor": 0.5}, "why": "spike"}
        headers = {"if-match": made.headers["etag"], "idempotency-key": "k"}
        steer = {**headers, **bearer(keyed.tokens["steer"])}
        problem(keyed.http.post(f"{path}/changes", json=change, headers={**headers, **bearer(keyed.tokens["run"])}),
                403, "scope-missing")  # fmt: skip
        problem(keyed.http.post(f"{path}/attempts", json=attach, headers=steer), 403, "scope-missing")
        accepted = keyed.http.post(f"{path}/changes", json=change, headers=steer)
        assert accepted.json()["change"]["author"] == "steer"
        assert keyed.http.get(path, headers=bearer(keyed.tokens["read"])).is_success
        problem(keyed.http.delete(path, headers=steer), 403, "scope-missing")
        assert keyed.http.delete(path, headers=bearer(keyed.tokens["admin"])).status_code == 204


def test_a_locked_run_takes_no_changes_and_its_job_goes_on(job: RestJob) -> None:
    """Until it is opened."""
    assert job.http.put(f"{job.path}/lock", json={"lock": "locked"}).json()["lock"] == "locked"
    problem(job.try_change(), 409, "run-locked")
    assert job.ask(9)["stop"] > 17
    job.http.put(f"{job.path}/lock", json={"lock": "open"})
    job.change(factor=0.9)
    assert [kind for kind in job.kinds() if kind in {"locked", "opened"}] == ["locked", "opened"]


def test_a_program_has_a_budget(job: RestJob) -> None:
    """Of changes within a thousand iterations; a person has none."""
    for _ in range(10):
        job.change(factor=0.99, is_automated=True)
    assert problem(job.try_change(factor=0.99, is_automated=True), 429, "budget-spent")["limit"] == 10
    job.change(factor=0.99)


def test_a_change_is_cancelled_or_reverted(job: RestJob) -> None:
    """Cancelled while it was not handed out, afterwards reverted from the revert's own E on."""
    later = job.change(factor=0.5, at=500)["change"]["id"]
    cancelled = job.send(f"changes/{later}/cancel")
    assert (cancelled.status_code, cancelled.json()["effect"], job.statuses()) == (200, None, ["cancelled"])
    problem(job.send(f"changes/{later}/cancel"), 409, "not-in-force")
    problem(job.send("changes/unknown/cancel"), 404, "change-not-found")
    used = job.change(factor=0.5)["change"]["id"]
    job.run_to(20)
    problem(job.send(f"changes/{used}/cancel"), 409, "not-in-force")
    effect = job.change("revert", change=used)["effect"]["iteration"]
    assert job.lrs(effect - 1, effect) == [0.05, 0.1]


def test_a_schedule_that_a_run_needs_cannot_be_deleted(job: RestJob) -> None:
    """409 names the run."""
    job.change(factor=0.7654321)
    revision = job.run()["schedule_id"]
    assert problem(job.http.delete(f"/v1/schedules/{revision}"), 409, "schedule-in-use")["run"] == job.run()["id"]


def test_a_run_is_made_of_a_schedule_or_a_recipe(live: httpx.Client) -> None:
    """By the id of a schedule, or with a recipe in the spec; a bad spec is told where."""
    schedule_id = live.post("/v1/schedules?stop=0", json=SPEC).json()["id"]
    made = live.post("/v1/runs", json={"label": "by id", "schedule_id": schedule_id})
    assert (made.status_code, made.json()["schedule_id"]) == (201, schedule_id)
    recipe = live.post("/v1/runs", json={"label": "recipe", "spec": {"recipe": "llama-3-405b"}})
    assert recipe.json()["total_iterations"] == live.get("/v1/recipes/llama-3-405b").json()["spec"]["total_iterations"]
    wrong = live.post("/v1/runs", json={"label": "wrong", "spec": {"target_lr": 0.1}})
    assert problem(wrong, 422, "invalid-spec")["errors"][0]["pointer"] == "/spec/total_iterations"
    problem(live.post("/v1/runs", json={"label": "none", "schedule_id": "0" * 32}), 404, "schedule-not-found")


def test_runs_and_their_events_are_counted(tmp_path: Path) -> None:
    """Windows, changes and alarms as counters, runs by state as a gauge."""
    with (
        service(database_url=f"sqlite:///{tmp_path}/preheat.db") as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        job = RestJob(http)
        job.attach()
        job.ask(1)
        job.change(factor=0.9)
        found = http.get("/metrics").text
        assert "preheat_run_windows_total 1.0" in found
        assert 'preheat_run_events_total{kind="change-accepted"} 1.0' in found
        assert 'preheat_runs{state="RUNNING"} 1.0' in found


def test_rule_11_many_reports_hold_a_run_for_a_moment_each(tmp_path: Path) -> None:
    """On SQLite every other run waits while one is held: a batch is taken in parts, in order, and counts once."""
    with (
        service(database_url=f"sqlite:///{tmp_path}/preheat.db") as address,
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        job = RestJob(http)
        job.attach()
        job.ask(1)
        asked = {"metric": "loss", "parameters": {"factor": 0.5, "patience": 11}}
        assert job.send("controllers", asked).status_code == 201
        first = job.run()["horizon"]
        reports = [{"iteration": first + n, "values": {"loss": 1.0}} for n in reversed(range(25))]
        before = _writes(http)
        for stored in (25, 0):
            assert (job.report_all(reports), job.statuses()) == (stored, ["scheduled", "scheduled"])
        assert _writes(http) - before >= 5


def _writes(http: httpx.Client) -> float:
    """Transactions that wrote."""
    name = 'preheat_store_transaction_duration_seconds_count{purpose="write"} '
    return next(float(line.removeprefix(name)) for line in http.get("/metrics").text.splitlines() if name in line)
