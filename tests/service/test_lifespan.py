"""Lifespan: an application can be started, stopped and started again."""

from pathlib import Path

import httpx
import pytest

from preheat.api import create_app
from preheat.settings import Settings
from preheat.store import KeyStore
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import free_port, serving, wait_until
from support.keys import bearer


def test_a_lifespan_that_runs_again_starts_everything_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing, keys, notes of what was used, traces, and shared metrics, which count on."""
    (tmp_path / "metrics").mkdir()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    url = f"sqlite:///{tmp_path}/preheat.db"
    app = create_app(Settings(database_url=url, metrics_dir=tmp_path / "metrics", compute_workers=1))
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
