"""Workers of one service agree; that kills lose nothing is tested in tests/faults."""

from pathlib import Path

import httpx

from running_service import service_process


def test_workers_agree(tmp_path: Path) -> None:
    """With three workers every connection, whoever serves it, finds what another posted, and in the same bytes."""
    with service_process(tmp_path / "preheat.db", workers=3) as running:
        spec = {"target_lr": 0.1, "total_iterations": 500, "after_scheduler": {"type": "SWALR", "swa_lr": 0.01}}
        for number in range(1, 6):
            answers = [
                httpx.post(f"{running.url}/v1/schedules", json={**spec, "label": str(number)}, timeout=60)
                for _ in range(6)
            ]
            assert [answer.status_code for answer in answers] == [201] + [200] * 5
            assert len({answer.content for answer in answers}) == 1
            path = answers[0].json()["links"]["plot_png"]
            assert len({httpx.get(f"{running.url}{path}", timeout=60).content for _ in range(6)}) == 1
