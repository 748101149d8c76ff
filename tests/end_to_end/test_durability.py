"""What was answered 201 survives a killed process; workers agree."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import httpx

from running_service import ServiceProcess, service_process

KILLED_AFTER = (3, 17, 40)
"""Acknowledgements of one round after which the service is killed, each while four clients post."""


def post_until_dead(running: ServiceProcess, first: int, acknowledged: Queue[tuple[str, int]]) -> None:
    """Posts one schedule after another, noting what was answered 201, until the service, or its database, is gone."""
    with httpx.Client(base_url=running.url, timeout=30) as http:
        for number in range(first, first + 100_000):
            try:
                answer = http.post("/v1/schedules?stop=0", json={"target_lr": 0.1, "total_iterations": number})
            except httpx.TransportError:
                return
            if answer.status_code == 503:
                return
            assert answer.status_code == 201
            acknowledged.put((answer.json()["id"], number))


def test_a_kill_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """SIGKILL while four clients post, several times over on one file; every 201 is found afterwards."""
    database = tmp_path / "preheat.db"
    acknowledged: Queue[tuple[str, int]] = Queue()
    kept: list[tuple[str, int]] = []
    for round_number, wanted in enumerate(KILLED_AFTER):
        with ThreadPoolExecutor(4) as pool, service_process(database) as running:
            firsts = [10**6 * (4 * round_number + n) + 1 for n in range(4)]
            posters = [pool.submit(post_until_dead, running, first, acknowledged) for first in firsts]
            # However fast the machine is: others are on their way when the one that is waited for has arrived.
            kept += [acknowledged.get(timeout=120) for _ in range(wanted)]
            running.kill()
            for poster in posters:
                poster.result(60)
    kept += [acknowledged.get_nowait() for _ in range(acknowledged.qsize())]
    assert len(kept) >= sum(KILLED_AFTER)
    with service_process(database) as running, httpx.Client(base_url=running.url, timeout=30) as http:
        for schedule_id, number in kept:
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
