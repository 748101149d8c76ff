"""The rules of live runs over REST: windows, effect, leases, concurrency, dry runs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from live_runs.rest_job import SPEC, RestJob
from preheat.store import Database
from preheat.store.runs import RunStore
from rest import problem
from running_service import service, service_process

COSINE = {"target_lr": 0.1, "total_iterations": 200, "after_scheduler": {"type": "CosineAnnealingLR"}}


def test_rule_01_a_window_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    """A service that is killed as soon as it has answered has handed out exactly what it said; the next one knows."""
    database = tmp_path / "preheat.db"
    with service_process(database) as running, httpx.Client(base_url=running.url, timeout=60) as http:
        job = RestJob(http)
        job.attach()
        first = job.ask(1)
        changed = job.change(factor=0.5)
        running.kill()
    assert RunStore(Database(f"sqlite:///{database}", 5)).get(job.made.json()["id"]).horizon == first["stop"] == 17
    with service_process(database) as again, httpx.Client(base_url=again.url, timeout=60) as http:
        job.http = http
        assert job.run()["changes"] == 1
        repeated = job.ask(1, 1)
        assert (repeated["start"], repeated["stop"], repeated["groups"]) == (1, 17, first["groups"])
        second = job.ask(9, 17)
    assert changed["effect"]["iteration"] == second["start"] == 17
    assert second["groups"][0]["lr"] == [0.05] * (second["stop"] - 17)


def test_rule_01_the_next_request_acknowledges(job: RestJob) -> None:
    """C is what the request says; until then nobody knows whether an answer has arrived."""
    assert (job.run()["acknowledged"], job.run()["horizon"]) == (1, 17)
    answer = job.ask(4, 17)
    assert (answer["position"], answer["acknowledged"], answer["horizon"]) == (4, 17, 20)
    assert job.certainties(3, 4, 19, 20) == ["used", "committed", "committed", "planned"]


def test_rule_01_nobody_can_freeze_a_run(job: RestJob) -> None:
    """At most a cap is handed out past the position, and no position past what was handed out is believed."""
    assert job.ask(5, iteration_s=1e-9)["stop"] == 5 + 64
    assert problem(job.try_ask(70), 409, "position-ahead")["handed"] == 69
    assert job.run()["horizon"] == 69


def test_rule_01_the_same_request_again_gives_the_same_lrs(job: RestJob) -> None:
    """Whatever was changed meanwhile: an answer that was lost and one that comes twice say one thing."""
    first = job.ask(1, 1)
    job.change(factor=0.5)
    again = job.ask(1, 1)
    assert again["groups"] == first["groups"]
    assert again["revision"] == first["revision"] + 1


def test_rule_02_e_is_the_later_of_what_is_wanted_and_h(job: RestJob) -> None:
    """`at` is never missed: what is past begins with H, what is to come when it is wanted."""
    wanted: list[dict[str, Any]] = [{}, {"at": 5}, {"at": 500}]
    effects = [job.change(factor=0.9, **when)["effect"]["iteration"] for when in wanted]
    assert effects == [17, 17, 500]
    assert job.statuses() == ["scheduled"] * 3
    job.ask(12)
    job.run_to(18)
    assert job.statuses() == ["applied", "applied", "scheduled"]


def test_rule_02_for_iterations_counts_from_e_and_durations_may_be_texts(job: RestJob) -> None:
    """Ten iterations from 17 on, and 10 % of the run."""
    change = job.change("hold", value=0.05, at=2, for_iterations=10)["change"]
    assert (change["effect"], change["stop"], job.lrs(16, 17, 26, 27)) == (17, 27, [0.1, 0.05, 0.05, 0.1])
    timed = RestJob(job.http, {**SPEC, "units": {"iterations_per_epoch": 100}})
    assert timed.change(factor=0.9, at="3 ep")["effect"]["iteration"] == 300


@pytest.mark.parametrize(
    ("fields", "kind", "members"),
    [
        ({"until": 17}, "too-late", {"effect": 17, "limit": 17}),
        ({"not_after": 16}, "too-late", {"effect": 17, "limit": 16}),
        ({"at": 1001}, "beyond-end", {"effect": 1001, "total_iterations": 1000}),
    ],
)
def test_rule_02_what_comes_too_late_is_refused(job: RestJob, fields: Any, kind: str, members: Any) -> None:
    """With the iteration at which it would begin, and nothing is kept."""
    document = problem(job.try_change(**fields), 409, kind)
    assert {name: document[name] for name in members} == members
    assert job.run()["changes"] == 0


def test_rule_03_a_window_is_a_length_of_time(job: RestJob) -> None:
    """A lease of 5 s: of a second each, five iterations; slow ones, two; and every answer says when."""
    assert job.ask(16, iteration_s=1.0)["stop"] == 21
    answer = job.ask(20, iteration_s=100.0)
    assert (answer["stop"], answer["lease_s"]) == (22, 5.0)
    assert answer["next_change"] == {"iteration": 22, "in_s": 200.0, "text": "from iteration 22, in about 3 min"}
    assert job.run()["next_change"] == answer["next_change"]
    changed = job.change(factor=0.9)
    assert changed["effect"] == changed["change"]["when"] == answer["next_change"]
    assert job.dry_run(factor=0.9).json()["effect"]["in_s"] == 200.0
    assert job.http.get(f"{job.path}/lr/22").json()["when"] == answer["next_change"]


def test_rule_04_a_change_needs_both_headers(job: RestJob) -> None:
    """428 names the one that is missing; an ETag of before is 412, and the answer has the present one."""
    assert problem(job.try_change(headers={"if_match": None}), 428, "precondition-required")["name"] == "If-Match"
    missing = problem(job.try_change(headers={"idempotency_key": None}), 428, "precondition-required")
    assert missing["name"] == "Idempotency-Key"
    etag = job.run()["etag"]
    assert job.http.get(job.path).headers["etag"] == etag == '"1.1.1"'
    job.change(factor=0.9)
    moved = problem(job.try_change(headers={"if_match": etag}), 412, "precondition-failed")
    assert moved["etag"] == '"1.2.1"'
    job.attach(5)
    assert job.run()["etag"] == '"1.2.2"'


def test_rule_04_the_key_is_looked_up_before_the_etag(job: RestJob) -> None:
    """A retry is answered with the change that was made, 200; another body under the key is 422."""
    headers = {"idempotency_key": "mine", "if_match": job.run()["etag"]}
    first = job.try_change(factor=0.9, headers=headers)
    again = job.try_change(factor=0.9, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["is_repeated"], again.json()["change"]) == (True, first.json()["change"])
    assert problem(job.try_change(factor=0.8, headers=headers), 422, "key-reused")["key"] == "mine"
    assert job.run()["changes"] == 1


def test_rule_04_of_twenty_at_once_one_is_made(job: RestJob) -> None:
    """With one key twenty requests make one change; with a key each and one ETag, one of them is accepted."""
    etag = job.run()["etag"]

    def change(key: str) -> int:
        headers = {"if-match": etag, "idempotency-key": key}
        body = {"operation": {"op": "scale", "factor": 0.9}, "why": "spike"}
        return job.http.post(f"{job.path}/changes", json=body, headers=headers).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(change, ["same"] * 20))
    assert statuses == [200] * 19 + [201]
    etag = job.run()["etag"]
    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(change, map(str, range(20))))
    assert statuses == [201] + [412] * 19
    assert job.run()["changes"] == 2


def test_rule_04_why_is_required_and_the_author_is_the_keys_name(job: RestJob) -> None:
    """A blank one is 422 with a pointer."""
    assert problem(job.try_change(why="  "), 422, "invalid-spec")["errors"][0]["pointer"] == "/why"
    assert job.change(factor=0.9)["change"]["author"] == "anonymous"


@pytest.mark.parametrize(
    ("op", "fields", "pointer"),
    [
        ("scale", {"factor": -1}, "/operation/factor"),
        ("scale", {"at": "3 ep"}, "/at"),
        ("scale", {"at": 2.5}, "/at"),
        ("hold", {"value": 0.1, "param_groups": ["head"]}, "/operation/param_groups/0"),
        ("hold", {"value": 0.1, "start": 5}, "/operation/start"),
        ("replace", {"schedule": {"target_lr": 0.1}}, "/operation/schedule/total_iterations"),
        ("set", {"value": 0.1}, "/operation/op"),
        ("extend", {"total_iterations": 10}, "/operation/total_iterations"),
    ],
)
def test_rule_04_every_bad_change_is_told_where(job: RestJob, op: str, fields: Any, pointer: str) -> None:
    """There is no bare "set lr" either."""
    document = problem(job.try_change(op, **fields), 422, "invalid-spec")
    assert document["errors"][0]["pointer"] == pointer


def test_rule_05_a_dry_run_shows_everything_and_keeps_nothing(live: httpx.Client) -> None:
    """E, the LRs around it, the end, phases and sums of both revisions; the next change begins where it said."""
    job = RestJob(live, COSINE)
    job.attach()
    job.ask(1)
    before, events = job.run(), job.events()
    shown = job.dry_run("cooldown", iterations=10, at=100).json()
    plain = job.lrs(99, 100, 101, 200)
    assert (shown["effect"]["iteration"], shown["needs_confirmation"], shown["lint"]) == (100, [], shown["lint"])
    assert shown["before"]["values"] == {
        str(n): {"default": lr} for n, lr in zip((99, 100, 101, 200), plain, strict=True)
    }
    assert shown["after"]["values"]["100"]["default"] == pytest.approx(plain[0] * 0.9)
    assert shown["after"]["values"]["109"]["default"] == 0.0
    assert (shown["before"]["total_iterations"], shown["after"]["total_iterations"]) == (200, 109)
    assert [phase["name"] for phase in shown["after"]["phases"]][-1] == "cool-down"
    assert shown["after"]["sums"]["default"] < shown["before"]["sums"]["default"]
    assert (job.run(), job.events()) == (before, events)
    picture = job.dry_run("cooldown", iterations=10, at=100, accept="image/svg+xml")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.text.startswith("<?xml")
    assert job.change("cooldown", iterations=10, at=100)["effect"]["iteration"] == 100


def test_rule_05_what_is_out_of_the_ordinary_needs_a_confirmation(job: RestJob) -> None:
    """A factor outside ¼ … 2, or an LR above any so far: 409 with the reasons, which a dry run has too."""
    reasons = problem(job.try_change(factor=3), 409, "confirmation-required")["reasons"]
    assert len(reasons) == 2
    assert job.dry_run(factor=3).json()["needs_confirmation"] == reasons
    assert job.run()["changes"] == 0
    job.change(factor=3, confirm=True)
    assert job.lrs(16, 17) == [0.1, pytest.approx(0.3)]


def test_rule_05_a_dry_run_of_what_is_refused_is_refused(job: RestJob) -> None:
    """With the same problem."""
    assert problem(job.dry_run(at=1001), 409, "beyond-end")["effect"] == 1001
    assert problem(job.dry_run(factor=-1), 422, "invalid-spec")["errors"][0]["pointer"] == "/operation/factor"


def test_a_change_through_worker_processes_is_the_same(tmp_path: Path) -> None:
    """As in threads: it is committed there, and the next window is asked for here."""
    url = f"sqlite:///{tmp_path}/preheat.db"
    with service(database_url=url, compute_workers=1) as address, httpx.Client(base_url=address, timeout=60) as http:
        job = RestJob(http)
        job.attach()
        job.ask(1)
        answer = job.change(factor=0.5)
        assert (answer["effect"]["iteration"], job.ask(9)["groups"][0]["lr"][0]) == (17, 0.05)
        assert job.dry_run(factor=0.5).json()["before"]["values"]["25"]["default"] == 0.05
