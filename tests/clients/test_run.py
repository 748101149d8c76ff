"""Run: live runs through HTTP, rule by rule, at a toy service that was written from the rules."""

import copy
import gc
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from preheat_client import (
    CheckpointMismatch,
    InvalidFallback,
    IterationOutOfRange,
    KnowsMore,
    Preheat,
    RunDiffers,
    RunFinished,
    RunOccupied,
    RunState,
    RunSuperseded,
    ScheduleMismatch,
    ServiceUnavailable,
)
from preheat_client._core.logged import report_logged
from preheat_client._runs.reports import MOST_WAITING
from preheat_client.run import Run
from preheat_client.run_status import Change
from preheat_client.schedule import lr_table
from running_service import free_port, wait_until
from support.fake_runs import SPEC
from support.toy_runs import RUN

SOON_S = 60.0


def used(run: Run, start: int, stop: int, pause_s: float = 0.0) -> list[Any]:
    """LRs of updates start … stop − 1, as a loop reads them."""
    lrs = []
    for n in range(start, stop):
        lrs.append(run.lr(n))
        time.sleep(pause_s)
    return lrs


def used_until_answered(run: Run, start: int, attempt: int = 1) -> list[Any]:
    """LRs from `start` on, until the service has answered an attempt again."""
    lrs: list[Any] = []
    while run.status.attempt != attempt or run.status.state is not RunState.READY:
        lrs += used(run, start + len(lrs), start + len(lrs) + 1, 0.001)
        assert len(lrs) < 60_000
    return lrs


def planned(start: int, stop: int, factor: float = 1.0) -> list[float]:
    """What the spec says of them."""
    return [n / 1_000_000 * factor for n in range(start, stop)]


def recorded(runs: Any, attempt: int, start: int, stop: int) -> list[float]:
    """What the service has on record."""
    record = runs.toy.attempts[attempt - 1].record
    return [record[n] for n in range(start, stop)]


def occupy(runs: Any) -> None:
    """Another process trains the run."""
    body = {"token": "another process's", "seen_attempt": 0, "position": 1, "speakers": "one", "lineage": None}
    runs.toy.attach({**body, "take_over": False, "checkpoint": None, "knowledge": None})


