"""What was answered 201 survives a killed process; workers agree."""

import threading
from pathlib import Path

import httpx

from running_service import ServiceProcess, service_process


def post_until_dead(running: ServiceProcess, first: int, acknowledged: list[tuple[str, int]]) -> None:
    """Posts one schedule after another, noting what was answered 201, until the service is gone."""
    with httpx.Client(base_url=running.url, timeout=10) as http:
        for number in range(first, first + 100_000):
            try:
                answer = http.post("/v1/schedules?stop=0", json={"target_lr": 0.1, "total_iterations": number})
            except httpx.TransportError:
                return
            assert answer.status_code == 201
            acknowledged.append((answer.json()["id"], number))


def test_a_kill_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """SIGKILL while four clients post, several times over on one file; every 201 is found afterwards."""
    database = tmp_path / "preheat.db"
    acknowledged: list[tuple[str, int]] = []
    for round_number in range(4):
        with service_process(database) as running:
            posters = [
                threading.Thread(
                    target=post_until_dead, args=(running, 10**6 * (4 * round_number + n) + 1, acknowledged)
                )
                for n in range(4)
            ]
            for poster in posters:
                poster.start()
            threading.Event().wait(0.3 + 0.17 * round_number)
            running.kill()
            for poster in posters:
                poster.join(30)
    assert len(acknowledged) > 40
    with service_process(database) as running, httpx.Client(base_url=running.url) as http:
        for schedule_id, number in acknowledged:
            assert http.get(f"/v1/schedules/{schedule_id}").json()["total_iterations"] == number


def test_workers_agree(tmp_path: Path) -> None:
    """With three workers every connection, whoever serves it, finds what another posted, and in the same bytes."""
    with service_process(tmp_path / "preheat.db", workers=3) as running:
        spec = {"target_lr": 0.1, "total_iterations": 500, "after_scheduler": {"type": "SWALR", "swa_lr": 0.01}}
        for number in range(1, 6):
            answers = [httpx.post(f"{running.url}/v1/schedules", json={**spec, "label": str(number)}) for _ in range(6)]
            assert [answer.status_code for answer in answers] == [201] + [200] * 5
            assert len({answer.content for answer in answers}) == 1
            path = answers[0].json()["links"]["plot_png"]
            assert len({httpx.get(f"{running.url}{path}").content for _ in range(6)}) == 1
