"""Real processes under torch.distributed: every rank runs at rank 0's LRs, whatever rank 0 goes through."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from preheat_client import Preheat, Schedule
from preheat_client.distributed import from_rank_zero
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import GLOO_ABORTED, free_port, service

RANKS = 4

PRELUDE = """
import json, os, sys, time
import torch
from preheat_client import Preheat, PreheatError
from preheat_client.distributed import from_rank_zero
from preheat_client.torch import RemoteLR

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
url, spec, fallback = json.loads(sys.argv[1])
on = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
asked = []

def open_schedule():
    asked.append(rank)
    return Preheat(url, start_timeout_s=0.5, window=20).create(spec, fallback=fallback)

def end(**said):
    with open(f"{rank}.json", "w") as file:
        json.dump({"asked": asked, **said}, file)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.exit()
"""

TRAIN = """
shared = from_rank_zero(open_schedule)
scheduler = RemoteLR(on, shared)
used, momenta = [], []
for update in range(int(os.environ["UPDATES"])):
    used.append(on.param_groups[0]["lr"])
    momenta.append(on.param_groups[0]["momentum"])
    if rank == 0 and update == 20 and "MARK" in os.environ:
        open("mark", "w").close()
    time.sleep(float(os.environ.get("PAUSE_S", 0)))
    on.step()
    scheduler.step()
end(used=used, momenta=momenta, id=shared.id, total=shared.total_iterations)
"""

ALONE = """
scheduler = RemoteLR(on, open_schedule())
used = []
for update in range(int(os.environ["UPDATES"])):
    used.append(on.param_groups[0]["lr"])
    on.step()
    scheduler.step()
end(used=used)
"""

FAIL = """
try:
    from_rank_zero(open_schedule)
except PreheatError as error:
    end(error=type(error).__name__, message=str(error))
"""


def ranks(folder: Path, script: str, url: str, spec: Any, fallback: Any = None, **environment: str) -> Any:
    """The processes, started; `said` reads what they have said at their end."""
    (folder / "train.py").write_text(PRELUDE + script)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(RANKS), "--standalone", "train.py"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "UPDATES": "20", **environment}
    return subprocess.Popen(
        [*launch, json.dumps([url, spec, fallback])], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    )


def said(folder: Path, processes: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """What each rank said, in order."""
    with processes:
        _, errors = processes.communicate(timeout=120)
    assert processes.returncode == 0 or GLOO_ABORTED in errors, errors  # all ranks have said it all by then
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]


def test_rank_0_asks_and_all_ranks_run_at_its_lrs(url: str, tmp_path: Path) -> None:
    """Digit for digit, momentum too."""
    spec = {**REFERENCE_SPEC, "hyperparameters": {"momentum": {"value": 0.9, "warmup": {"iterations": 20}}}}
    everyone = said(tmp_path, ranks(tmp_path, TRAIN, url, spec))
    assert [each["asked"] for each in everyone] == [[0], [], [], []]
    for each in everyone:
        assert [str(lr) for lr in each["used"]] == list(REFERENCE_ROWS)
        assert each["momenta"] == pytest.approx([0.9 * n / 20 for n in range(1, 21)])
        assert (each["total"], each["id"]) == (20, everyone[0]["id"])


def test_a_schedule_that_takes_over_does_so_on_all_ranks_at_once(tmp_path: Path) -> None:
    """Rank 0 begins on a fallback; when the service comes, no update runs at two different LRs."""
    port = free_port()
    spec = {"target_lr": 0.1, "total_iterations": 100_000, "warmup": {"iterations": 100_000}}
    options = {"UPDATES": "3000", "PAUSE_S": "0.002", "MARK": "1"}
    processes = ranks(tmp_path, TRAIN, f"http://127.0.0.1:{port}", spec, 0.012345, **options)
    give_up = time.monotonic() + 60
    while not (tmp_path / "mark").exists():
        assert time.monotonic() < give_up
        time.sleep(0.05)
    with service(port):
        everyone = said(tmp_path, processes)
    first = everyone[0]["used"]
    assert all(each["used"] == first for each in everyone)
    assert first[0] == 0.012345
    assert first[-1] == 0.1 * 3000 / 100_000
    exact = [lr == 0.1 * n / 100_000 for n, lr in enumerate(first, start=1)]
    assert exact == sorted(exact), "the fallback came back"


def test_ranks_that_ask_on_their_own_agree(url: str, tmp_path: Path) -> None:
    """A schedule never changes: every rank has the same, whenever it asks."""
    everyone = said(tmp_path, ranks(tmp_path, ALONE, url, REFERENCE_SPEC))
    assert [each["asked"] for each in everyone] == [[0], [1], [2], [3]]
    for each in everyone:
        assert [str(lr) for lr in each["used"]] == list(REFERENCE_ROWS)


def test_an_error_of_rank_0_reaches_every_rank(tmp_path: Path) -> None:
    """Nobody waits for ever."""
    everyone = said(tmp_path, ranks(tmp_path, FAIL, f"http://127.0.0.1:{free_port()}", REFERENCE_SPEC))
    assert {each["error"] for each in everyone} == {"ServiceUnavailable"}
    assert all(each["message"].startswith("rank 0: ") for each in everyone[1:])


def test_one_process_reads_the_schedule_itself(url: str) -> None:
    """The same call, without torch.distributed."""
    with Preheat(url) as preheat:
        schedule = from_rank_zero(lambda: preheat.create(REFERENCE_SPEC))
        assert isinstance(schedule, Schedule)
        assert [str(schedule.lr(n)) for n in range(1, 21)] == list(REFERENCE_ROWS)