class TestLooking:
    """Rule 8: opening, planning, loading and copying only look."""

    def test_opening_and_planning_attach_nobody(self, runs: Any) -> None:
        """Any iteration, in any order; a state that is loaded attaches nobody either."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            assert [run.plan(n) for n in (70_000, 1, 100_000)] == [0.07, 0.000001, 0.1]
            assert list(run.lrs(3, 5)) == planned(3, 5)
            run.load_state_dict({"run": RUN, "iteration": 9, "attempt": None})
            assert copy.deepcopy(run) is run
            assert (run.id, run.label, run.total_iterations, run.group_names) == (RUN, "llama", 100_000, ("default",))
            assert run.spec["target_lr"] == 0.1
            assert run.status.state is RunState.LOOKING
            assert run.state_dict(1) == {"run": RUN, "iteration": 1, "attempt": None}
        assert runs.toy.attempts == []

    def test_a_label_with_another_spec_is_refused(self, runs: Any) -> None:
        """With what differs."""
        with Preheat(runs.url) as preheat, pytest.raises(RunDiffers) as refused:
            preheat.run("differs", SPEC)
        assert refused.value.problem["differences"] == {"target_lr": {"run": 0.1, "yours": 0.2}}
        for part in ("target_lr: the run has 0.1, you gave 0.2", "another label", "replace", "finish and delete"):
            assert part in str(refused.value)
        assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)  # noqa: S301 - ours

    def test_a_finished_run_of_the_label_names_what_can_be_done(self) -> None:
        """There is nothing to change in it, and no spec that would do; whatever an answer lacks is left out."""
        for differences in ({}, {"target_lr": 7}, None):
            problem = {"title": "The label names another run", "detail": "it is finished", "differences": differences}
            text = "The label names another run (409): it is finished; give another label, or delete the finished run"
            assert str(RunDiffers(409, problem)).startswith(text)

    def test_a_run_needs_the_service(self) -> None:
        """Its LRs are the service's alone: no spec, snapshot or fallback stands in at the start."""
        with (
            Preheat(f"http://127.0.0.1:{free_port()}", start_timeout_s=0.1) as preheat,
            pytest.raises(ServiceUnavailable),
        ):
            preheat.run("llama", {"target_lr": 0.1, "total_iterations": 20})
        with Preheat(mode="offline") as preheat, pytest.raises(ValueError, match=r"mode \(offline\) must be online"):
            preheat.run("llama", SPEC)

    def test_a_snapshot_begins_no_run(self, runs: Any, tmp_path: Path) -> None:
        """It is kept of every revision, as of a schedule; but nobody could tell what was changed since."""
        with Preheat(runs.url, snapshot_dir=tmp_path) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            runs.toy.change(0.5)
            wait_until(lambda: len(list(tmp_path.glob("*.preheat"))) == 2, SOON_S)
        runs.service.is_away = True
        with (
            Preheat(runs.url, snapshot_dir=tmp_path, start_timeout_s=0.1) as preheat,
            pytest.raises(ServiceUnavailable),
        ):
            preheat.run("llama", SPEC)

    def test_an_override_file_is_refused_and_not_passed_over(self, runs: Any, tmp_path: Path) -> None:
        """Who put it there must not believe that it is used; a name alone, without a file, is none."""
        path = tmp_path / "override.json"
        with Preheat(runs.url, override_file=path) as preheat:
            assert preheat.run("llama", SPEC).plan(7) == 0.000007
            path.write_text("0.0003")
            with pytest.raises(InvalidFallback, match=r"override_file \(.*override\.json\) must not be there"):
                preheat.run("llama", SPEC)
        with (
            Preheat(runs.url, override_file=path / "below") as preheat,
            pytest.raises(InvalidFallback, match="cannot be looked for"),
        ):
            preheat.run("llama", SPEC)
        assert runs.toy.attempts == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"speakers": "two"}, r"speakers \('two'\) must be one of one, all"),
            ({"patience_s": 0}, r"patience_s \(0\) must be > 0"),
            ({"speakers": "all"}, "needs to know which processes are one job"),
        ],
    )
    def test_options_are_checked(self, runs: Any, options: Any, message: str) -> None:
        """By name, value and rule."""
        with Preheat(runs.url) as preheat, pytest.raises(ValueError, match=message):
            preheat.run("llama", SPEC, **options)

    @pytest.mark.parametrize(
        ("name", "value", "rule"),
        [
            ("take_over", "no", "must be True or False"),
            ("take_over", 1, "must be True or False"),
            ("patience_s", "4", "must be a number of seconds"),
            ("patience_s", True, "must be a number of seconds"),
            ("on_change", 5, "must be a function of two arguments: the run, and the news"),
            ("on_restart", "stop", "must be a function of two arguments: the run, and the news"),
        ],
    )
    def test_arguments_of_another_type_are_refused_at_once(self, runs: Any, name: str, value: Any, rule: str) -> None:
        """By name, value and rule, before anything is asked of the service."""
        with Preheat(runs.url) as preheat, pytest.raises(TypeError, match=re.escape(f"{name} ({value!r}) {rule}")):
            preheat.run("llama", SPEC, **{name: value})
        assert runs.service.requests == []

    @pytest.mark.parametrize("arguments", [(SPEC, "llama"), ("llama", "SGD"), (7, SPEC)])
    def test_what_is_no_label_or_spec_is_named(self, runs: Any, arguments: Any) -> None:
        """Swapped, they are told apart before anything is asked of the service."""
        message = re.escape(f"label ({arguments[0]!r:.80}) must be a string, and spec ({arguments[1]!r:.80}) a mapping")
        with Preheat(runs.url) as preheat, pytest.raises(TypeError, match=message):
            preheat.run(*arguments)

    def test_a_run_is_not_compiled_into_a_table(self, runs: Any) -> None:
        """Its LRs may change: the refusal says so."""
        with Preheat(runs.url) as preheat, pytest.raises(ValueError, match="its LRs may change"):
            lr_table(preheat.run("llama", SPEC))

    def test_a_run_is_opened_again_where_it_is_unpickled(self, runs: Any) -> None:
        """As a schedule is."""
        with Preheat(runs.url) as preheat:
            again = pickle.loads(pickle.dumps(preheat.run("llama", SPEC)))  # noqa: S301 - ours
            assert (again.id, again.plan(7)) == (RUN, 0.000007)


