"""Live runs with the real service: what every loop used is what is on record, through changes, kills and rewinds."""

import itertools
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from preheat_client import Preheat, RunDiffers, RunFinished, RunState
from preheat_client.run import Run
from preheat_client.torch import RemoteLR
from running_service import free_port, service, service_process, wait_until

SPEC = {
    "target_lr": 0.1,
    "total_iterations": 20_000,
    "warmup": {"iterations": 2000},
    "after_scheduler": {"type": "CosineAnnealingLR"},
}
SOON_S = 30.0
SHORT: dict[str, Any] = {"run_lease_s": 0.3, "max_window_iterations": 32}
"""Of a service whose changes take effect soon, and whose windows are many."""
KEYS = (f"key-{n}" for n in itertools.count())


class Job:
    """A loop over a run: the LR of each update, by attempt, as the optimizer had it."""

    def __init__(self, run: Run) -> None:
        self.run, self.used = run, dict[tuple[int, int], float]()
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        self.optimizer.register_step_post_hook(self._note)
        self.scheduler = RemoteLR(self.optimizer, run)

    def _note(self, *_: Any) -> None:
        self.used[self.run.status.attempt, self.scheduler.iteration] = self.optimizer.param_groups[0]["lr"]

    def train(self, updates: int, pause_s: float = 0.001) -> None:
        """Some more updates."""
        for _ in range(updates):
            self.optimizer.step()
            self.run.report(self.scheduler.iteration, loss=1.0 / self.scheduler.iteration)
            self.scheduler.step()
            time.sleep(pause_s)


def change(url: str, run: Run, **operation: Any) -> int:
    """Makes a change; its first iteration."""
    place = f"{url}/v1/runs/{run.id}"
    headers = {"If-Match": httpx.get(place, timeout=60).headers["etag"], "Idempotency-Key": next(KEYS)}
    answer = httpx.post(f"{place}/changes", json={"operation": operation, "why": "spike"}, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["effect"]["iteration"])


def check(url: str, run: Run, job: Job) -> None:
    """What was used in each attempt is what is on record of it, and the service knows that it was handed out."""
    for attempt in {attempt for attempt, _ in job.used}:
        used = {n: lr for (a, n), lr in job.used.items() if a == attempt}
        window = {"attempt": attempt, "start": min(used), "stop": max(used) + 1}
        record = httpx.get(f"{url}/v1/runs/{run.id}/lr", params=window, timeout=30).json()
        assert record["groups"][0]["lr"] == [used[n] for n in range(min(used), max(used) + 1)]
        assert {part["certainty"] for part in record["parts"]} <= {"used", "committed"}


def number(value: Any) -> float:
    """An LR of one param group."""
    assert isinstance(value, float)
    return value


def base(n: int) -> float:
    """The LR of the spec within its warm-up."""
    return 0.1 * n / 2000


def test_changes_and_a_rewind_are_on_record_as_they_were_used(service_with: Callable[..., httpx.Client]) -> None:
    """Each change from its E on; a rewind replays bit for bit what was, and later ones move on."""
    heard: list[str] = []
    url = str(service_with(**SHORT).base_url)
    with Preheat(url) as preheat:
        run = preheat.run("llama", SPEC, on_change=lambda _, change: heard.append(change.why))
        assert preheat.run("llama", SPEC).id == run.id
        with pytest.raises(RunDiffers) as refused:
            preheat.run("llama", {**SPEC, "target_lr": 0.2})
        assert refused.value.problem["differences"]["target_lr"] == {"run": 0.1, "yours": 0.2}
        job = Job(run)
        job.train(100)
        state = job.scheduler.state_dict()
        first = change(url, run, op="scale", factor=0.5)
        job.train(first - 100 + 50)
        assert job.used[1, first - 1] == pytest.approx(base(first - 1), rel=1e-12)
        assert job.used[1, first] == pytest.approx(base(first) / 2, rel=1e-12)
        wait_until(lambda: heard == ["spike"], SOON_S)
        assert run.plan(first + 1000) == pytest.approx(base(first + 1000) / 2, rel=1e-12)
        job.scheduler.load_state_dict(state)
        job.train(first)
        assert {n: lr for (a, n), lr in job.used.items() if a == 2 and n <= first + 50}.items() <= {
            n: lr for (a, n), lr in job.used.items() if a == 1
        }.items()
        wait_until(
            lambda: httpx.get(f"{url}/v1/runs/{run.id}", timeout=60).json()["position"] == job.scheduler.iteration,
            SOON_S,
        )
        check(url, run, job)
        names = httpx.get(f"{url}/v1/runs/{run.id}/reports", params={"name": "loss", "limit": 3}, timeout=60).json()
        assert (names["iterations"][0], names["values"][0]) == (101, 1 / 101)
        httpx.post(f"{url}/v1/runs/{run.id}/finish", timeout=60)
        with pytest.raises(RunFinished):
            job.train(20_000)
        assert run.status.state is RunState.FINISHED


