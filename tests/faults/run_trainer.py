"""One rank of a job that trains by a live run: writes down what it used before the service can hear of it.

Ranks under gloo go through RemoteLR, and rank 0 speaks; ranks that each ask for themselves read `run.lr`.
"""

import json
import os
import pickle
import random
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from preheat_client import Preheat, Run
from preheat_client.torch import RemoteLR


@dataclass(frozen=True)
class Trainer:
    """What one rank of one life of a job is told; it stops before iteration `stop`, if there is one."""

    url: str
    token: str
    label: str
    spec: dict[str, Any]
    folder: str
    is_gloo: bool
    rank: int
    size: int
    life: int
    state: Any = None
    stop: int | None = None
    pause_s: float = 0.02

    @property
    def end(self) -> Path:
        """The file that says how it ended."""
        return Path(self.folder) / f"end-{self.life}-{self.rank}.json"


def train(trainer: Trainer) -> None:
    """Trains until it is stopped, or the run ends; says how in a file."""
    os.dup2(os.open(f"{trainer.folder}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    error, trace = None, ""
    try:
        _train(trainer)
    except Exception as raised:  # noqa: BLE001 - whoever started it judges
        error, trace = type(raised).__name__, traceback.format_exc()
    partly = trainer.end.with_suffix(".partly")
    partly.write_text(json.dumps({"error": error, "trace": trace}))
    partly.rename(trainer.end)
    os._exit(0)  # gloo may abort where a peer was killed, and there is nothing left to do


def _train(trainer: Trainer) -> None:
    os.environ.update({
        "WORLD_SIZE": str(trainer.size), "RANK": str(trainer.rank), "TORCHELASTIC_RUN_ID": trainer.label,
        "TORCHELASTIC_RESTART_COUNT": str(trainer.life), "GLOO_SOCKET_IFNAME": "lo",
    })  # fmt: skip
    torch.set_num_threads(1)
    if trainer.is_gloo:
        meeting = f"file://{trainer.folder}/meeting-{trainer.life}"
        torch.distributed.init_process_group(
            "gloo", init_method=meeting, rank=trainer.rank, world_size=trainer.size, timeout=timedelta(seconds=120)
        )
    # Among several ranks only rank 0 can reach the service at all.
    url = trainer.url if trainer.rank == 0 or not trainer.is_gloo else "http://127.0.0.1:1"
    speakers: Any = "one" if trainer.is_gloo else "all"
    chance = random.Random(f"{trainer.label} {trainer.life} {trainer.rank}")
    with Preheat(url, token=trainer.token, timeout_s=1, start_timeout_s=60) as preheat:
        run = preheat.run(trainer.label, trainer.spec, speakers=speakers, patience_s=90)
        lines = os.open(f"{trainer.folder}/used.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        updates = _by_scheduler(run, trainer) if trainer.is_gloo else _by_reading(run, trainer)
        for n, lr, state in updates:
            used = run.state_dict(n + 1)
            is_overrun = used["overrun"] is not None and used["overrun"]["start"] <= n
            line = [used["attempt"], n, trainer.rank, lr, used["revision"], is_overrun]
            os.write(lines, (json.dumps(line) + "\n").encode())
            if trainer.rank == 0 and n % 10 == 0:
                run.report(n, loss=chance.choice([1.0, 0.9, 0.5, 2.0, float("nan")]))
            if trainer.rank == 0 and chance.random() < 0.04:
                _save(trainer, n, state())
            time.sleep(trainer.pause_s * 2 * chance.random())
        if trainer.is_gloo:
            torch.distributed.barrier()


def _goes_on(run: Run, trainer: Trainer, n: int) -> bool:
    return n <= run.total_iterations and (trainer.stop is None or n < trainer.stop)


def _by_scheduler(run: Run, trainer: Trainer) -> Iterator[tuple[int, float, Any]]:
    """Updates of an optimizer: iteration, the LR that it used, and what gives the state to save after it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = RemoteLR(optimizer, run)
    if trainer.state is not None:
        scheduler.load_state_dict(trainer.state)
    while _goes_on(run, trainer, scheduler.last_epoch):
        optimizer.step()
        n, lr = scheduler.last_epoch, optimizer.param_groups[0]["lr"]
        is_saved: list[bool] = []

        def stepped(is_saved: list[bool] = is_saved) -> Any:
            is_saved.append(True)
            scheduler.step()
            return scheduler.state_dict()

        yield n, lr, stepped
        if not is_saved:
            scheduler.step()


def _by_reading(run: Run, trainer: Trainer) -> Iterator[tuple[int, float, Any]]:
    """The same of a loop without a scheduler."""
    n = 1
    if trainer.state is not None:
        run.load_state_dict(trainer.state)
        n = trainer.state["iteration"]
    while _goes_on(run, trainer, n):
        lr: Any = run.lr(n)
        yield n, lr, lambda n=n: run.state_dict(n + 1)
        n += 1


def _save(trainer: Trainer, n: int, state: Any) -> None:
    """A checkpoint whose next iteration is n + 1, whole or not at all."""
    file = Path(trainer.folder) / f"checkpoint-{trainer.life:03}-{n + 1:06}"
    partly = file.with_name(f"partly-{file.name}")
    partly.write_bytes(pickle.dumps(state))
    partly.rename(file)