class TestWindows:
    """Rules 1 to 3: windows ahead, acknowledged by the next request, and changes from their own iteration on."""

    def test_what_is_used_is_what_was_handed_out_and_recorded(self, runs: Any) -> None:
        """The first LR attaches, once; position and C are what the service knows."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            assert used(run, 5, 300, 0.001) == planned(5, 300) == recorded(runs, 1, 5, 300)
            status = run.status
            assert (status.state, status.revision, status.attempt, status.position) == (RunState.READY, 1, 1, 299)
            assert status.acknowledged >= 300
        (attempt,) = runs.toy.attempts
        assert (attempt.start, attempt.position, attempt.is_closed) == (5, 299, True)
        assert runs.service.asked("attempts")[0]["seen_attempt"] == 0
        assert len({body["token"] for body in runs.service.asked("windows")}) == 1

    def test_a_heartbeat_comes_whether_a_window_is_needed_or_not(self, runs: Any) -> None:
        """Every half lease, from a loop that stands still."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            before = len(runs.service.asked("windows"))
            wait_until(lambda: len(runs.service.asked("windows")) > before + 4, SOON_S)
            assert run.status.state is RunState.READY

    def test_a_window_is_as_long_as_a_lease(self, runs: Any) -> None:
        """Of 10 ms an iteration and 0.2 s: some 20 ahead, and not hundreds; the client measures it."""
        with Preheat(runs.url) as preheat:
            used(preheat.run("llama", SPEC), 1, 80, 0.01)
            measured = [body["iteration_s"] for body in runs.service.asked("windows")]
        assert measured[0] is None
        assert measured[-1] > 0.008
        assert runs.toy.attempts[0].handed <= 80 + 26

    def test_a_change_is_used_from_its_own_iteration_on(self, runs: Any) -> None:
        """Rule 2: not before, not after; who is asked for it hears why and by whom."""
        heard: list[Any] = []
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC, on_change=lambda run, change: heard.append((run.label, change)))
            before = used(run, 1, 20, 0.001)
            effect = runs.toy.change(0.5)
            after = used(run, 20, effect + 200, 0.001)
            assert before + after == planned(1, effect) + planned(effect, effect + 200, 0.5)
            wait_until(lambda: run.status.last_change is not None and heard, SOON_S)
            assert run.status.revision == 2
            assert run.plan(effect) == planned(effect, effect + 1, 0.5)[0]
            assert run.status.last_change is not None
            assert run.status.last_change.status == "applied"  # the answer that was heard said "scheduled"
        ((label, change),) = heard
        assert (label, change.author, change.why, change.effect) == ("llama", "ann", "spike", effect)
        assert change.operation == {"op": "scale", "factor": 0.5}

    @pytest.mark.parametrize(
        ("said", "effect", "position", "stands"),
        [
            ("scheduled", 40, 40, "scheduled"),
            ("scheduled", 40, 41, "applied"),
            ("applied", 40, 30, "scheduled"),  # a rewind: it is used again, from 40 on
            ("reverted", 40, 41, "reverted"),
            ("missed", None, 41, "missed"),
        ],
    )
    def test_a_change_that_was_heard_of_stands_where_the_loop_is(
        self, said: str, effect: int | None, position: int, stands: str
    ) -> None:
        """Applied from the first iteration that has run with it; what is out of the fold stays as it was told."""
        assert Change("c", {}, "spike", "ann", effect, said).at(position).status == stands

    def test_a_callback_that_fails_reaches_nothing_else(self, runs: Any, caplog: pytest.LogCaptureFixture) -> None:
        """It is logged, and the loop goes on."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC, on_change=lambda _run, _change: 1 // 0)
            used(run, 1, 20, 0.001)
            effect = runs.toy.change(0.5)
            assert used(run, 20, effect + 100, 0.001)[-1] == planned(effect + 99, effect + 100, 0.5)[0]
            wait_until(lambda: "run llama: a callback failed" in caplog.text, SOON_S)
            assert run.status.state is RunState.READY

    def test_an_end_that_moves_is_the_runs(self, runs: Any) -> None:
        """What lies behind the new end is held, and reported as what it is."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            runs.toy.extend(99_960)
            assert used(run, 99_900, 99_961, 0.001) == planned(99_900, 99_961)
            assert run.total_iterations == 99_960
            assert used(run, 99_961, 99_964) == [0.09996] * 3
            assert run.status.state is RunState.OVERRUN
            wait_until(lambda: runs.toy.attempts[0].record.get(99_963) == 0.09996, SOON_S)

    def test_past_the_end_of_a_strict_client(self, runs: Any) -> None:
        """It is refused, as of a schedule; so is an iteration below 0, and what is none."""
        with Preheat(runs.url, strict=True) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(99_999)
            with pytest.raises(IterationOutOfRange, match="100001"):
                run.lr(100_001)
            with pytest.raises(IterationOutOfRange, match="-1"):
                run.lr(-1)
            with pytest.raises(TypeError, match=r"iteration \(2.5\)"):
                run.lr(2.5)  # type: ignore[arg-type]


