"""What other ways to change a live LR get wrong, each by its name and number: with the real service, none of it."""

import copy
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import torch

from live_runs.rest_job import RestJob
from preheat_client import Preheat
from preheat_client.run import Run
from preheat_client.torch import RemoteLR
from rest import problem
from support.fake_runs import SPEC as TOY_SPEC

CONSTANT = {"target_lr": 0.1, "total_iterations": 1000}
WARMUP = {"target_lr": 0.1, "total_iterations": 1000, "warmup": {"iterations": 1000}}
LABELS = (f"rival-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def http(service_with: Callable[..., httpx.Client]) -> httpx.Client:
    """A service whose windows are short, so that changes take effect soon."""
    return service_with(run_lease_s=0.3, max_window_iterations=32)


@pytest.fixture
def job(http: httpx.Client) -> RestJob:
    """A run whose job has its first window, 1 … 16."""
    started = RestJob(http)
    started.attach()
    started.ask(1)
    return started


@pytest.fixture
def life(http: httpx.Client) -> Iterator[Callable[..., "Life"]]:
    """Lives of one job, by the real client: each ends the one before, as a process that is gone."""
    lives: list[Life] = []
    label = next(LABELS)

    def begin(spec: Any, *states: Any) -> Life:
        if lives:
            lives[-1].preheat.close()
        lives.append(Life(str(http.base_url), label, spec, *states))
        return lives[-1]

    yield begin
    lives[-1].preheat.close()


class Life:
    """One life of a training job, from the states of optimizer and scheduler if there are any."""

    def __init__(self, url: str, label: str, spec: Any, *states: Any) -> None:
        self.preheat = Preheat(url)
        self.run: Run = self.preheat.run(label, spec)
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        self.scheduler = RemoteLR(self.optimizer, self.run)
        if states:
            self.optimizer.load_state_dict(states[0])
            self.scheduler.load_state_dict(states[1])

    def update(self) -> float:
        """One update; the LR that it ran at."""
        self.optimizer.step()
        return float(self.optimizer.param_groups[0]["lr"])

    def train(self, updates: int) -> list[float]:
        """Some updates, and the LRs that they ran at."""
        used = []
        for _ in range(updates):
            used.append(self.update())
            self.scheduler.step()
        return used

    def states(self) -> tuple[Any, Any]:
        """What a checkpoint has."""
        return copy.deepcopy((self.optimizer.state_dict(), self.scheduler.state_dict()))


def test_hotcb_a_restart_applies_no_old_command_again(job: RestJob) -> None:
    """After three restarts, from before and after it, a factor has been applied once in every lane."""
    job.change(factor=0.5, at=30)
    job.run_to(40)
    for k, parent in ((35, 1), (20, 1), (31, 3)):
        job.attach(k, checkpoint=job.checkpoint(k, attempt=parent, acknowledged=k))
        job.run_to(45)
    assert [change["effect"] for change in job.http.get(f"{job.path}/changes").json()["changes"]] == [30]
    for attempt in (1, 2, 3, 4):
        assert job.lrs(19, 29, 30, 31, 39, attempt=attempt) == [0.1, 0.1, 0.05, 0.05, 0.05]


def test_chainerui_a_change_at_an_iteration_that_is_past_is_not_missed(job: RestJob) -> None:
    """What is wanted at 5 when 16 are handed out begins at 17; at 500, within a window, exactly there."""
    assert job.change(factor=0.5, at=5)["effect"]["iteration"] == 17
    assert job.change(factor=0.5, at=25)["effect"]["iteration"] == 25
    job.run_to(30)
    assert job.lrs(16, 17, 24, 25) == [0.1, 0.05, 0.05, 0.025]
    assert job.statuses() == ["applied", "applied"]


def test_partial_success_is_not_counted_as_applied(http: httpx.Client) -> None:
    """A change for two param groups of which there is one is refused whole; accepted or handed out is not applied."""
    job = RestJob(http, {**CONSTANT, "param_groups": [{"name": "body"}, {"name": "head"}]})
    job.attach()
    job.ask(1)
    refused = problem(job.try_change(factor=0.5, param_groups=["body", "neck"]), 422, "invalid-spec")
    assert refused["errors"][0]["pointer"] == "/operation/param_groups/1"
    assert (job.run()["revision"], job.statuses()) == (1, [])
    effect = job.change(factor=0.5, param_groups=["body", "head"])["effect"]["iteration"]
    job.ask(10)
    job.ask(10)  # which acknowledges the window with the change in it
    assert job.run()["acknowledged"] > effect
    assert job.statuses() == ["scheduled"]
    job.ask(effect + 1)
    assert job.statuses() == ["applied"]


def test_megatron_963_and_1138_a_new_maximum_and_minimum_are_not_those_of_the_checkpoint(
    life: Callable[..., Life], http: httpx.Client
) -> None:
    """The optimizer's state has the old LR, and the run's has none: both ends of the schedule are the new ones."""
    old = {**WARMUP, "warmup": 10, "after_scheduler": {"type": "CosineLR", "min_lr": 0.01}}
    new = {**old, "target_lr": 0.2, "after_scheduler": {"type": "CosineLR", "min_lr": 0.05}}
    before = life(old)
    before.train(12)
    states = before.states()
    assert not any(isinstance(value, float) for value in states[1].values())
    before.preheat.close()
    path = f"/v1/runs/{before.run.id}"
    headers = {"If-Match": http.get(path).headers["etag"], "Idempotency-Key": "new"}
    change = {"operation": {"op": "replace", "schedule": new}, "why": "higher", "confirm": True}
    effect = http.post(f"{path}/changes", json=change, headers=headers).json()["effect"]["iteration"]
    after = life(old, *states)
    used = after.train(effect - 13 + 5)
    schedule = after.preheat.create(new)
    assert used[effect - 13 :] == [schedule.lr(n) for n in range(effect, effect + 5)]
    assert after.run.plan(1000) == 0.05


def test_verl_7953_the_schedule_does_not_begin_anew_on_a_resume(life: Callable[..., Life]) -> None:
    """Three resumes: each goes on with the LR that was to come."""
    running = life(WARMUP)
    used = running.train(7)
    for updates in (5, 4, 6):
        running = life(WARMUP, *running.states())
        used += running.train(updates)
    assert used == pytest.approx([0.1 * n / 1000 for n in range(1, 23)], rel=1e-15)


def test_miles_1627_progress_is_not_counted_twice(life: Callable[..., Life], http: httpx.Client) -> None:
    """Saved between the optimizer's step and the scheduler's, and stepped more often than updated: updates count."""
    running = life(WARMUP)
    running.train(4)
    running.update()
    states = running.states()
    running = life(WARMUP, *states)
    for _ in range(3):
        running.scheduler.step()  # of micro-batches without an update
    used = running.train(5)
    assert used == pytest.approx([0.1 * n / 1000 for n in range(6, 11)], rel=1e-15)
    running.preheat.close()
    assert http.get(f"/v1/runs/{running.run.id}").json()["position"] == 11


def test_dalle_pytorch_268_no_rank_follows_its_own_loss(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 0's falls and rank 1's rises: only the first is reported, nothing is reduced, and both use the same LRs."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-268")
    monkeypatch.setenv("WORLD_SIZE", "2")
    label, url = next(LABELS), str(http.base_url)
    runs = []
    with Preheat(url) as first, Preheat(url) as second:
        for rank, preheat in enumerate((first, second)):
            monkeypatch.setenv("RANK", str(rank))
            runs.append(preheat.run(label, CONSTANT, speakers="all"))
        path = f"/v1/runs/{runs[0].id}"
        control = {"metric": "loss", "parameters": {"patience": 0, "factor": 0.5}}
        http.post(f"{path}/controllers", json=control).raise_for_status()
        used: list[list[Any]] = [[], []]
        for n in range(1, 61):
            for rank, run in enumerate(runs):
                used[rank].append(run.lr(n))
                run.report(n, loss=n if rank else 1 / n)
    assert used[0] == used[1] == [0.1] * 60
    assert http.get(f"{path}/changes").json()["changes"] == []
    values = http.get(f"{path}/reports", params={"name": "loss"}).json()["values"]
    assert values == [1 / n for n in range(1, 61)]


def test_accelerate_3797_plateau_is_not_stepped_once_a_process(http: httpx.Client) -> None:
    """Four processes that report the same loss are one report: with patience 3 the fifth of them reduces."""
    job = RestJob(http)
    control = {"metric": "loss", "parameters": {"patience": 3, "factor": 0.5}}
    http.post(f"{job.path}/controllers", json=control).raise_for_status()
    job.attach()
    job.ask(1)
    for n in range(1, 7):
        for _process in range(4):
            job.report(n, 1.0)
    changes = http.get(f"{job.path}/changes").json()["changes"]
    assert [change["cause"]["iteration"] for change in changes] == [5]


def test_interactive_training_the_controller_does_not_block_the_loop(runs: Any) -> None:
    """While a request hangs for as long as it likes, updates go on from memory, and reports are only noted."""
    hanging, released = threading.Event(), threading.Event()
    answer = runs.toy.window

    def late(body: Any) -> Any:
        if body["position"] > 1:
            hanging.set()
            released.wait(60)
        return answer(body)

    with Preheat(runs.url, timeout_s=60) as preheat:
        run = preheat.run("llama", TOY_SPEC)
        runs.toy.lease_s = 3600.0  # a window of 4,096 iterations, once the client knows how long one takes
        run.lr(1)
        runs.toy.window = late
        try:
            used = [run.lr(n) for n in range(1, 10)]
            assert hanging.wait(60)
            loop = threading.Thread(target=lambda: used.extend(run.lr(n) for n in range(10, 17)))
            loop.start()
            loop.join(30)
            for n in range(1, 10_000):
                run.report(n, loss=1.0)
            assert not loop.is_alive()
        finally:
            released.set()
        assert used == [n / 1_000_000 for n in range(1, 17)]
