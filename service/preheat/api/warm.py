"""Imported by the server that forks worker processes: what they need, used once, so that none of them starts cold."""

import asyncio
import gc
import json
from urllib.parse import quote

from preheat.api.app import routed_app
from preheat.api.offload import Job, answered
from preheat.settings import Settings

_SPEC = json.dumps(
    {"target_lr": 0.1, "total_iterations": 100, "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.9}}
)


def _job(method: str, path: str, query: str = "", body: str = "") -> Job:
    headers = [(b"content-type", b"application/json")]
    scope = {"method": method, "path": path, "query_string": query.encode(), "headers": headers, "root_path": ""}
    return Job(scope, body.encode())


def _warm_up() -> None:
    # A file of a URL would be taken in its place, and the schedule below be stored there.
    app = routed_app(Settings(database_url="sqlite:///:memory:", database_url_file=None))
    with asyncio.Runner() as runner:
        for job in (_job("POST", "/v1/schedules", body=_SPEC), _job("GET", "/v1/plot.png", f"spec={quote(_SPEC)}")):
            runner.run(answered(app, job))
    app.state.database.close()


_warm_up()
gc.freeze()  # what is here stays shared with the workers: a collection would write to every object
