"""What is asked of a service that does not have, or no longer computes, what it had before."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from faults.fake_service import npy
from preheat_client import Preheat, RequestRefused, ServiceUnavailable
from running_service import serving, wait_until


class Forgetful:
    """A service that has one schedule, until it forgets it; `posts` counts the specs that it was given."""

    def __init__(self) -> None:
        self.known, self.next_id, self.status = "", "a" * 32, 404
        self.posts, self.total_iterations = 0, 10**6
        self.problem: dict[str, Any] = {"type": "urn:preheat:lost", "title": "lost"}
        self._spec: dict[str, Any] = {}

    def forget(self, status: int, next_id: str) -> None:
        """Refuses what it had from now on; the spec, posted again, has this id."""
        self.known, self.status, self.next_id = "", status, next_id

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] == "http":
            status, headers, body = self._answer(scope, await receive())
            pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": status, "headers": pairs})
            await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Any, message: Any) -> tuple[int, dict[str, str], bytes]:
        if scope["method"] == "POST":
            self.posts += 1
            self.known, self._spec = self.next_id, json.loads(message["body"])
            return self._schedule()
        _, _, _, schedule_id, *rest = scope["path"].split("/")
        if schedule_id != self.known:
            return self.status, {"content-type": "application/problem+json"}, json.dumps(self.problem).encode()
        if rest == ["lr"]:
            query = parse_qs(scope["query_string"].decode())
            start, stop = int(query["start"][0]), int(query["stop"][0])
            headers = {"content-location": f"{scope['path']}?start={start}&stop={stop}&step=1"}
            return 200, headers, npy([n / 10**9 for n in range(start, stop)])
        return (200, {"content-type": "image/png"}, b"a picture") if rest else self._schedule()

    def _schedule(self) -> tuple[int, dict[str, str], bytes]:
        content = {
            "id": self.known,
            "spec": self._spec,
            "total_iterations": self.total_iterations,
            "groups": [{"name": "default"}],
            "columns": [{"group": "default", "hyperparameter": "lr"}],
        }
        return 200, {}, json.dumps(content).encode()


LOST = pytest.mark.parametrize(("status", "next_id"), [(404, "a" * 32), (409, "a" * 32), (409, "b" * 32)])
MILLION = {"target_lr": 0.1, "total_iterations": 10**6}


class TestLost:
    """A service that has lost a schedule (404), or whose torch is another (409), is given its spec again."""

    @LOST
    @pytest.mark.parametrize("by_id", [False, True])
    def test_windows_and_pictures_of_a_lost_schedule(
        self, tmp_path: Path, status: int, next_id: str, by_id: bool
    ) -> None:
        """The spec is posted once for a loss, whether the schedule was opened by spec or by id."""
        app = Forgetful()
        with serving(app) as url, Preheat(url, window=20, on_outage="raise", timeout_s=30) as preheat:
            schedule = preheat.create(MILLION)
            if by_id:
                schedule = preheat.schedule(schedule.id)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
            app.forget(status, next_id)
            posts = app.posts
            assert schedule.lr(500_000) == 500_000 / 10**9
            schedule.plot(tmp_path / "plot.png")
            assert schedule.lr(900_000) == 900_000 / 10**9
            assert app.posts == posts + 1
            app.forget(status, next_id)
            schedule.plot(tmp_path / "plot.png")
            assert app.posts == posts + 2
        assert (tmp_path / "plot.png").read_bytes() == b"a picture"

    @LOST
    def test_a_lost_schedule_that_is_opened_by_id(self, tmp_path: Path, status: int, next_id: str) -> None:
        """Its spec is known from the snapshot, which is in use until the service has it again."""
        app = Forgetful()
        with serving(app) as url:
            with Preheat(url, snapshot_dir=str(tmp_path)) as preheat:
                known = preheat.schedule(preheat.create(MILLION).id)
                wait_until(lambda: known.status.counters.snapshots == 1, 30)
            app.forget(status, next_id)
            with Preheat(url, snapshot_dir=str(tmp_path)) as preheat:
                schedule = preheat.schedule("a" * 32)
                assert schedule.lr(7) == 7 / 10**9
                wait_until(lambda: schedule.status.state == "READY", 30)
                assert (schedule.id, schedule.lr(900_000)) == (next_id, 900_000 / 10**9)

    @pytest.mark.parametrize("status", [404, 409])
    def test_a_refusal_that_is_not_the_services_is_no_loss(self, tmp_path: Path, status: int) -> None:
        """A proxy's error page has no problem document: nothing is posted."""
        app = Forgetful()
        with serving(app) as url, Preheat(url, timeout_s=30) as preheat:
            schedule = preheat.create(MILLION)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
            app.forget(status, "a" * 32)
            app.problem = {"title": "from a proxy"}
            with pytest.raises(RequestRefused, match=f"from a proxy .{status}"):
                schedule.plot(tmp_path / "plot.png")
            assert app.posts == 1

    def test_a_spec_that_has_become_another_schedule_is_refused(self) -> None:
        """A service that makes a schedule of another length of the same spec must not be read from."""
        app = Forgetful()
        with serving(app) as url, Preheat(url, window=20, on_outage="raise", timeout_s=0.5) as preheat:
            schedule = preheat.create(MILLION)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
            app.forget(409, "b" * 32)
            app.total_iterations = 500_000
            with pytest.raises(ServiceUnavailable, match=r"made schedule b+ of the spec of a+"):
                schedule.lr(400_000)
