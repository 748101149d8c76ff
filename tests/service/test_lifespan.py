"""Lifespan: an application is ready once it can compute, and can be started, stopped and started again."""

from pathlib import Path

import httpx

from preheat.api import create_app
from preheat.settings import Settings
from preheat.store import KeyStore
from preheat.workers import Limits, Setup, WorkerPool
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from rest import problem
from running_service import service_process, serving, wait_until
from support.jobs import endless
from support.keys import bearer
from support.watching import processes


def test_a_service_is_ready_once_heavy_requests_are_answered(tmp_path: Path) -> None:
    """A load balancer sends none before there is a process that computes; liveness does not wait for it."""
    with service_process(tmp_path / "preheat.db", compute_workers=2) as running:
        wait_until(lambda: httpx.get(f"{running.url}/readyz", timeout=30).is_success, 60)
        below = processes(running.process.pid)[1:]
        assert [each for each in below if each.ppid() != running.process.pid], "no process computes"


def test_a_service_whose_processes_do_not_start_says_so(tmp_path: Path) -> None:
    """503 service-starting, for as long as it takes, while what is cheap is answered."""
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/preheat.db", compute_workers=1))
    limits = Limits(1, queue_length=0, wait_s=1, compute_timeout_s=1)
    setup = Setup(endless, str(tmp_path / "pid"), memory_bytes=10**8, orphaned_after_s=60)
    app.state.workers = WorkerPool(setup, limits, app.state.metrics)
    with serving(app) as url, httpx.Client(base_url=url, timeout=30) as http:
        assert "no worker process is ready yet" in problem(http.get("/readyz"), 503, "service-starting")["detail"]
        assert http.get("/livez").is_success
        assert http.get("/v1/recipes").is_success


def test_a_lifespan_that_runs_again_starts_everything_again(tmp_path: Path) -> None:
    """Keys, notes of what was used, and shared metrics, which count on; traces and worker processes have tests too."""
    (tmp_path / "metrics").mkdir()
    url = f"sqlite:///{tmp_path}/preheat.db"
    app = create_app(Settings(database_url=url, metrics_dir=tmp_path / "metrics", compute_workers=0))
    store = KeyStore(app.state.database)
    token = store.make("a", {"write"}).token
    for run in (1, 2):
        with serving(app) as address, httpx.Client(base_url=address, timeout=60, headers=bearer(token)) as http:
            path = http.post("/v1/schedules", json=REFERENCE_SPEC).headers["location"]
            assert http.get(f"{path}/lr/11").json()["groups"][0]["lr"] == float(REFERENCE_ROWS[10])
            new = bearer(store.rotate("a", 3600).token)
            wait_until(lambda new=new: http.get("/v1/recipes", headers=new).is_success, 30)
            for _ in range(3):
                http.get("/v1/nothing")
            found = http.get("/metrics").text
        assert f'preheat_http_requests_total{{method="GET",route="none",status="404"}} {3.0 * run}' in found
        assert "preheat_workers 1.0" in found
        assert not app.state.catalogue.used
