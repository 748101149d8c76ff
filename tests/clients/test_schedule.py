"""The client against real services: what it reads, what it does while the service is away, what it refuses."""

import io
import json
import logging
import math
import threading
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pytest
import torch

from faults.control import BUSY_S, waited_s
from faults.fake_service import FakeService, status, unspoilt
from preheat_client import (
    InvalidSpec,
    IterationOutOfRange,
    Preheat,
    RequestRefused,
    ScheduleNotFound,
    ServiceUnavailable,
    is_retryable,
)
from reference import REFERENCE_ROWS, REFERENCE_SPEC, SERVED_ALONE
from running_service import free_port, service, serving, wait_until

# A warm-up of its own: what the client would compute of the spec must not take the place of what it is served.
LONG = {"target_lr": 0.1, "total_iterations": 10**9, "param_groups": [{"warmup": {"iterations": 10**9}}]}


def long_lr(iteration: int) -> float:
    """The LR of `LONG`, written out; no two iterations have the same."""
    return 0.1 * iteration / 10**9


COMPUTED = {"target_lr": 0.1, "total_iterations": 10**9, "after_scheduler": {"type": "CosineAnnealingLR"}}


def cosine_lr(iteration: int) -> float:
    """The LR of `COMPUTED`, written out."""
    return 0.05 * (1 + math.cos(math.pi * iteration / 10**9))


