"""Command: demo, a service and two training processes that read their LR from it."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from preheat.cli.output import OUT, fail

if TYPE_CHECKING:
    from preheat_client import Preheat, Schedule

_TRAINER = "preheat.cli.demo_trainer"
_TRAINERS = 2
_START_TRIES = 60


class DemoFailed(Exception):
    """The demo could not be run to its end; the message says why."""


def demo(
    iterations: Annotated[int, typer.Option(help="Length of the run.", min=20, max=100_000)] = 300,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write the picture.")] = (
        "preheat-demo.png"
    ),
) -> None:
    """Start a service, train a small model in two processes that read their LR from it, and draw the schedule."""
    try:
        run_demo(iterations, Path(output), OUT)
    except DemoFailed as error:
        fail(str(error))


def run_demo(iterations: int, picture: Path, console: Console) -> None:
    """Starts everything, shows it, compares what the trainers read, writes the picture and stops everything.

    Raises DemoFailed.
    """
    if importlib.util.find_spec("preheat_client") is None:
        raise DemoFailed("the demo trains with the client: pip install -e clients/python")
    from preheat_client import Preheat, PreheatError  # noqa: PLC0415 - the service runs without the client

    with _service() as (url, process), Preheat(url, start_timeout_s=1, on_outage="raise") as client:
        try:
            with console.status(f"starting a service on {url}"):
                schedule = _create(client, process, iterations)
            console.print(f"a service listens on {url}")
            used = _train(url, schedule.id, iterations, console)
            expected = schedule.lrs(1)  # the first update runs at lr(1)
            if any(lrs != expected for lrs in used):
                raise DemoFailed("the trainers did not read the LRs that the service listed")
            console.print(f"both trainers read the same {len(expected)} learning rates, digit for digit")
            schedule.plot(picture, at=iterations // 2)
        except PreheatError as error:
            raise DemoFailed(str(error)) from error
        console.print(f"{escape(str(picture))}: the schedule, with iteration {iterations // 2} marked")


def _create(client: "Preheat", process: subprocess.Popen[bytes], iterations: int) -> "Schedule":
    """The schedule, as soon as the service answers; a service that ended will never do so."""
    from preheat_client import ServiceUnavailable  # noqa: PLC0415 - the service runs without the client

    spec = {
        "target_lr": 0.05,
        "total_iterations": iterations,
        "warmup": {"iterations": iterations // 10},
        "after_scheduler": {"type": "CosineAnnealingLR"},
        "label": "demo",
    }
    for _ in range(_START_TRIES):
        with suppress(ServiceUnavailable):
            return client.create(spec)
        if process.poll() is not None:
            raise DemoFailed(f"the service ended with exit code {process.returncode}")
    return client.create(spec)


@contextmanager
def _service() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "preheat", "serve", "--port", str(port)]
    environment = {
        **os.environ,
        "PREHEAT_DATABASE_URL": "sqlite:///:memory:",
        "PREHEAT_HOST": "127.0.0.1",
        "PREHEAT_LOG_LEVEL": "error",  # the trainers' requests are not what the demo shows
    }
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:  # noqa: S603 - ourselves
        try:
            yield url, process
        finally:
            process.terminate()


def _train(url: str, schedule_id: str, iterations: int, console: Console) -> list[list[float]]:
    """Runs the trainers side by side; returns the LRs that each one used, in order."""
    command = [sys.executable, "-m", _TRAINER, url, schedule_id]
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    trainers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(_TRAINERS)]  # noqa: S603
    used: list[list[float]] = [[] for _ in trainers]
    try:
        with Progress(*columns, console=console) as progress:
            bars = [
                progress.add_task(f"trainer {number} (process {trainer.pid})", total=iterations, state="starting")
                for number, trainer in enumerate(trainers)
            ]
            for _ in range(iterations):
                for trainer, bar, lrs in zip(trainers, bars, used, strict=True):
                    _follow(trainer, bar, lrs, progress)
    finally:
        for trainer in trainers:
            trainer.terminate()
            trainer.communicate()
    return used


def _follow(trainer: subprocess.Popen[str], bar: TaskID, lrs: list[float], progress: Progress) -> None:
    """Reads one update of one trainer."""
    assert trainer.stdout is not None  # noqa: S101 - it is a pipe
    line = trainer.stdout.readline()
    if not line:
        raise DemoFailed(f"a trainer ended after {len(lrs)} updates")
    update = json.loads(line)
    lrs.append(update["lr"])
    progress.update(bar, advance=1, state=f"lr {update['lr']:.6f}  loss {update['loss']:.4f}")
