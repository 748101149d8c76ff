"""The reference table through everything at once: class, REST in every format, client in another process."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from torch.optim.lr_scheduler import CosineAnnealingLR

from preheat.schedulers import LearningRateWarmUP
from reference import REFERENCE_ROWS, REFERENCE_SPEC, optimizer
from running_service import ServiceProcess, service_process

TRAINER = """
import json, sys
import torch
from preheat_client import Preheat
from preheat_client.torch import RemoteLR

torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
x, y = torch.randn(32, 4), torch.randn(32, 1)
with Preheat(sys.argv[1]) as preheat:
    schedule = preheat.create(json.loads(sys.argv[2]))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = RemoteLR(optimizer, schedule)
    for _ in range(schedule.total_iterations):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        before = model.weight.detach().clone()
        optimizer.step()
        moved = float(((before - model.weight.detach()) / model.weight.grad).mean())
        print(json.dumps([optimizer.param_groups[0]["lr"], moved]))
        scheduler.step()
"""
"""Prints, for each update, the LR in the optimizer and the LR that the weights really moved by."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service in a process of its own, two workers on one file."""
    with service_process(tmp_path_factory.mktemp("database") / "preheat.db", workers=2) as started:
        yield started


def test_the_class() -> None:
    """Stepped in a loop."""
    on = optimizer(0.01)
    scheduler = LearningRateWarmUP(on, 10, 0.01, CosineAnnealingLR(on, T_max=10))
    for n, row in enumerate(REFERENCE_ROWS, start=1):
        scheduler.step(n)
        assert str(on.param_groups[0]["lr"]) == row
        on.step()


def test_rest_in_every_format(running: ServiceProcess) -> None:
    """JSON, CSV, NPY, single points, and what the picture says of peak and end."""
    with httpx.Client(base_url=running.url, timeout=60) as http:
        posted = http.post("/v1/schedules", json=REFERENCE_SPEC).json()
        path = posted["links"]["lr"]
        window = {"start": 1, "stop": 21}
        as_csv = http.get(path, params=window, headers={"accept": "text/csv"}).text
        as_npy = http.get(path, params=window, headers={"accept": "application/x-npy"}).content
        columns = {
            "posted": posted["groups"][0]["lr"][1:],
            "json": http.get(path, params=window).json()["groups"][0]["lr"],
            "csv": [float(row["default"]) for row in csv.DictReader(io.StringIO(as_csv))],
            "npy": np.load(io.BytesIO(as_npy))[:, 0].tolist(),
            "points": [http.get(f"{path}/{n}").json()["groups"][0]["lr"] for n in range(1, 21)],
        }
        for name, column in columns.items():
            assert [str(lr) for lr in column] == list(REFERENCE_ROWS), name
        assert [line.split(",")[1] for line in as_csv.splitlines()[1:]] == list(REFERENCE_ROWS)
        svg = http.get(path, headers={"accept": "image/svg+xml"}).text
        assert "peak 0.01 at 10" in svg
        assert "final 0 at 20" in svg
        assert http.get(path, headers={"accept": "image/png"}).content.startswith(b"\x89PNG")


def test_the_client_in_a_training_loop_in_another_process(running: ServiceProcess, tmp_path: Path) -> None:
    """The LR in the optimizer is the table's, and the weights moved by it."""
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    command = [sys.executable, str(script), running.url, json.dumps(REFERENCE_SPEC)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    updates = [json.loads(line) for line in output.splitlines()]
    assert [str(lr) for lr, _ in updates] == list(REFERENCE_ROWS)
    assert [moved for _, moved in updates] == pytest.approx([float(row) for row in REFERENCE_ROWS], rel=0.02, abs=1e-6)