class TestReading:
    """LRs that the service serves are read bit for bit."""

    def test_the_reference_table_comes_out_digit_for_digit(self, url: str) -> None:
        """It does one by one, as a list, and by id."""
        with Preheat(url) as preheat:
            created = preheat.create(REFERENCE_SPEC)
            found = preheat.schedule(created.id)
            for schedule in (created, found):
                assert [str(schedule.lr(n)) for n in range(1, 21)] == list(REFERENCE_ROWS)
                assert [str(lr) for lr in schedule.lrs(1, 21)] == list(REFERENCE_ROWS)
                assert (schedule.total_iterations, schedule.id) == (20, created.id)
            assert len(created.lrs()) == 21

    def test_several_groups_are_a_list(self, url: str) -> None:
        """`lr` gives a list in the order of the spec."""
        spec = {**REFERENCE_SPEC, "param_groups": [{"name": "a"}, {"name": "b", "target_lr": 0.1}]}
        with Preheat(url) as preheat:
            schedule = preheat.create(spec)
            assert schedule.lr(5) == [0.005, 0.05]
            assert schedule.lrs(5, 7) == [[0.005, 0.05], [0.006, 0.1 * 6 / 10]]
            assert schedule.group_names == ("a", "b")

    def test_a_billion_iterations_are_read_in_windows(self, url: str) -> None:
        """LRs are right forwards across windows, backwards, and in jumps."""
        with Preheat(url, window=100) as preheat:
            schedule = preheat.create(LONG)
            asked = [*range(350), 349, 120, 3, 10**9, 500_000_000, 499_999_999, 0]
            assert [schedule.lr(n) for n in asked] == pytest.approx([long_lr(n) for n in asked], rel=1e-12, abs=1e-18)

    def test_windows_are_there_before_they_are_needed(self) -> None:
        """After a first value, the fifteen windows after it are read with the service gone."""
        with service() as url, Preheat(url, window=50, on_outage="raise") as preheat:
            schedule = preheat.create(LONG)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
        assert [schedule.lr(n) for n in range(800)] == pytest.approx([long_lr(n) for n in range(800)], rel=1e-12)

    @pytest.mark.parametrize("total_iterations", [100_000, 1_000_000])
    def test_a_schedule_of_a_million_iterations_is_kept_whole(self, total_iterations: int) -> None:
        """Once it has arrived an outage of any length costs nothing."""
        windows = -(-(total_iterations + 1) // 65_536)
        with service() as url, Preheat(url) as preheat:
            spec = {"target_lr": 0.1, "after_scheduler": {"type": "CosineAnnealingLR"}}
            schedule = preheat.create({**spec, "total_iterations": total_iterations})
            wait_until(lambda: schedule.status.counters.windows == windows, 30)
        for n in (total_iterations, 0, total_iterations // 2):
            expected = 0.05 * (1 + math.cos(math.pi * n / total_iterations))
            assert schedule.lr(n) == pytest.approx(expected, rel=1e-9, abs=1e-17)

    def test_plot_writes_png_or_svg(self, url: str, tmp_path: Path) -> None:
        """The file's name tells which, and options are the route's."""
        with Preheat(url) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            schedule.plot(tmp_path / "a.png", width_px=400, at=5)
            schedule.plot(str(tmp_path / "a.svg"))
            assert (tmp_path / "a.png").read_bytes()[16:20] == (400).to_bytes(4)
            assert (tmp_path / "a.svg").read_text().startswith("<?xml")
            with pytest.raises(InvalidSpec, match="must be in 0 … 20"):
                schedule.plot(tmp_path / "b.png", at=21)

    @pytest.mark.parametrize("name", ["a.gif", "a.pdf", "a"])
    def test_no_other_kind_of_picture_is_written(self, url: str, tmp_path: Path, name: str) -> None:
        """A PNG under the name of another kind would be taken for one of that."""
        refused = pytest.raises(ValueError, match=rf"path \(.*{name}\) must end in \.png or \.svg")
        with Preheat(url) as preheat, refused:
            preheat.create(REFERENCE_SPEC).plot(tmp_path / name)
        assert list(tmp_path.iterdir()) == []


class TestOfOneSchedule:
    """What a schedule tells besides its LRs."""

    def test_lint_is_read_and_its_warnings_are_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """A cosine that rises again is a warning when the schedule is opened; what is only an info is not logged."""
        spec = {
            "target_lr": 0.1,
            "total_iterations": 100,
            "after_scheduler": {"type": "CosineAnnealingLR", "T_max": 50},
        }
        with service() as url, Preheat(url) as preheat:
            schedule = preheat.create({**spec, "warmup": {"iterations": 10}})
            wait_until(lambda: "lint: warning rising-at-end" in caplog.text, 30)
            served = httpx.get(f"{url}/v1/schedules/{schedule.id}", timeout=60).json()["lint"]
            assert [asdict(finding) for finding in schedule.lint] == served
            assert {finding.severity for finding in schedule.lint} == {"warning", "info"}
            assert caplog.text.count("lint: warning rising-at-end at iteration") == 1
            assert "lint: info" not in caplog.text
        assert schedule.lint == schedule.lint  # known now, without the service

    def test_lint_needs_the_service(self) -> None:
        """It is an error where nobody can be asked, and where lint is not done."""
        with Preheat(f"http://127.0.0.1:{free_port()}", start_timeout_s=0.1, timeout_s=0.3) as preheat:
            for schedule in (preheat.create(REFERENCE_SPEC), preheat.schedule("f" * 32, fallback=0.1)):
                with pytest.raises(ServiceUnavailable):
                    _ = schedule.lint
        not_linted = pytest.raises(ServiceUnavailable, match="the service has not linted the schedule")
        with serving(FakeService(20, float)) as url, Preheat(url) as preheat, not_linted:
            _ = preheat.schedule("f" * 32).lint

    def test_a_notebook_shows_the_picture(self, url: str) -> None:
        """IPython asks for `_repr_svg_`: an SVG document, drawn with the schedule's own curve."""
        with Preheat(url) as preheat:
            picture = preheat.create(REFERENCE_SPEC)._repr_svg_()
        assert picture is not None
        assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own service's

    def test_a_notebook_shows_the_text_where_there_is_no_picture(self, tmp_path: Path) -> None:
        """A service that is away, refuses, or answers something else is no error in a notebook."""
        with Preheat(f"http://127.0.0.1:{free_port()}", start_timeout_s=0.1, timeout_s=0.3) as preheat:
            computed, constant = preheat.create(REFERENCE_SPEC), preheat.schedule("f" * 32, fallback=0.1)
            assert (computed._repr_svg_(), constant._repr_svg_()) == (None, None)
        assert computed._repr_svg_() is None  # closed
        assert Preheat(mode="disabled").create(REFERENCE_SPEC)._repr_svg_() is None
        with serving(FakeService(20, float)) as url, Preheat(url, timeout_s=0.3) as preheat:
            schedule = preheat.schedule("f" * 32)
            assert schedule._repr_svg_() is None
            with pytest.raises(ServiceUnavailable, match="answered application/json where a picture was expected"):
                schedule.plot(tmp_path / "plot.png")
        assert not (tmp_path / "plot.png").exists()

    def test_one_lr_is_a_number(self, url: str) -> None:
        """`lr_of` gives a float, of the only group or of the one that is named; others are refused by name."""
        with Preheat(url) as preheat:
            one, two = (
                preheat.create({**REFERENCE_SPEC, "param_groups": groups})
                for groups in (None, [{"name": "backbone", "factor": 0.1}, {"name": "head"}])
            )
            assert (one.lr_of(5), one.lr_of(5, "default")) == (0.005, 0.005)
            assert (two.lr_of(5, "backbone"), two.lr_of(5, group="head")) == (0.001 * 5 / 10, 0.005)
            for group in (None, "neck"):
                with pytest.raises(ValueError, match=rf"group \({group!r}\) must be one of backbone, head"):
                    two.lr_of(5, group)
            with pytest.raises(ValueError, match="must be one of default"):
                one.lr_of(5, "head")

    @pytest.mark.parametrize("value", [2.5, "3", None, [3]])
    def test_an_iteration_is_a_whole_number(self, url: str, value: Any) -> None:
        """The error names the argument, wherever it is given; a numpy number and a tensor of one are whole numbers."""
        with Preheat(url) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            whole: list[Any] = [np.int64(5), torch.tensor(5)]
            assert [schedule.lr(n) for n in whole] == [0.005, 0.005]
            calls: dict[str, Any] = {
                "iteration": schedule.lr,
                "start": lambda n: schedule.lrs(n, 3),
                "stop": lambda n: schedule.lrs(0, n),
            }
            for name, call in {**calls, "iteration": schedule.hyperparameters}.items():
                if not (name == "stop" and value is None):
                    with pytest.raises(TypeError, match=rf"{name} \(.*\) must be a whole number"):
                        call(value)


class TestEnd:
    """Past the end the last LR is held, or refused."""

    def test_the_last_lr_is_held_and_said_once(self, url: str, caplog: pytest.LogCaptureFixture) -> None:
        """It is logged, since a warning that is made an error would end the run."""
        spec = {"target_lr": 0.1, "total_iterations": 9, "after_scheduler": {"type": "ExponentialLR", "gamma": 0.5}}
        with Preheat(url) as preheat:
            schedule = preheat.create(spec)
            held = [schedule.lr(n) for n in range(10, 200)]
            assert set(held) == {schedule.lr(9)} == {0.1 * 0.5**9}
        said = [record.getMessage() for record in caplog.records if "past the end" in record.getMessage()]
        assert said == [f"schedule {schedule.id}: iteration 10 is past the end (9): holding the last LR"]

    def test_strict_raises(self, url: str) -> None:
        """The error has the valid range."""
        with Preheat(url, strict=True) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            assert schedule.lr(20) == 0.0
            with pytest.raises(IterationOutOfRange, match=r"iteration \(21\) must be in 0 … 20"):
                schedule.lr(21)

    def test_before_the_start_is_always_refused(self, url: str) -> None:
        """Negative iterations are not counted from the end, and halves are no iterations."""
        with Preheat(url) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            schedule.lr(3)
            for ask in (lambda: schedule.lr(-1), lambda: schedule.lrs(-2, 3), lambda: schedule.lrs(0, 22)):
                with pytest.raises(IterationOutOfRange):
                    ask()
            with pytest.raises(TypeError):
                schedule.lr(2.5)  # type: ignore[arg-type]

    def test_a_table_of_a_constant_needs_its_end(self) -> None:
        """A constant of a schedule of which nothing else is known has no end: `lrs` asks for one."""
        with Preheat(f"http://127.0.0.1:{free_port()}", start_timeout_s=0.1) as preheat:
            schedule = preheat.schedule("f" * 32, fallback=0.5)
            with pytest.raises(ValueError, match="stop is required: total_iterations is not known"):
                schedule.lrs()
            assert schedule.lrs(10**12, 10**12 + 3) == [0.5] * 3


class TestOutage:
    """A loop goes on while the service is away."""

    def test_a_service_that_was_never_there_raises_in_time(self) -> None:
        """It raises after `start_timeout_s`, and not before it has tried again."""
        with Preheat(f"http://127.0.0.1:{free_port()}", start_timeout_s=1.5) as preheat:
            started = time.monotonic()
            with pytest.raises(ServiceUnavailable, match=r"no answer from http://127\.0\.0\.1:\d+: ConnectError"):
                preheat.create(SERVED_ALONE)
            assert 1.4 < time.monotonic() - started < waited_s(1.5) + BUSY_S

    def test_a_service_that_starts_late_is_waited_for(self) -> None:
        """A trainer may start before its service."""
        port = free_port()
        with Preheat(f"http://127.0.0.1:{port}", start_timeout_s=20) as preheat:
            created: list[Any] = []
            waiting = threading.Thread(target=lambda: created.append(preheat.create(REFERENCE_SPEC)))
            waiting.start()
            time.sleep(0.5)
            with service(port):
                waiting.join(20)
                assert created[0].lr(5) == 0.005

    def test_hold_keeps_the_last_known_value_and_goes_on_afterwards(self, caplog: pytest.LogCaptureFixture) -> None:
        """An outage is one line and no wait, and the right LR follows once it is over."""
        port = free_port()
        with Preheat(f"http://127.0.0.1:{port}", window=20, timeout_s=60) as preheat:
            with service(port):
                schedule = preheat.create(LONG)
                wait_until(lambda: schedule.status.counters.windows == 16, 30)
            known = [schedule.lr(n) for n in range(320)]
            started = time.monotonic()
            held = [schedule.lr(n) for n in range(320, 500)]
            assert time.monotonic() - started < 30, "a held read waited for the service"
            assert set(held) == {known[-1]}
            assert (schedule.status.state, schedule.status.source) == ("FALLBACK", "held")
            assert schedule.status.counters.held == 180
            with service(port):
                wait_until(lambda: schedule.lr(450) == pytest.approx(long_lr(450), rel=1e-12), 30)
                wait_until(lambda: (schedule.status.state, schedule.status.source) == ("READY", "service"), 30)
                preheat.close()
        own = [record for record in caplog.records if record.name == "preheat_client"]  # and not the service's
        lines = [record.getMessage() for record in own if record.levelno >= logging.WARNING]
        said = [line for line in lines if "lint: warning warmup-over-half" not in line]
        assert len(lines) == len(said) + 1
        assert [line.split(":")[1].strip() for line in said[:2]] == ["STALE (service)", "FALLBACK (held)"]
        (difference,) = said[2:]
        assert "the LR of iteration 450 is 4.5e-08, and was 3.19e-08" in difference

    def test_raise_raises_in_time(self) -> None:
        """With `on_outage="raise"` a value that never arrived is an error; what is known can still be read."""
        with service() as url, Preheat(url, window=20, timeout_s=0.4, on_outage="raise") as preheat:
            schedule = preheat.create(LONG)
            assert schedule.lr(7) == pytest.approx(long_lr(7))
        started = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            schedule.lr(500_000)
        assert time.monotonic() - started < waited_s(0.4) + BUSY_S
        assert schedule.lr(8) == pytest.approx(long_lr(8))

    def test_a_service_that_is_back_is_asked_at_once(self) -> None:
        """With `on_outage="raise"` what is needed now is asked for now: after a refusal the pause is 2.5 minutes."""
        app = FakeService(10**9, long_lr)
        with serving(app) as url, Preheat(url, window=20, timeout_s=60, on_outage="raise") as preheat:
            schedule = preheat.create(LONG)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
            app.trick = status(403)
            with pytest.raises(RequestRefused):
                schedule.lr(5000)
            app.trick = unspoilt
            assert schedule.lr(5000) == long_lr(5000)

    def test_a_service_that_lost_its_schedules_is_given_them_again(self, tmp_path: Path) -> None:
        """Whoever knows a schedule posts its spec, which has the same id everywhere."""
        port = free_port()
        with Preheat(f"http://127.0.0.1:{port}", window=20, on_outage="raise") as preheat:
            with service(port) as url:
                known = preheat.schedule(Preheat(url).create(LONG).id)
            with service(port):
                assert known.lr(10**6) == pytest.approx(long_lr(10**6), rel=1e-12)
            with service(port) as url:
                known.plot(tmp_path / "plot.png")
                assert httpx.get(f"{url}/v1/schedules/{known.id}", timeout=60).is_success

    def test_a_resume_reads_the_start_and_its_place_from_memory(self) -> None:
        """A scheduler is made at iteration 1 and then told where to go on: a start without the service needs both."""
        place = 5 * 10**8
        with TemporaryDirectory() as folder:
            with service() as url, Preheat(url, window=20, snapshot_dir=folder) as preheat:
                schedule = preheat.create(LONG)
                schedule.lr(place)
                saved = schedule.status.counters.snapshots
                wait_until(lambda: schedule.status.counters.snapshots > saved, 30)
            with Preheat(url, window=20, snapshot_dir=folder, start_timeout_s=0.2) as preheat:
                again = preheat.create(LONG)
                for n in (1, place, place + 270):
                    assert again.lr(n) == long_lr(n)
                assert again.status.source == "snapshot"

    def test_the_nearest_known_lr_is_held(self, caplog: pytest.LogCaptureFixture) -> None:
        """A resume far from what is known reads what is nearest to it, and the log says how far away that is."""
        place = 5 * 10**8
        port = free_port()
        with Preheat(f"http://127.0.0.1:{port}", window=20) as preheat:
            with service(port):
                schedule = preheat.create(LONG)
                wait_until(lambda: schedule.status.counters.windows == 16, 30)
                known = schedule.lr(place)
                wait_until(lambda: schedule.status.counters.windows == 31, 30)
            schedule.lr(place - 10**6)  # finds out that the service is away
            held = [schedule.lr(n) for n in (place - 10**6, place + 10**6)]
            assert (schedule.status.state, schedule.status.source) == ("FALLBACK", "held")
            assert held == pytest.approx([long_lr(place - 20), long_lr(place + 279)], rel=1e-12)
            assert schedule.lr(place) == known
            assert (schedule.status.state, schedule.status.source) == ("STALE", "service")
        assert f"{place - 10**6}: holding that of iteration {place - 20}, 999980 away: no answer from" in caplog.text

    def test_what_is_computed_takes_the_place_of_what_has_not_arrived(self, caplog: pytest.LogCaptureFixture) -> None:
        """Any LR of a plain spec, far from what is in memory, is the schedule's, bit for bit; so is a table."""
        port = free_port()
        spec = {**COMPUTED, "param_groups": [{}, {"factor": 0.1}]}
        with Preheat(f"http://127.0.0.1:{port}", window=20, timeout_s=1) as preheat:
            with service(port):
                schedule = preheat.create(spec, fallback={"a": 0.5, "b": 0.5})
            for n in (5 * 10**8, 10**9, 777):
                assert schedule.lr(n) == pytest.approx([cosine_lr(n), cosine_lr(n) * 0.1], rel=1e-9)
                assert (schedule.status.state, schedule.status.source) == ("STALE", "computed")
            assert schedule.lrs(10**6, 10**6 + 2) == [schedule.lr(10**6), schedule.lr(10**6 + 1)]
            assert schedule.status.counters.held == 0
        assert caplog.text.count("the LR of iteration 500000000 is computed from the spec: no answer from") == 1
        assert caplog.text.count("STALE (computed)") == 1

    def test_a_fallback_takes_the_place_of_what_cannot_be_computed(self) -> None:
        """It does in the middle of a run too, until what was missing has arrived; then another LR is said."""
        port = free_port()
        with Preheat(f"http://127.0.0.1:{port}", window=20) as preheat:
            with service(port):
                schedule = preheat.create(LONG, fallback=0.25)
                wait_until(lambda: schedule.status.counters.windows == 16, 30)
            assert schedule.lr(10**6) == 0.25
            assert (schedule.status.state, schedule.status.source) == ("FALLBACK", "fallback")
            with service(port):
                wait_until(lambda: schedule.lr(10**6) == long_lr(10**6), 30)
                wait_until(lambda: schedule.status.state == "READY", 30)

    def test_another_lr_of_the_service_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        """The service's LR takes over from one that was computed, and the log has both."""
        app = FakeService(10**9, lambda n: 0.5 if n == 5000 else cosine_lr(n))
        app.document["spec"] = COMPUTED
        with serving(app) as url, Preheat(url, window=20, timeout_s=1) as preheat:
            schedule = preheat.create(COMPUTED)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
            app.trick = status(503)
            computed = schedule.lr(5000)
            assert computed == pytest.approx(cosine_lr(5000), rel=1e-12)
            app.trick = unspoilt
            wait_until(lambda: schedule.lr(5000) == 0.5, 30)
        assert f"the LR of iteration 5000 is 0.5, and was {computed}" in caplog.text

    def test_a_wait_is_over_as_soon_as_asking_has_failed(self) -> None:
        """A loop is not held up for `timeout_s` if there is nothing to wait for."""
        with service() as url, Preheat(url, window=20, timeout_s=120) as preheat:
            schedule = preheat.create(LONG)
            schedule.lr(0)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
        started = time.monotonic()
        schedule.lr(10_000)
        assert time.monotonic() - started < 60


def why_not_opened(url: str) -> str:
    """Why a schedule cannot be opened; a busy machine may take longer to answer than the first wait."""
    for timeout_s in (0.3, 3, 30):
        with Preheat(url, start_timeout_s=timeout_s) as preheat, pytest.raises(ServiceUnavailable) as error:
            preheat.schedule("f" * 32)
        if "no answer from" not in str(error.value):
            break
    return str(error.value)


class TestRefusals:
    """A refusal is an error that says whether asking again may help."""

    def test_a_bad_spec_names_every_field(self, url: str) -> None:
        """The service's problem document comes through, also for what JSON does not know."""
        with Preheat(url) as preheat, pytest.raises(InvalidSpec) as refused:
            preheat.create({"target_lr": math.nan, "total_iteration": 5})
        assert {error["pointer"] for error in refused.value.problem["errors"]} == {
            "/target_lr",
            "/total_iterations",
            "/total_iteration",
        }
        assert not is_retryable(refused.value)

    def test_an_unknown_schedule_is_not_found(self, url: str) -> None:
        """It is refused at once, as asking again would not help."""
        with Preheat(url, start_timeout_s=600) as preheat:
            started = time.monotonic()
            with pytest.raises(ScheduleNotFound, match="no schedule has the id"):
                preheat.schedule("0" * 32)
            assert time.monotonic() - started < 60

    @pytest.mark.parametrize(
        ("status", "may_help"),
        [
            *((status, False) for status in (301, 400, 401, 403, 404, 409, 422)),
            *((status, True) for status in (429, 500, 502, 503, 504)),
        ],
    )
    def test_what_may_pass_is_told_from_what_will_not(self, status: int, may_help: bool) -> None:
        """429 and 5xx are retryable, any other refusal is not."""
        # A refusal ends the wait at once; what may pass is waited for.
        timeout_s = 0.2 if may_help else 30
        with serving(always(status, b"{}")) as url, Preheat(url, start_timeout_s=timeout_s) as preheat:
            with pytest.raises(ServiceUnavailable if may_help else RequestRefused) as error:
                preheat.create(SERVED_ALONE)
            assert is_retryable(error.value) is may_help

    @pytest.mark.parametrize("body", [b"", b"<html>login</html>", b"[1]", b"{}", b'{"id": 5}', b"[" * 100_000, b"\xff"])
    def test_a_200_that_is_no_schedule_is_no_answer(self, body: bytes) -> None:
        """A login page or a broken proxy is not taken for a schedule."""
        with serving(always(200, body)) as url:
            assert "the service answered" in why_not_opened(url)

    @pytest.mark.parametrize(
        ("lrs", "stop", "cut"),
        [
            ([0.1] * 20, 21, None),
            ([0.1] * 22, 21, None),
            ([0.1] * 20 + [-0.1], 21, None),
            ([0.1] * 20 + [math.nan], 21, None),
            ([0.1] * 20 + [math.inf], 21, None),
            ([0.1] * 21, 20, None),
            ([0.1] * 21, 21, 100),
            ([0.1] * 21, 21, 0),
            ([0.1] * 21, 21, -1),
        ],
    )
    def test_a_window_that_is_not_what_was_asked_for_is_dropped(
        self, lrs: list[float], stop: int, cut: int | None
    ) -> None:
        """A wrong LR is worse than none."""
        for values, end, length, is_good in (([0.1] * 21, 21, None, True), (lrs, stop, cut, False)):
            app = only_schedules_no_windows(REFERENCE_SPEC, window(values)[:length], end)
            with serving(app) as url, Preheat(url) as preheat:
                if is_good:
                    assert preheat.schedule("f" * 32).lr(3) == 0.1
                else:
                    assert "the service answered" in why_not_opened(url)

    def test_a_closed_client_reads_what_it_has(self, url: str) -> None:
        """A closed client fetches nothing more."""
        with Preheat(url, timeout_s=0.3) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            schedule.lr(1)
        assert schedule.lr(20) == 0.0
        with pytest.raises(ServiceUnavailable, match="closed"):
            schedule.plot("never.png")


def test_threads_end_with_the_client(url: str) -> None:
    """Opening and closing leaves no thread behind."""
    before = threading.active_count()
    for _ in range(20):
        with Preheat(url) as preheat:
            preheat.create(REFERENCE_SPEC).lr(1)
    wait_until(lambda: threading.active_count() <= before + 1, 30)


def always(status: int, body: bytes, place: str = "/") -> Any:
    """An application that answers everything alike."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(b"content-type", b"application/json"), (b"location", b"/elsewhere")]
            headers.append((b"content-location", place.encode()))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    return app


def window(lrs: list[float]) -> bytes:
    """A NPY answer."""
    data = io.BytesIO()
    np.save(data, np.reshape(lrs, (-1, 1)))
    return data.getvalue()


def only_schedules_no_windows(spec: dict[str, Any], npy: bytes | None = None, stop: int = 21) -> Any:
    """An application that knows one schedule, and answers windows with 500 or as told."""
    schedule = {
        "id": "f" * 32,
        "spec": spec,
        "total_iterations": 20,
        "groups": [{"name": "default"}],
        "columns": [{"group": "default", "hyperparameter": "lr"}],
    }
    place = f"/v1/schedules/{schedule['id']}/lr?start=0&stop={stop}&step=1"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/lr"):
            await always(500 if npy is None else 200, npy or b"", place)(scope, receive, send)
        else:
            await always(200, json.dumps(schedule).encode())(scope, receive, send)

    return app
