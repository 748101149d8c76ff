"""Where the first LRs come from, in which order, in which mode, and what is said about it."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from faults.control import BUSY_S, waited_s
from preheat_client import (
    InvalidFallback,
    InvalidSpec,
    Preheat,
    RequestRefused,
    Schedule,
    ServiceUnavailable,
    State,
    Status,
)
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC, SERVED_ALONE, optimizer
from running_service import free_port, service, serving, wait_until

AWAY = "http://127.0.0.1:1"


def rows(schedule: Schedule) -> list[str]:
    """LRs of updates 1 … 20, as the design's table prints them."""
    return [str(schedule.lr(n)) for n in range(1, 21)]


def saved(folder: Path, **spec: Any) -> str:
    """The address of a service that is gone, and left a snapshot."""
    with service() as url, Preheat(url, snapshot_dir=str(folder)) as preheat:
        schedule = preheat.create({**REFERENCE_SPEC, **spec})
        wait_until(lambda: schedule.status.counters.snapshots == 1, 30)
    return url


class TestOrder:
    """LRs come from the override file, the service, the snapshot or the fallback, in this order."""

    def test_an_override_file_wins_over_the_service(self, url: str, tmp_path: Path) -> None:
        """LRs are the override's, its source is in the status, and nothing is asked."""
        path = tmp_path / "override.json"
        path.write_text("0.25")
        with Preheat(url, override_file=str(path)) as preheat:
            schedule = preheat.create(REFERENCE_SPEC, fallback=0.5)
            assert {schedule.lr(n) for n in range(21)} == {0.25}
            assert (schedule.status.state, schedule.status.source) == (State.FALLBACK, "override")
            assert schedule.status.counters.requests == 0

    def test_without_the_file_the_service_is_asked(self, url: str, tmp_path: Path) -> None:
        """A configured override that is not there is no override."""
        with Preheat(url, override_file=str(tmp_path / "none.json")) as preheat:
            schedule = preheat.create(REFERENCE_SPEC, fallback=0.5)
            assert rows(schedule) == list(REFERENCE_ROWS)
            assert (schedule.status.state, schedule.status.source) == (State.READY, "service")
            assert schedule.status.last_error is None

    @pytest.mark.parametrize("content", ["", "-1", '{"target_lr": 1}'])
    def test_an_override_file_that_is_none_is_an_error(self, url: str, tmp_path: Path, content: str) -> None:
        """An operator who meant something must not get something else."""
        path = tmp_path / "override.json"
        path.write_text(content)
        with Preheat(url, override_file=str(path)) as preheat, pytest.raises(InvalidFallback, match=r"override\.json"):
            preheat.create(REFERENCE_SPEC)
        with Preheat(url, override_file=str(tmp_path)) as preheat, pytest.raises(InvalidFallback, match="cannot be"):
            preheat.create(REFERENCE_SPEC)

    def test_a_file_that_never_ends_is_not_waited_for(self, url: str, tmp_path: Path) -> None:
        """Reading a pipe that nobody writes to is over after `timeout_s`."""
        path = tmp_path / "override.json"
        os.mkfifo(path)
        started = time.monotonic()
        with (
            Preheat(url, override_file=str(path), timeout_s=0.5) as preheat,
            pytest.raises(InvalidFallback, match=r"no answer in 0\.5 s"),
        ):
            preheat.create(REFERENCE_SPEC)
        assert time.monotonic() - started < waited_s(0.5) + BUSY_S
        os.close(os.open(path, os.O_WRONLY))  # lets the thread go that still waits for a writer

    def test_a_snapshot_comes_before_a_fallback(self, tmp_path: Path) -> None:
        """LRs are the schedule's bit for bit, STALE, and as old as the snapshot."""
        url = saved(tmp_path)
        with Preheat(url, snapshot_dir=str(tmp_path), start_timeout_s=0.3) as preheat:
            schedule = preheat.create(REFERENCE_SPEC, fallback=0.5)
            assert rows(schedule) == list(REFERENCE_ROWS)
            status = schedule.status
            assert (status.state, status.source) == (State.STALE, "snapshot")
            assert status.last_error is not None
            assert status.age_s is not None
            assert 0.3 <= status.age_s < 60

    def test_a_snapshot_is_read_whatever_the_clients_thread_waits_for(self, url: str, tmp_path: Path) -> None:
        """A callback, or a name that nobody looks up, does not hold up the start."""
        release = threading.Event()

        def wait(*_: Any) -> None:
            release.wait(30)

        with Preheat(url, snapshot_dir=str(tmp_path)) as preheat:
            wait_until(lambda: preheat.create(REFERENCE_SPEC).status.counters.snapshots == 1, 30)
        options: Any = {"snapshot_dir": str(tmp_path), "start_timeout_s": 0.3, "timeout_s": 0.5}
        with Preheat(url, on_state_change=wait, **options) as preheat:
            preheat.create({**REFERENCE_SPEC, "target_lr": 0.5})
            schedule = preheat.create(REFERENCE_SPEC)
            assert (schedule.status.source, rows(schedule)) == ("snapshot", list(REFERENCE_ROWS))
            release.set()

    def test_a_snapshot_is_confirmed_when_the_service_is_back(self, tmp_path: Path) -> None:
        """One request for the schedule is made, and none for its LRs."""
        port = free_port()
        with service(port) as url, Preheat(url, snapshot_dir=str(tmp_path)) as preheat:
            wait_until(lambda: preheat.create(REFERENCE_SPEC).status.counters.snapshots == 1, 30)
        with Preheat(url, snapshot_dir=str(tmp_path), start_timeout_s=0.3) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            with service(port):
                wait_until(lambda: schedule.status.state == State.READY, 30)
            assert rows(schedule) == list(REFERENCE_ROWS)
            assert schedule.status.counters.windows == 0

    def test_a_fallback_comes_last_and_ends_when_the_service_is_back(self) -> None:
        """Callbacks are told each change once, in order."""
        port = free_port()
        told: list[tuple[State, str]] = []

        def note(schedule: Schedule, status: Status) -> None:
            assert schedule.total_iterations == 20
            told.append((status.state, status.source))
            raise RuntimeError("a callback's fault is its own")

        with Preheat(f"http://127.0.0.1:{port}", start_timeout_s=0.3, on_state_change=note) as preheat:
            schedule = preheat.create(SERVED_ALONE, fallback=0.5)
            assert {schedule.lr(n) for n in range(30)} == {0.5}
            assert schedule.total_iterations == 20
            with service(port):
                wait_until(lambda: schedule.status.state == State.READY, 30)
                assert rows(schedule) == list(REFERENCE_ROWS)
                wait_until(lambda: len(told) == 2, 30)
        assert told == [(State.FALLBACK, "fallback"), (State.READY, "service")]

    def test_a_plain_spec_is_computed_before_a_fallback(self, caplog: pytest.LogCaptureFixture) -> None:
        """Without service and snapshot LRs are the schedule's digit for digit; only the id is not known yet."""
        port = free_port()
        with Preheat(f"http://127.0.0.1:{port}", start_timeout_s=0.3) as preheat:
            schedule = preheat.create(REFERENCE_SPEC, fallback=0.5)
            assert rows(schedule) == list(REFERENCE_ROWS)
            assert (schedule.status.state, schedule.status.source) == (State.STALE, "computed")
            assert (schedule.id, schedule.total_iterations, schedule.status.age_s) == ("", 20, None)
            with service(port):
                wait_until(lambda: schedule.status.state == State.READY, 30)
                assert (rows(schedule), len(schedule.id)) == (list(REFERENCE_ROWS), 32)
        assert caplog.text.count("STALE (computed): no answer from") == 1
        assert "and was" not in caplog.text

    def test_a_snapshot_comes_before_what_is_computed(self, tmp_path: Path) -> None:
        """What the service gave is worth more than what the client makes of the spec; a damaged file is worth less."""
        url = saved(tmp_path)
        options: Any = {"snapshot_dir": str(tmp_path), "start_timeout_s": 0.3}
        for source in ("snapshot", "computed"):
            with Preheat(url, **options) as preheat:
                schedule = preheat.create(REFERENCE_SPEC)
                assert (schedule.status.source, rows(schedule)) == (source, list(REFERENCE_ROWS))
            for path in tmp_path.iterdir():
                path.write_bytes(b"torn")

    def test_who_wants_an_outage_raised_gets_nothing_computed(self) -> None:
        """With `on_outage="raise"` an LR comes from the service, or from what was named for its absence."""
        with Preheat(AWAY, start_timeout_s=0.3, on_outage="raise") as preheat:
            with pytest.raises(ServiceUnavailable):
                preheat.create(REFERENCE_SPEC)
            assert preheat.create(REFERENCE_SPEC, fallback=0.5).lr(3) == 0.5

    def test_a_fallbacks_lr_is_said_when_the_schedule_has_another(self, caplog: pytest.LogCaptureFixture) -> None:
        """The log has the iteration of the loop and both LRs."""
        port = free_port()
        with Preheat(f"http://127.0.0.1:{port}", start_timeout_s=0.3) as preheat:
            schedule = preheat.create(SERVED_ALONE, fallback=0.5)
            schedule.lr(7)
            with service(port):
                wait_until(lambda: schedule.status.state == State.READY, 30)
        assert "the LR of iteration 7 is 0.007000000000000001, and was 0.5 (fallback)" in caplog.text

    def test_a_schedule_with_other_param_groups_does_not_take_over(self) -> None:
        """`lr(n)` must not turn from a number into a list in the middle of a run."""
        port = free_port()
        spec = {**REFERENCE_SPEC, "param_groups": [{"name": "a", "warmup": {"iterations": 10}}, {"name": "b"}]}
        with Preheat(f"http://127.0.0.1:{port}", start_timeout_s=0.3) as preheat:
            alike = preheat.create(spec, fallback={"a": 0.5, "b": 0.25})
            other = preheat.create(spec, fallback=0.5)
            with service(port):
                wait_until(lambda: alike.status.state == State.READY, 30)
                wait_until(lambda: "the param groups a, b" in str(other.status.last_error), 30)
        assert (alike.lr(5), other.lr(5)) == ([0.005, 0.005], 0.5)
        assert other.status.state == State.FALLBACK

    def test_a_spec_that_breaks_rules_is_an_error_whatever_there_is(self, url: str) -> None:
        """A fallback must not hide it."""
        with Preheat(url) as preheat, pytest.raises(InvalidSpec):
            preheat.create({"target_lr": -1}, fallback=0.5)

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_a_refusal_goes_on_to_the_fallback_at_once(self, status: int) -> None:
        """It is an error without a fallback, also at once."""

        async def refuse(scope: Any, _receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await send({"type": "http.response.start", "status": status, "headers": []})
                await send({"type": "http.response.body", "body": b""})

        started = time.monotonic()
        with serving(refuse) as address, Preheat(address, start_timeout_s=600) as preheat:
            assert preheat.create(REFERENCE_SPEC, fallback=0.5).lr(5) == 0.5
            with pytest.raises(RequestRefused):
                preheat.create(REFERENCE_SPEC)
        assert time.monotonic() - started < 60


def test_what_the_service_refuses_later_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A run that began on a fallback goes on with it, and the log says why it stays there: once."""
    port = free_port()
    spec = {**REFERENCE_SPEC, "warmup": {"iterations": 21}}
    with Preheat(f"http://127.0.0.1:{port}", start_timeout_s=0.3) as preheat:
        schedule = preheat.create(spec, fallback=0.5)
        with service(port):
            wait_until(lambda: "must not exceed total_iterations" in str(schedule.status.last_error), 30)
        assert schedule.lr(3) == 0.5
    assert caplog.text.count("must not exceed total_iterations (20)") == 1


class TestModes:
    """An offline client reads snapshots alone, a disabled one passes a constant through."""

    def test_offline_reads_snapshots_and_asks_nobody(self, tmp_path: Path) -> None:
        """The service is not asked even if it is there."""
        url = saved(tmp_path)
        with Preheat(url, mode="offline", snapshot_dir=str(tmp_path)) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            assert rows(schedule) == list(REFERENCE_ROWS)
            assert (schedule.status.source, schedule.status.counters.requests) == ("snapshot", 0)
            assert rows(preheat.schedule(schedule.id)) == list(REFERENCE_ROWS)
            with pytest.raises(ServiceUnavailable, match="mode is offline"):
                schedule.plot(tmp_path / "never.png")
            with pytest.raises(ServiceUnavailable, match=r"offline, and there is no snapshot of schedule f{32} in .*"):
                preheat.schedule("f" * 32)
            assert preheat.schedule("f" * 32, fallback=0.5).lr(3) == 0.5

    def test_disabled_passes_a_constant_through(self) -> None:
        """The same calls work without a service, an address or a wait."""
        with Preheat(mode="disabled") as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            on = optimizer(1.0)
            scheduler = RemoteLR(on, schedule)
            for _ in range(schedule.total_iterations):
                assert on.param_groups[0]["lr"] == 0.01
                on.step()
                scheduler.step()
            assert preheat.schedule("f" * 32, fallback=[0.1, 0.2]).lr(1) == 0.2
            with pytest.raises(InvalidFallback, match="a disabled client needs"):
                preheat.schedule("f" * 32)


class TestMisuse:
    """What can never succeed fails at once, and says what it wants."""

    @pytest.mark.parametrize("schedule_id", [None, 7, b"f" * 32, {"target_lr": 1}])
    def test_an_id_is_a_text(self, schedule_id: Any) -> None:
        """No request is made for anything else."""
        with Preheat(AWAY) as preheat, pytest.raises(TypeError, match=r"schedule_id \(.*\) must be a schedule's id"):
            preheat.schedule(schedule_id)

    @pytest.mark.parametrize(
        "schedule_id", ["", "f" * 31, "F" * 32, "f" * 33, "g" * 32, "f" * 32 + "\n", "é", "a/b?c#d"]
    )
    def test_an_id_has_its_form(self, schedule_id: str) -> None:
        """What can be no id is refused at once, and the message shows one."""
        form = r"schedule_id \(.*\) must be .* 32 hexadecimal digits, such as 630e8304e0352e14c20ae59b8f487901"
        with Preheat(AWAY, start_timeout_s=3600) as preheat, pytest.raises(ValueError, match=form):
            preheat.schedule(schedule_id, fallback=0.5)

    def test_the_other_call_is_named(self) -> None:
        """Whoever mixes up `create` and `schedule` is told so."""
        with Preheat(AWAY) as preheat:
            with pytest.raises(TypeError, match=r"an id is for Preheat\.schedule"):
                preheat.create("f" * 32)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"a spec is for Preheat\.create"):
                preheat.schedule(REFERENCE_SPEC)  # type: ignore[arg-type]

    @pytest.mark.parametrize("spec", [None, "target_lr: 0.1", [("target_lr", 0.1)], 0.1])
    def test_a_spec_is_a_dict(self, spec: Any) -> None:
        """No request is made for anything else."""
        with Preheat(AWAY) as preheat, pytest.raises(TypeError, match="must be a dict"):
            preheat.create(spec)

    def test_a_closed_client_opens_nothing(self) -> None:
        """The default start time-out would be half a minute; the test's own is an hour."""
        preheat = Preheat(AWAY, start_timeout_s=3600)
        preheat.close()
        with pytest.raises(ServiceUnavailable, match="the client is closed"):
            preheat.create(REFERENCE_SPEC)

    def test_a_wrong_path_is_no_missing_schedule(self, url: str) -> None:
        """The service's 404 for a path that it does not have names the path."""
        with Preheat(f"{url}/api") as preheat, pytest.raises(RequestRefused, match="/api/v1/schedules") as caught:
            preheat.create(REFERENCE_SPEC)
        assert type(caught.value) is RequestRefused

    def test_a_page_of_html_is_not_shown(self) -> None:
        """It tells nothing but that something else answers; the error says so."""

        async def gateway(_scope: Any, _receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"text/html; charset=utf-8")]
            await send({"type": "http.response.start", "status": 502, "headers": headers})
            await send({"type": "http.response.body", "body": b"<!DOCTYPE html><h1>Bad Gateway</h1>"})

        refused = pytest.raises(ServiceUnavailable, match="502: a page of HTML")
        with serving(gateway) as url, Preheat(url, start_timeout_s=0.5) as preheat, refused as caught:
            preheat.create(SERVED_ALONE)
        assert "<" not in str(caught.value)

    def test_a_long_wait_is_announced(self, caplog: pytest.LogCaptureFixture) -> None:
        """Whom it waits for, how long and why stands in the log before the wait is over; a short one says nothing."""
        for timeout_s in (0.5, 3.0):
            with Preheat(AWAY, start_timeout_s=timeout_s) as preheat, pytest.raises(ServiceUnavailable):
                preheat.create(SERVED_ALONE)
        assert caplog.text.count("waiting 1 s more for http://127.0.0.1:1: no answer") == 1

    def test_an_absent_service_says_what_to_do(self) -> None:
        """The note stands under the error in the traceback."""
        with Preheat(AWAY, start_timeout_s=0.1) as preheat, pytest.raises(ServiceUnavailable) as caught:
            preheat.create(SERVED_ALONE)
        assert "PREHEAT_URL" in "".join(traceback.format_exception(caught.value))


