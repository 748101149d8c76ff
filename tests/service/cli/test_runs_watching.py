"""`preheat runs watch`, and the questions that a change asks: on a terminal, in a pipe, through lost connections."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from faults.fault_proxy import NONE, Fault, proxied, proxy_loop
from live_runs.rest_job import RestJob
from preheat.cli.runs.screen import Lines
from preheat.cli.runs.view import View, look
from running_service import wait_until
from support.runs_cli import cosine
from support.terminal import Terminal, on_a_terminal

COMMAND = (sys.executable, "-m", "preheat", "runs")


@contextmanager
def piped(output: Path, url: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The command with its output in a file, as in a log."""
    environment = {**os.environ, "PREHEAT_URL": url}
    with output.open("wb") as file:
        command = [*COMMAND, *arguments]
        with subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()


@contextmanager
def terminal(live: httpx.Client, *arguments: str, columns: int = 100, lines: int = 50) -> Iterator[Terminal]:
    """The command on a terminal."""
    url = str(live.base_url)
    with on_a_terminal(*COMMAND, *arguments, columns=columns, lines=lines, PREHEAT_URL=url) as running:
        yield running


def test_in_a_pipe_there_is_a_line_for_everything_through_a_lost_connection(job: RestJob, tmp_path: Path) -> None:
    """What happens while nobody answers is told afterwards, each event once; the end of the run is the end."""
    label, output = job.run()["label"], tmp_path / "log"

    def has(text: str) -> bool:
        return text in output.read_text()

    with (
        proxy_loop() as loop,
        proxied(loop, str(job.http.base_url)) as proxy,
        piped(output, proxy.url, "watch", label, "--every", "0.2") as process,
    ):
        wait_until(lambda: has(f"{label}: state RUNNING, iteration 1 of 1,000 (0.1%), LR "), 60)
        job.change(factor=0.5)
        wait_until(lambda: has("change-accepted: scale by 0.5 from iteration 17, by anonymous: spike"), 60)
        proxy.set(Fault(listens=False))
        wait_until(lambda: has("asking again until it answers\n"), 60)
        job.change("hold", value=0.02)
        proxy.set(NONE)
        wait_until(lambda: has("the service answers again\n"), 60)
        wait_until(lambda: has("change-accepted: hold at 0.02 from iteration 17"), 60)
        job.http.post(f"{job.path}/finish")
        assert process.wait(60) == 0
    lines = output.read_text().splitlines()
    told = [line for line in lines if line[:4].isdecimal()]
    assert [line.split("  ")[1].partition(":")[0] for line in told] == job.kinds()
    assert sum("asking again" in line for line in lines) == 1
    assert any(line.startswith(f"{label}: state FINISHED") for line in lines)


def test_a_run_that_is_deleted_ends_the_watch(live: httpx.Client, tmp_path: Path) -> None:
    """With the service's reason, and exit code 1."""
    job, output = RestJob(live), tmp_path / "log"
    with piped(output, str(live.base_url), "watch", job.made.json()["id"], "--every", "0.2") as process:
        wait_until(lambda: "state WAITING" in output.read_text(), 60)
        live.delete(job.path).raise_for_status()
        assert process.wait(60) == 1
    assert output.read_text().splitlines()[-1] == f"error: no run has the id {job.made.json()['id']}"


def test_on_a_terminal_a_table_follows_the_run(live: httpx.Client, job: RestJob) -> None:
    """Where it is, its LR, its loss, its changes and events; Ctrl-C shows the cursor again and is no error."""
    with terminal(live, "watch", job.run()["label"], "--every", "0.2", columns=80) as screen:
        screen.read_until("1 of 1,000 (0.1%)")
        job.ask(9, reports=[{"iteration": 8, "values": {"loss": 2.25}}])
        screen.read_until("9 of 1,000 (0.9%)")
        screen.read_until("2.25 at iteration 8")
        screen.read_until(repr(job.lrs(9)[0]))
        job.change(factor=0.5, at=500, why="x\x1b]0;y\x07")
        screen.read_until("from 500")
        screen.read_until("Ctrl-C ends")
        screen.interrupt()
        assert screen.exit_code() == 0
    assert "\x1b]0;" not in screen.written
    assert job.lrs(9) == pytest.approx([cosine(9)])
    assert [line for line in screen.lines if len(line) > 80] == []
    assert screen.written.endswith("\x1b[?25h")
    assert "Traceback" not in screen.text


def test_a_low_terminal_shows_the_newest_events_too(live: httpx.Client, job: RestJob) -> None:
    """At 80 × 24, however long the reasons are: each on a line, and no frame is higher than the terminal."""
    job.ask(9, reports=[{"iteration": 8, "values": {"loss": 2.25}}])
    for n in range(5):
        job.change(factor=0.9, at=500 + n, why=f"reason {n} " * 9)
    with terminal(live, "watch", job.run()["label"], "--every", "0.2", columns=80, lines=24) as screen:
        screen.read_until("2.25 at iteration 8")
        screen.read_until("change-accepted  scale by 0.9 from iteration 504, by anonymous")
        screen.interrupt()
        assert screen.exit_code() == 0
    assert [line for line in screen.lines if len(line) > 80] == []
    frame = screen.text.split(job.run()["label"])[-1].split("\n")
    assert 16 < len(frame) <= 24
    assert "…" not in {line.strip() for line in frame}, "nothing is cut off below"


