"""Real processes under torch.distributed: rank 0 speaks for a live run, and all ranks use its LRs."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from running_service import GLOO_ABORTED, wait_until

RANKS = 2
ROOT = Path(__file__).parents[3]

PRELUDE = """
import datetime, json, os, sys, time
import torch
from preheat_client import Preheat, PreheatError, RunState
from preheat_client.torch import RemoteLR
from support.fake_runs import SPEC

def join():
    torch.distributed.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))  # a wait for nothing fails

if "LATER" not in os.environ:
    join()
rank = int(os.environ["RANK"])
url, folder = sys.argv[1:]
# Only rank 0 can reach the service at all.
preheat = Preheat(url if rank == 0 or "LATER" in os.environ else "http://127.0.0.1:1", timeout_s=1)
on = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)

def mark(name):
    if rank == 0:
        open(f"{folder}/{name}", "w").close()

def end(**said):
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump(said, file)
    torch.distributed.barrier()
    preheat.close()
    torch.distributed.destroy_process_group()
    sys.exit()
"""

TRAIN = """
run = preheat.run("llama", SPEC)
scheduler = RemoteLR(on, run)
looked = on.param_groups[0]["lr"]
used, restart = [], None
for update in range(1, 1201):
    on.step()
    used.append([update, on.param_groups[0]["lr"], run.status.attempt])
    run.report(update, loss=float(rank))
    if update in (300, 500, 800):
        mark(update)
    scheduler.step()
    time.sleep(0.002)
    if run.restart_requested is not None:
        restart = update
        break
state = scheduler.state_dict()
end(used=used, looked=looked, restart=restart, state=state, total=run.total_iterations)
"""

SUPERSEDED = """
run = preheat.run("llama", SPEC)
scheduler = RemoteLR(on, run)
for update in range(1, 20000):
    on.step()
    if update == 50:
        mark("50")
    try:
        scheduler.step()
    except PreheatError as error:
        end(error=type(error).__name__, update=update)
    time.sleep(0.001)
"""

LATE = """
run = preheat.run("llama", SPEC)  # as with a Trainer that makes the process group itself, later
scheduler = RemoteLR(on, run)
join()
used = []
for update in range(1, 101):
    on.step()
    used.append([update, on.param_groups[0]["lr"], run.status.attempt])
    scheduler.step()
end(used=used)
"""


def ranks(folder: Path, script: str, url: str, **environment: str) -> Any:
    """The processes, started."""
    (folder / "train.py").write_text(PRELUDE + script)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(RANKS), "--standalone"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests"), **environment}
    command = [*launch, str(folder / "train.py"), url, str(folder)]
    return subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True)


def said(folder: Path, processes: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """What each rank said, in order."""
    with processes:
        _, errors = processes.communicate(timeout=120)
    assert processes.returncode == 0 or GLOO_ABORTED in errors, errors
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]


def at(folder: Path, name: str) -> None:
    """Waits until rank 0 is there."""
    wait_until((folder / name).exists, 60)


def test_all_ranks_use_what_rank_0_tells_them(runs: Any, tmp_path: Path) -> None:
    """Through changes and an outage, bit for bit, on record, by one attempt; and they stop at the same update."""
    processes = ranks(tmp_path, TRAIN, runs.url)
    at(tmp_path, "300")
    first = runs.toy.change(0.5)
    at(tmp_path, "500")
    runs.service.is_away = True
    runs.toy.change(0.25)
    at(tmp_path, "800")
    runs.service.is_away = False
    runs.toy.restart = {"position": 3, "changes": "drop", "why": "bad GPU", "author": "ann"}
    everyone = said(tmp_path, processes)
    used = everyone[0]["used"]
    assert all(each["used"] == used for each in everyone)
    assert {attempt for _, _, attempt in used} == {1}
    (attempt,) = runs.toy.attempts
    assert [lr for _, lr, _ in used] == [attempt.record[n] for n, _, _ in used]
    second = runs.toy.changes[1].effects[runs.toy.revision]
    assert second > 500
    factors = [1.0 if n < first else 0.5 if n < second else 0.125 for n, _, _ in used]
    assert [lr for _, lr, _ in used] == [n / 1_000_000 * f for (n, _, _), f in zip(used, factors, strict=True)]
    assert [each["looked"] for each in everyone] == [0.000001] * RANKS
    assert len({each["restart"] for each in everyone}) == 1
    assert everyone[0]["restart"] > 800
    assert {json.dumps(each["state"]) for each in everyone} == {json.dumps(everyone[0]["state"])}
    assert set(runs.toy.reports.values()) == {0.0}  # rank 0's alone
    assert runs.service.asked("attempts")[0]["world_size"] == RANKS
    assert attempt.is_closed


def test_all_ranks_raise_where_another_job_has_taken_over(runs: Any, tmp_path: Path) -> None:
    """At the same update: none is left waiting for the others."""
    processes = ranks(tmp_path, SUPERSEDED, runs.url)
    at(tmp_path, "50")
    body = {"token": "other", "seen_attempt": 1, "position": 5, "speakers": "one", "lineage": None, "take_over": True}
    runs.toy.attach({**body, "checkpoint": None, "knowledge": None})
    everyone = said(tmp_path, processes)
    assert {each["error"] for each in everyone} == {"RunSuperseded"}
    assert len({each["update"] for each in everyone}) == 1


def test_a_process_group_may_come_later(runs: Any, tmp_path: Path) -> None:
    """Every rank looks by itself, as Trainers have it, and rank 0 attaches for all."""
    everyone = said(tmp_path, ranks(tmp_path, LATE, runs.url, LATER="1"))
    assert all(each["used"] == everyone[0]["used"] for each in everyone)
    assert [lr for _, lr, _ in everyone[0]["used"]] == [n / 1_000_000 for n in range(1, 101)]
    assert len(runs.toy.attempts) == len(runs.service.asked("attempts")) == 1


ALONE = """
import os, sys, json
from preheat_client import Preheat
from support.fake_runs import SPEC
run = Preheat(sys.argv[1]).run("llama", SPEC, speakers="all")
print(json.dumps([run.lr(n) for n in range(1, 400)]))
"""


def test_many_speakers_agree(runs: Any, tmp_path: Path) -> None:
    """Four processes that ask on their own, while somebody changes the run."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "job-1"}
    command = [sys.executable, "-c", ALONE, runs.url]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, env={**environ, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(4)
    ]
    stop = threading.Event()

    def change() -> None:
        while not stop.wait(0.05):
            if len(runs.toy.changes) < 20:
                runs.toy.change(0.9)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    finally:
        stop.set()
        changing.join()
    assert all(answer == answers[0] for answer in answers)
    record = runs.toy.attempts[0].record
    assert answers[0] == [record[n] for n in range(1, 400)]
    assert len(runs.toy.attempts) == 1