class TestReports:
    """Reports are sent with the next window, and never in the way."""

    def test_they_arrive_with_the_next_window(self, runs: Any) -> None:
        """Of the attempt that ran the update; NaN is a value."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            for n in range(1, 30):
                run.lr(n)
                run.report(n, loss=1 / n, grad_norm=float("nan"))
            wait_until(lambda: (1, 29, "loss") in runs.toy.reports, SOON_S)
        assert {n: runs.toy.reports[1, n, "loss"] for n in range(1, 30)} == {n: 1 / n for n in range(1, 30)}
        assert runs.toy.reports[1, 3, "grad_norm"] == "NaN"

    def test_those_of_the_last_seconds_arrive_with_the_goodbye(self, runs: Any) -> None:
        """Closing sends what is left."""
        runs.toy.lease_s = 3600.0
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            wait_until(lambda: runs.service.asked("windows"), SOON_S)
            run.report(1, loss=0.5)
        assert runs.toy.reports == {(1, 1, "loss"): 0.5}

    def test_a_service_that_is_away_costs_memory_that_is_bounded(self, runs: Any) -> None:
        """The newest are kept, and how many were dropped is said."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            runs.service.is_away = True
            for n in range(1, 3 * MOST_WAITING):
                run.report(n, loss=1.0)
            assert run.status.dropped_reports >= MOST_WAITING - 2  # one is sent, one waits
            runs.service.is_away = False
            wait_until(lambda: (1, 3 * MOST_WAITING - 1, "loss") in runs.toy.reports, SOON_S)

    def test_many_of_them_are_compressed(self, runs: Any) -> None:
        """A plain request goes as it is, thousands of reports as gzip; all of them arrive."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            runs.service.is_away = True
            for n in range(1, 3001):
                run.report(n, loss=n / 4)
            runs.service.is_away = False
            wait_until(lambda: (1, 3000, "loss") in runs.toy.reports, SOON_S)
        assert {n: runs.toy.reports[1, n, "loss"] for n in range(1, 3001)} == {n: n / 4 for n in range(1, 3001)}
        sent = [each for each in runs.service.sent if each[0] in {"attempts", "windows", "reports"}]
        assert {encoding for _, encoding, size in sent if size < 1000} == {None}
        assert max(size for _, encoding, size in sent if encoding == "gzip") < 40_000  # of some 150,000

    def test_what_the_service_has_no_time_for_follows_at_once(self, runs: Any) -> None:
        """And not half a lease later: each window goes on with the next, and the goodbye with the rest."""
        runs.toy.lease_s, runs.toy.most_reports = 3600.0, 10
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            for n in range(1, 101):
                run.report(n, loss=n / 4)
            run.lr(1)
            wait_until(lambda: (1, 90, "loss") in runs.toy.reports, SOON_S)
            run.report(101, loss=0.25)
        assert runs.toy.reports == {(1, n, "loss"): n / 4 for n in range(1, 101)} | {(1, 101, "loss"): 0.25}

    def test_reports_that_the_service_refuses_do_not_stop_the_heartbeat(
        self, runs: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """They alone are dropped, which is logged and counted, and windows go on."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            runs.service.is_away = True
            run.report(1, loss=0.25)
            run.report(1, poison=1.0)
            run.report(2, loss=0.5)
            runs.service.is_away = False
            wait_until(lambda: "1 reports are dropped" in caplog.text, SOON_S)
            assert used(run, 2, 100, 0.001) == planned(2, 100)
            wait_until(lambda: {(1, 1, "loss"), (1, 2, "loss")} <= runs.toy.reports.keys(), SOON_S)
            used_until_answered(run, 100)
            assert run.status.dropped_reports == 1

    def test_one_after_the_goodbye_is_said_to_be_dropped(self, runs: Any, caplog: pytest.LogCaptureFixture) -> None:
        """Once, and by no error: a loop logs on after its last update."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            run.report(1, loss=1.0)
            run.close()
            assert "close()" not in caplog.text
            run.report(2, loss=1.0)
            run.report(3, loss=1.0)
        assert caplog.text.count("the report of update 2 came after close(): nothing that is reported now is sent") == 1
        assert "update 3" not in caplog.text

    def test_one_without_a_value_is_refused(self, runs: Any) -> None:
        """It would say nothing; what a framework logs without a number is no report."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            with pytest.raises(TypeError, match=r"report\(1\) has no value: give each by its name, such as loss=0.5"):
                run.report(1)
            report_logged(run, 1, {"learning_rate": 0.1, "stage": "warm-up"})

    def test_what_is_no_number_is_refused(self, runs: Any) -> None:
        """By name and value, where it is reported."""
        with Preheat(runs.url) as preheat, pytest.raises(TypeError, match=r"loss \('x'\) must be a number"):
            preheat.run("llama", SPEC).report(1, loss="x")