def test_a_tiny_terminal_shows_what_matters_most_first(live: httpx.Client, job: RestJob) -> None:
    """At 40 × 10 the state, the iteration, the LR and the number, up to the end, and nothing that is higher."""
    job.ask(9, reports=[{"iteration": 8, "values": {"loss": 2.25}}])
    for n in range(5):
        job.change(factor=0.9, at=500 + n)
    label = job.run()["label"]
    with terminal(live, "watch", label, "--every", "0.2", columns=40, lines=10) as screen:
        screen.read_until("2.25 at iteration 8")
        screen.read_until("changes, after 2 others")
        screen.interrupt()
        assert screen.exit_code() == 0
    frame = [line.rstrip() for line in screen.text.split("RUNNING")[-1].strip().split("\n")]
    assert frame[0].split() == [label]
    assert [line.split()[0] for line in frame[1:4]] == ["iteration", "LR", "loss"]
    assert len(frame) == 9
    assert [line for line in screen.lines if len(line) > 40] == []


@pytest.mark.parametrize(
    ("metric", "at", "shown"),
    [
        ("loss", 9, "2.25 at iteration 8"),
        ("los", 9, "not reported yet, only acc, loss"),
        ("loss", 701, "none in the last 500 iterations"),
    ],
)
def test_a_number_that_is_not_there_says_why(
    live: httpx.Client, job: RestJob, metric: str, at: int, shown: str
) -> None:
    """A name that was misspelt is not an empty place."""
    job.ask(9, reports=[{"iteration": 8, "values": {"loss": 2.25, "acc": 0.5}}])
    job.run_to(at)

    async def seen() -> str:
        async with httpx.AsyncClient(base_url=live.base_url, timeout=60) as http:
            return (await look(http, str(live.base_url), job.run()["id"], metric)).report

    assert asyncio.run(seen()) == shown


def test_after_a_resume_the_number_of_before_is_shown(live: httpx.Client, job: RestJob) -> None:
    """Of the attempt that it goes on from, until this one has reported; not what that reported later."""
    job.ask(9, reports=[{"iteration": n, "values": {"loss": 2.0 + n}} for n in (7, 8)])
    job.attach(8)

    async def seen() -> str:
        async with httpx.AsyncClient(base_url=live.base_url, timeout=60) as http:
            return (await look(http, str(live.base_url), job.run()["id"], "loss")).report

    before = "9 at iteration 7 in attempt 1"
    assert asyncio.run(seen()) == f"not reported yet, nor anything else in attempt 2; {before}"
    job.ask(8)
    job.ask(9, reports=[{"iteration": 8, "values": {"loss": 1.5}}])
    assert asyncio.run(seen()) == "1.5 at iteration 8"


def test_in_a_pipe_a_run_that_stands_still_is_not_told_again(
    live: httpx.Client, job: RestJob, capsys: pytest.CaptureFixture[str]
) -> None:
    """However much time has gone by; one that has moved is."""

    async def seen() -> View:
        async with httpx.AsyncClient(base_url=live.base_url, timeout=60) as http:
            return await look(http, str(live.base_url), job.run()["id"], "loss")

    lines, said = Lines(every_s=0.0), []
    for position in (1, 1, 9, 9):
        if position > job.run()["position"]:
            job.ask(position)
        lines.show(asyncio.run(seen()))
        said.append(capsys.readouterr().out.count("\n"))
    assert said == [1, 0, 1, 0]


def test_a_change_is_made_after_a_yes_and_not_after_a_no(live: httpx.Client, job: RestJob) -> None:
    """First it is shown; what is out of the ordinary is asked with its reason, and a yes confirms it."""
    label = job.run()["label"]
    change = ("change", label, "scale", "3", "--why", "faster")
    with terminal(live, *change, columns=80) as screen:
        screen.read_until("×3")
        screen.read_until("out of the ordinary: the factor (3) is outside 0.25 to 2")
        screen.read_until("Change it all the same? [y/N]")
        screen.type("n")
        assert screen.exit_code() == 1
    assert "nothing was changed" in screen.text
    assert job.run()["changes"] == 0
    with terminal(live, *change) as screen:
        screen.read_until("Change it all the same? [y/N]")
        screen.type("y")
        assert screen.exit_code() == 0
    assert "accepted as change " in screen.text
    assert job.lrs(17) == pytest.approx([3 * cosine(17)])


def test_somebody_who_was_faster_than_the_answer_is_shown(live: httpx.Client, job: RestJob) -> None:
    """While a person reads the dry run, another one changes the run: the yes was to something else."""
    with terminal(live, "change", job.run()["label"], "scale", "0.5", "--why", "spike") as screen:
        screen.read_until("Change it? [y/N]")
        job.change("hold", value=0.03)
        screen.type("y")
        assert screen.exit_code() == 1
    assert "has changed since it was looked at, and nothing was done:" in screen.text
    assert "hold at 0.03 from iteration 17, by anonymous: spike" in screen.text
    assert job.lrs(17) == [0.03]


def test_what_cannot_be_undone_is_asked(live: httpx.Client, job: RestJob) -> None:
    """A restart, an end and a deletion name the run and its state."""
    label = job.run()["label"]
    with terminal(live, "rollback", label, "--after", "9", "--changes", "drop", "--why", "x") as screen:
        screen.read_until(f"{label} is at iteration 1. Ask its job to go back to after 9 (drop)? [y/N]")
        screen.type("")
        assert screen.exit_code() == 1
    assert job.run()["rollback"] is None