class TestSnapshotsInUse:
    """Whatever a disk does, a training loop reads its LRs."""

    @pytest.mark.parametrize("kind", ["read-only", "a file"])
    def test_a_disk_that_cannot_be_written_never_reaches_the_loop(
        self, url: str, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """There is one line in the log, and a counter."""
        folder = tmp_path / "file"
        folder.write_text("")
        place = folder / "below" if kind == "a file" else Path("/proc/preheat")
        with Preheat(url, snapshot_dir=str(place)) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            assert rows(schedule) == list(REFERENCE_ROWS)
            wait_until(lambda: schedule.status.counters.snapshot_failures == 1, 30)
        assert [record.levelno for record in caplog.records if "no snapshot was written" in record.message] == [
            logging.WARNING
        ]

    def test_a_full_disk_never_reaches_the_loop(self, url: str, tmp_path: Path) -> None:
        """A process whose files may have 100 bytes reads its LRs, logs one line, and leaves no file."""
        script = (
            "import json, resource, signal, sys, time; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
            "from preheat_client import Preheat\n"
            "url, folder, spec = json.loads(sys.argv[1])\n"
            "schedule = Preheat(url, snapshot_dir=folder).create(spec)\n"
            "lrs = [str(schedule.lr(n)) for n in range(1, 21)]\n"
            "while schedule.status.counters.snapshot_failures == 0: time.sleep(0.01)\n"
            "print(json.dumps([lrs, schedule.status.state]))"
        )
        arguments = json.dumps([url, str(tmp_path), REFERENCE_SPEC])
        run = subprocess.run(
            [sys.executable, "-c", script, arguments], capture_output=True, text=True, timeout=30, check=True
        )
        assert json.loads(run.stdout) == [list(REFERENCE_ROWS), "READY"]
        assert run.stderr.count("no snapshot was written: [Errno 27] File too large") == 1
        assert list(tmp_path.iterdir()) == []

    def test_several_groups_and_hyperparameters_come_back_from_disk(self, tmp_path: Path) -> None:
        """Each row is read as it was served."""
        extra: dict[str, Any] = {
            "param_groups": [{"name": "a"}, {"name": "b", "target_lr": 0.1}],
            "hyperparameters": {"weight_decay": {"value": 0.4, "warmup": {"iterations": 20}}},
        }
        url = saved(tmp_path, **extra)
        with Preheat(url, mode="offline", snapshot_dir=str(tmp_path)) as preheat:
            schedule = preheat.create({**REFERENCE_SPEC, **extra})
            assert schedule.lr(5) == [0.005, 0.05]
            assert schedule.hyperparameters(5) == [0.4 * 5 / 20, 0.4 * 5 / 20]
            assert schedule.group_names == ("a", "b")

    def test_a_damaged_snapshot_is_as_none(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A start with a damaged snapshot goes on to the fallback."""
        url = saved(tmp_path, **SERVED_ALONE)
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes()[:-5])
        with Preheat(url, mode="offline", snapshot_dir=str(tmp_path)) as preheat:
            assert preheat.create(SERVED_ALONE, fallback=0.5).status.source == "fallback"
        assert caplog.text.count("its checksum is wrong") == 1


def test_a_callback_can_ask_the_service(url: str, tmp_path: Path) -> None:
    """A callback that asks, on the client's own thread, does not wait for itself."""
    pictures: list[Path] = []

    def draw(schedule: Schedule, _: Status) -> None:
        path = tmp_path / "plot.png"
        schedule.plot(path)
        pictures.append(path)

    with Preheat(url, on_state_change=draw) as preheat:
        schedule = preheat.create(REFERENCE_SPEC)
        wait_until(lambda: pictures, 30)
        assert schedule.status.state is State.READY
    assert pictures[0].read_bytes().startswith(b"\x89PNG")


def test_a_callback_hears_of_a_service_that_goes_and_comes() -> None:
    """It is told READY, STALE, READY once each, however often asking has failed in between."""
    port = free_port()
    told: list[State] = []
    spec = {**REFERENCE_SPEC, "total_iterations": 10**9}
    with Preheat(
        f"http://127.0.0.1:{port}", window=20, on_state_change=lambda _, status: told.append(status.state)
    ) as preheat:
        with service(port):
            schedule = preheat.create(spec)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
        schedule.lr(65)
        wait_until(lambda: schedule.status.counters.failures == 2, 30)
        with service(port):
            wait_until(lambda: schedule.status.state == State.READY, 30)
        wait_until(lambda: len(told) >= 3, 30)
    assert told == [State.READY, State.STALE, State.READY]
    assert json.dumps(schedule.status.state) == '"READY"'