class TestOutOfReach:
    """Rule 6: one speaker goes on along what it knows, and the record is what it did."""

    def test_an_overrun_becomes_the_record(self, runs: Any) -> None:
        """A change that the job could not know of comes after its end, and no iteration has two LRs."""
        states: list[Any] = []
        with Preheat(runs.url, timeout_s=0.5, on_state_change=lambda _, status: states.append(status.state)) as preheat:
            run = preheat.run("llama", SPEC)
            lrs = used(run, 1, 50, 0.001)
            runs.service.is_away = True
            lrs += used(run, 50, 900, 0.001)
            assert run.status.state is RunState.OVERRUN
            assert "503" in str(run.status.last_error)
            wanted = runs.toy.change(0.5)
            assert wanted < 900
            runs.service.is_away = False
            n = 900
            while run.status.state == "OVERRUN" or run.status.revision == 1:
                lrs += used(run, n, n + 1, 0.001)
                n += 1
                assert n < 60_000
            lrs += used(run, n, n + 50, 0.001)
            wait_until(lambda: runs.toy.attempts[0].position >= n + 49, SOON_S)
            assert lrs == recorded(runs, 1, 1, n + 50)
            change = runs.toy.changes[0]
            effect = change.effects[runs.toy.revision]
            assert effect >= 900
            assert lrs == planned(1, effect) + planned(effect, n + 50, 0.5)
        assert runs.service.asked("windows")[-1]["overrun"] is None
        assert states[:4] == [RunState.READY, RunState.STALE, RunState.OVERRUN, RunState.READY]

    def test_an_answer_that_gets_lost_is_asked_for_again(self, runs: Any) -> None:
        """Rule 1: of an attach it opens nothing twice, of a window it has the same LRs."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            runs.service.loses = {"attempts", "windows"}
            timer = threading.Timer(0.5, runs.service.loses.clear)
            timer.start()
            lrs = used(run, 1, 200, 0.001)
            timer.join()
            lrs += used_until_answered(run, len(lrs) + 1)
            wait_until(lambda: runs.toy.attempts[0].position == len(lrs), SOON_S)
            assert lrs == recorded(runs, 1, 1, len(lrs) + 1) == planned(1, len(lrs) + 1)
        assert len(runs.service.asked("attempts")) > 1
        assert len(runs.toy.attempts) == 1

    def test_a_checkpoint_knows_of_an_overrun(self, runs: Any) -> None:
        """Rule 10: of C, the end of what was told, and the revision; never an LR."""
        with Preheat(runs.url, timeout_s=0.5) as preheat:
            run = preheat.run("llama", SPEC)
            used(run, 1, 30, 0.001)
            runs.service.is_away = True
            used(run, 30, 600, 0.001)
            state = run.state_dict(601)
            overrun = state["overrun"]
            assert overrun["start"] == state["acknowledged"] <= 600 < overrun["end"]
            assert (overrun["revision"], state["attempt"], state["iteration"]) == (1, 1, 601)
        runs.service.is_away = False
        runs.toy.is_alive = False
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.load_state_dict(state)
            assert used(run, 601, 620) == planned(601, 620)
        assert recorded(runs, 1, 1, 601) == planned(1, 601)


class TestAttempts:
    """Rules 8 and 9: one life of the job at a time."""

    def test_a_zombie_raises(self, runs: Any) -> None:
        """Who is taken over gets no more LRs, not even those in memory, and says so."""
        with Preheat(runs.url) as old, Preheat(runs.url) as new:
            zombie = old.run("llama", SPEC)
            zombie.lr(1)
            new.run("llama", SPEC, take_over=True).lr(1)
            wait_until(lambda: zombie.status.state is RunState.SUPERSEDED, SOON_S)
            with pytest.raises(RunSuperseded):
                zombie.lr(2)
            assert len(runs.toy.attempts) == 2

    def test_an_occupied_run_is_waited_for(self, runs: Any) -> None:
        """Until the other one has said goodbye, or was not heard of; the same request again."""
        occupy(runs)
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            timer = threading.Timer(0.3, runs.toy.close, [1, {"token": "another process's", "position": 1}])
            timer.start()
            assert run.lr(5) == 0.000005
            timer.join()
        bodies = runs.service.asked("attempts")
        assert len(bodies) >= 2
        assert bodies[0] == bodies[-1]

    def test_patience_has_an_end(self, runs: Any) -> None:
        """It waits that long, however much later it is told to ask again, asks once more, and may be tried later."""
        runs.toy.again_after_s = 3600
        occupy(runs)
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC, patience_s=0.5)
            began = time.monotonic()
            with pytest.raises(RunOccupied):
                run.lr(1)
            assert time.monotonic() - began >= 0.5
            assert len(runs.service.asked("attempts")) == 2
            runs.toy.is_alive = False
            assert run.lr(1) == 0.000001

    def test_a_goodbye_ends_the_loop(self, runs: Any) -> None:
        """What is still in memory is not used either."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            run.close()
            assert run.status.state is RunState.CLOSED
            with pytest.raises(ServiceUnavailable, match="goodbye"):
                run.lr(2)

    def test_a_process_does_not_wait_for_itself(self, runs: Any) -> None:
        """A run that is opened twice and used twice: the second is refused at once, until the first is closed."""
        with Preheat(runs.url) as one, Preheat(runs.url) as other:
            first = one.run("llama", SPEC)
            first.lr(1)
            for preheat in (one, other):
                run = preheat.run("llama", SPEC)
                assert run.plan(7) == 0.000007
                with pytest.raises(RuntimeError, match=r"trains run llama already.*the same Run to every optimizer"):
                    run.lr(1)
            assert len(runs.service.asked("attempts")) == 1
            first.close()
            assert run.lr(2) == 0.000002
            third = one.run("llama", SPEC, take_over=True)
            assert third.lr(3) == 0.000003

    def test_a_run_that_was_dropped_without_a_goodbye_is_not_waited_for(self, runs: Any) -> None:
        """Nobody of this process speaks for that attempt any more; it is not another process's."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            del run
            gc.collect()
            assert preheat.run("llama", SPEC).lr(2) == 0.000002
        assert [body["take_over"] for body in runs.service.asked("attempts")] == [False, True]

    @pytest.mark.parametrize("is_away", [False, True])
    def test_an_iteration_far_ahead_is_refused_and_nothing_is_handed_out_for_it(
        self, runs: Any, *, is_away: bool
    ) -> None:
        """A count of samples in the place of updates must not use up the run; the loop goes on where it was."""
        runs.toy.total = 10**9
        with Preheat(runs.url, timeout_s=0.5) as preheat:
            run = preheat.run("llama", SPEC)
            assert used(run, 1, 40) == planned(1, 40)
            runs.service.is_away = is_away
            for far in (200_000, 10**12):
                with pytest.raises(IterationOutOfRange, match=rf"iteration \({far}\) must be in 0 … .*used in order"):
                    run.lr(far)
            runs.service.is_away = False
            assert used(run, 40, 80) == planned(40, 80)
            assert run.lr(20_000) == planned(20_000, 20_001)[0]
        assert runs.toy.attempts[0].handed < 60_000
        assert max(body["position"] for body in runs.service.asked("windows")) == 20_000

    def test_who_saw_another_attempt_does_not_attach(self, runs: Any) -> None:
        """Somebody was faster, between opening and the first update."""
        with Preheat(runs.url) as one, Preheat(runs.url) as other:
            late = one.run("llama", SPEC)
            other.run("llama", SPEC).lr(1)
            with pytest.raises(RunSuperseded):
                late.lr(1)

    def test_a_finished_run_gives_nothing_more(self, runs: Any) -> None:
        """Its loop ends with it."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            runs.toy.is_finished = True
            wait_until(lambda: run.status.state is RunState.FINISHED, SOON_S)
            with pytest.raises(RunFinished):
                run.lr(2)

    def test_a_loop_that_goes_back_opens_an_attempt(self, runs: Any) -> None:
        """A checkpoint that is loaded in the same process: the same LRs again, on record as another life."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            used(run, 1, 10)
            state = run.state_dict(10)
            used(run, 10, 60)
            run.report(59, loss=0.25)
            run.load_state_dict(state)
            assert len(runs.toy.attempts) == 1
            assert used(run, 10, 30) == planned(10, 30)
            run.report(29, loss=0.5)
            wait_until(lambda: (2, 29, "loss") in runs.toy.reports, SOON_S)
        first, second = runs.toy.attempts
        assert (first.is_closed, second.start) == (True, 10)
        assert runs.toy.reports[1, 59, "loss"] == 0.25
        checkpoint = runs.service.asked("attempts")[1]["checkpoint"]
        assert (checkpoint["attempt"], checkpoint["position"], checkpoint["run"]) == (1, 10, RUN)

    def test_reports_of_an_attempt_are_never_those_of_the_next(self, runs: Any) -> None:
        """What could not be said at the goodbye is dropped, and counted."""
        runs.toy.lease_s = 3600.0
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            used(run, 1, 10)
            state = run.state_dict(10)
            runs.service.loses = {"windows", "close"}
            run.report(9, loss=0.25)
            run.load_state_dict(state)
            timer = threading.Timer(0.5, runs.service.loses.clear)
            timer.start()
            assert used(run, 10, 20) == planned(10, 20)
            timer.join()
            assert run.status.dropped_reports == 1
        assert (2, 9, "loss") not in runs.toy.reports

    def test_a_state_of_something_else_is_refused(self, runs: Any) -> None:
        """With both values; what only the service can know is refused by it, at the first update."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            with pytest.raises(ScheduleMismatch, match=f"run {'b' * 32}, this is run {RUN}"):
                run.load_state_dict({"run": "b" * 32, "iteration": 5, "attempt": 1})
            with pytest.raises(ScheduleMismatch, match=r"schedule cafe.*first_iteration=5"):
                run.load_state_dict({"schedule_id": "cafe", "iteration": 5})
            with pytest.raises(TypeError, match="must be a dict"):
                run.load_state_dict(7)  # type: ignore[arg-type]
            run.lr(1)
            run.load_state_dict({**run.state_dict(7)})
            with pytest.raises(CheckpointMismatch) as refused:
                run.lr(8)
            assert (refused.value.problem["checkpoint"], refused.value.problem["run"]) == (7, 8)

    def test_a_state_that_is_not_whole_is_refused_by_the_field(self, runs: Any) -> None:
        """Whatever it lacks or has instead, where it is loaded, and by RemoteLR too."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            overrun = {"start": 1, "end": 2, "revision": 1}
            whole = {**run.state_dict(2), "overrun": overrun}
            for name in whole.keys() - {"run"}:
                with pytest.raises(
                    ScheduleMismatch, match=f"run {RUN} is not whole: {name} is missing, and it has .*run"
                ):
                    run.load_state_dict({key: value for key, value in whole.items() if key != name})
            wrong = {"iteration": -1, "attempt": "1", "revision": 1.0, "acknowledged": None, "overrun": {"start": 1}}
            for name, value in wrong.items():
                with pytest.raises(ScheduleMismatch, match=rf"{name} \(.*\) is not what state_dict\(\) has there"):
                    run.load_state_dict({**whole, name: value})
            run.load_state_dict(whole)

    def test_a_restart_that_is_asked_for_is_told_once(self, runs: Any) -> None:
        """Rule 8: to the callback and in the run; the next attempt is not asked."""
        asked: list[Any] = []
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC, on_restart=lambda _, restart: asked.append(restart))
            used(run, 1, 5)
            assert run.restart_requested is None
            runs.toy.restart = {"position": 3, "changes": "drop", "why": "bad GPU", "author": "ann"}
            wait_until(lambda: run.restart_requested and asked, SOON_S)
            assert run.status.restart == run.restart_requested == asked[0]
            assert (asked[0].position, asked[0].changes, asked[0].why, asked[0].author) == (3, "drop", "bad GPU", "ann")
            run.load_state_dict(run.state_dict(3))
            run.lr(3)
            assert run.restart_requested is None
        assert len(asked) == 1

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
    def test_a_fork_is_another_process(self, runs: Any) -> None:
        """A DataLoader's worker sends no heartbeats, and the parent goes on."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            run.lr(1)
            child = os.fork()
            if child == 0:
                os._exit(run.status.state is RunState.READY and run.state_dict(1)["attempt"] is None and 7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            assert used(run, 1, 60, 0.001) == planned(1, 60)
        assert len(runs.toy.attempts) == 1

    def test_an_exit_says_goodbye(self, runs: Any, tmp_path: Path) -> None:
        """A script that just ends: its last reports arrive, and the next job need not wait."""
        script = (
            "import sys; from preheat_client import Preheat; from support.fake_runs import SPEC\n"
            "run = Preheat(sys.argv[1]).run('llama', SPEC)\n"
            "for n in range(1, 4): run.lr(n); run.report(n, loss=n)\n"
        )
        environment = {**os.environ, "PYTHONPATH": "tests"}
        root = Path(__file__).parents[2]
        subprocess.run([sys.executable, "-c", script, runs.url], cwd=root, env=environment, check=True, timeout=60)
        assert runs.toy.attempts[0].is_closed
        assert runs.toy.reports == {(1, n, "loss"): float(n) for n in range(1, 4)}
        del tmp_path


def test_a_service_that_was_restored_takes_what_the_job_knows(runs: Any) -> None:
    """Rule 14: it has lost the attempt and a change; the job attaches anew by itself, and goes on at the same LRs."""
    backup = copy.deepcopy(runs.toy)
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        used(run, 1, 20, 0.001)
        runs.toy.change(0.5)
        n = 20
        while run.status.revision == 1:
            used(run, n, n + 1, 0.001)
            n += 1
        wait_until(lambda: run.plan(90_000) == 0.045, SOON_S)
        lost = runs.toy
        backup.changes, backup.generation = lost.changes, 2
        runs.service.toy = backup
        lrs = used(run, n, n + 400, 0.001)
        assert lrs == planned(n, n + 400, 0.5)
        wait_until(lambda: backup.attempts and backup.attempts[0].position >= n + 399, SOON_S)
        knowledge = [body["knowledge"] for body in runs.service.asked("attempts")][-1]
        assert (knowledge["attempt"], knowledge["revision"]) == (1, 2)
        assert knowledge["spec"]["target_lr"] == 0.1
        assert knowledge["bound"] == backup.attempts[0].start
        assert run.status.state is RunState.READY


class TestLostAnswerAfterARestore:
    """Rule 14, and the answer to the attach that tells what the job knows is lost: it may have opened an attempt."""

    def test_it_is_asked_for_again_before_anything_else(self, runs: Any) -> None:
        """With the same token: a window of the attempt before would be refused, and end a job that is well."""
        backup = copy.deepcopy(runs.toy)
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            lrs = used(run, 1, 20, 0.001)
            runs.service.loses = {"attempts"}
            runs.service.toy = backup
            wait_until(lambda: len(runs.service.asked("attempts")) >= 4, SOON_S)
            lrs += used(run, 20, 40, 0.001)
            runs.service.loses = set()
            lrs += used_until_answered(run, len(lrs) + 1, attempt=2)
            wait_until(lambda: backup.attempts[0].position == len(lrs), SOON_S)
            assert lrs == planned(1, len(lrs) + 1)
            start = backup.attempts[0].start
            assert [backup.attempts[0].record[n] for n in range(start, len(lrs) + 1)] == lrs[start - 1 :]
        assert len({body["token"] for body in runs.service.asked("attempts")}) == 2
        assert [attempt.is_closed for attempt in backup.attempts] == [True]

    def test_a_rewind_leaves_that_attempt(self, runs: Any) -> None:
        """Another token with what was seen before would be refused: somebody else's attempt, it would seem."""
        backup = copy.deepcopy(runs.toy)
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            used(run, 1, 20)
            state = run.state_dict(10)
            runs.service.loses = {"attempts"}
            runs.service.toy = backup
            wait_until(lambda: len(runs.service.asked("attempts")) >= 3, SOON_S)
            run.load_state_dict(state)
            timer = threading.Timer(0.5, runs.service.loses.clear)
            timer.start()
            assert used(run, 10, 40) == planned(10, 40)
            timer.join()
        assert [(attempt.number, attempt.is_closed) for attempt in backup.attempts][-1] == (3, True)


def test_a_checkpoint_of_a_lost_attempt_is_taken_as_a_fact(runs: Any) -> None:
    """Rule 14, of a process that was restarted too: it says what its checkpoint knows, and goes on."""
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        used(run, 1, 40)
        state = run.state_dict(40)
    runs.toy.attempts.clear()
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        run.load_state_dict(state)
        assert used(run, 40, 60) == planned(40, 60)
    knowledge = runs.service.asked("attempts")[-1]["knowledge"]
    assert (knowledge["attempt"], knowledge["revision"], knowledge["bound"]) == (1, 1, state["acknowledged"])
    assert runs.toy.attempts[0].number == 2


def test_a_revision_that_nobody_knows_any_more_is_an_error(runs: Any) -> None:
    """The checkpoint has its number and no LRs: to go on without it would undo what somebody changed."""
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        run.lr(1)
        run.load_state_dict({**run.state_dict(2), "revision": 7})
        with pytest.raises(KnowsMore) as refused:
            run.lr(2)
        assert refused.value.problem["lost"] == {"revision": [7, 1]}


def test_a_revision_is_used_when_the_loop_could_go_on_along_it(runs: Any) -> None:
    """Rule 6: a service that is lost just after it handed out a change must not make the loop go back behind it."""
    with Preheat(runs.url, timeout_s=0.3) as preheat:
        run = preheat.run("llama", SPEC)
        lrs = used(run, 1, 40, 0.001)
        runs.service.hidden = set(range(2, 5000))  # facts that move a change make another one
        effect = runs.toy.change(0.5)
        lrs += used(run, 40, effect + 300, 0.001)
        assert lrs == planned(1, effect + 300)  # not yet
        runs.service.hidden = set()
        n = effect + 300
        while lrs[-1] == planned(n - 1, n)[0]:
            lrs += used(run, n, n + 1, 0.001)
            n += 1
            assert n < 90_000
        runs.service.is_away = True
        lrs += used(run, n, n + 500, 0.001)
        assert str(run.status.state) == "OVERRUN"
        assert lrs[n:] == planned(n + 1, n + 500, 0.5)
        runs.service.is_away = False
        wait_until(lambda: runs.toy.attempts[0].position == n + 499, SOON_S)
        assert lrs == recorded(runs, 1, 1, n + 500)


def test_an_overrun_is_no_longer_than_windows_are(runs: Any) -> None:
    """A service that hands out eight iterations at most would take no report of one that goes further ahead."""
    runs.toy.cap = 8
    with Preheat(runs.url, timeout_s=1) as preheat:
        run = preheat.run("llama", SPEC)
        lrs = used(run, 1, 30)
        runs.service.is_away = True
        lrs += used(run, 30, 100)
        assert str(run.status.state) == "OVERRUN"
        runs.service.is_away = False
        wait_until(lambda: runs.toy.attempts[0].position == 99, SOON_S)
        lrs += used(run, 100, 120)
        assert run.status.state is RunState.READY
        assert lrs == recorded(runs, 1, 1, 120) == planned(1, 120)


class TestManySpeakers:
    """Rule 7: every process asks, and none goes on alone."""

    @pytest.fixture
    def job(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What torchrun says."""
        for name, value in {"TORCHELASTIC_RUN_ID": "job-1", "WORLD_SIZE": "2", "RANK": "0"}.items():
            monkeypatch.setenv(name, value)

    @pytest.mark.usefixtures("job")
    def test_they_share_one_attempt(self, runs: Any) -> None:
        """The second joins, by the job's name, and says the token that it is answered."""
        with Preheat(runs.url) as one, Preheat(runs.url) as other:
            first, second = one.run("llama", SPEC, speakers="all"), other.run("llama", SPEC, speakers="all")
            assert used(first, 1, 40) == used(second, 1, 40) == planned(1, 40)
            assert first.status.attempt == second.status.attempt == 1
            first.close()
            assert used(second, 40, 80) == planned(40, 80)
        assert len({body["token"] for body in runs.service.asked("windows")}) == 1
        assert not runs.toy.attempts[0].is_closed

    @pytest.mark.usefixtures("job")
    def test_an_outage_is_waited_for_and_then_raised(self, runs: Any) -> None:
        """Nobody could tell the others."""
        with Preheat(runs.url, timeout_s=2) as preheat:
            run = preheat.run("llama", SPEC, speakers="all", patience_s=0.5)
            run.lr(1)
            runs.service.is_away = True
            with pytest.raises(ServiceUnavailable):
                used(run, 2, 5000)
            assert all(body["overrun"] is None for body in runs.service.asked("windows"))

    @pytest.mark.usefixtures("job")
    def test_several_processes_that_could_not_agree_are_refused(self, runs: Any) -> None:
        """One speaker of two processes, without a process group: at the first update, not where it is opened."""
        with Preheat(runs.url) as preheat:
            run = preheat.run("llama", SPEC)
            with pytest.raises(ValueError, match="one of 2 processes"):
                run.lr(1)
        assert runs.toy.attempts == []