def test_a_service_that_is_killed_learns_what_the_job_did(tmp_path: Path) -> None:
    """The loop goes on; when another process serves the same database, the overrun is on record as what was used."""
    database, port = tmp_path / "runs.db", free_port()
    with Preheat(f"http://127.0.0.1:{port}", timeout_s=2) as preheat:
        with service_process(database, port=port, **SHORT) as running:
            run = preheat.run("llama", SPEC)
            job = Job(run)
            job.train(50)
            change(running.url, run, op="scale", factor=0.5)
            job.train(100)
            running.kill()
        job.train(400)
        assert run.status.state is RunState.OVERRUN
        with service(port, database_url=f"sqlite:///{database}", **SHORT) as url:
            give_up = time.monotonic() + SOON_S
            while str(run.status.state) != "READY":
                assert time.monotonic() < give_up
                job.train(20)
            job.train(100)
            place = f"{url}/v1/runs/{run.id}"
            wait_until(lambda: httpx.get(place, timeout=60).json()["position"] == job.scheduler.iteration, SOON_S)
            check(url, run, job)
            (overrun,) = httpx.get(f"{place}/attempts", timeout=60).json()["attempts"][0]["overruns"]
            assert 100 < overrun["start"] < 200
            assert overrun["stop"] > 500
            preheat.close()


def test_a_restored_backup_takes_the_facts(tmp_path: Path) -> None:
    """A database that lost an attempt and a change: the job attaches anew, and its LRs go on as they were."""
    database, port = tmp_path / "runs.db", free_port()
    with Preheat(f"http://127.0.0.1:{port}", timeout_s=2) as preheat:
        with service(port, database_url=f"sqlite:///{database}", **SHORT) as url:
            run = preheat.run("llama", SPEC)
            with sqlite3.connect(database) as live, sqlite3.connect(tmp_path / "backup.db") as backup:
                live.backup(backup)
            job = Job(run)
            job.train(100)
            effect = change(url, run, op="scale", factor=0.5)
            job.train(effect - 100 + 50)
            wait_until(lambda: number(run.plan(10_000)) < 0.05, SOON_S)
        for path in tmp_path.glob("runs.db*"):
            path.unlink()
        (tmp_path / "backup.db").rename(database)
        with service(port, database_url=f"sqlite:///{database}", **SHORT) as url:
            give_up = time.monotonic() + SOON_S
            while run.status.attempt < 2:
                assert time.monotonic() < give_up
                job.train(20)
            job.train(100)
            place = f"{url}/v1/runs/{run.id}"
            wait_until(lambda: httpx.get(place, timeout=60).json()["position"] == job.scheduler.iteration, SOON_S)
            after = [(n, lr) for (a, n), lr in job.used.items() if a == 2]
            assert len(after) >= 100
            assert [lr for _, lr in after] == pytest.approx([base(n) / 2 for n, _ in after], rel=1e-12)
            preheat.close()
