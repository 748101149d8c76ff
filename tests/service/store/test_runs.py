"""Live runs in the database: what was saved is what is read, one transaction after the other, on both kinds."""

import math
import re
import sqlite3
import threading
from contextlib import closing, suppress
from typing import Any

import pytest
from sqlalchemy import event, text

from live_runs.script import CONSTANT, LIMITS
from live_runs.shelf import Shelf
from preheat.errors import ScheduleInUse, ScheduleNotFound, StoreUnavailable
from preheat.runs import attempts, changes, making, windows
from preheat.runs.draft import Outcome
from preheat.runs.errors import EventsTrimmed, KeyReused, RunAlive, RunDiffers, RunNotFound
from preheat.runs.limits import Limits
from preheat.runs.reports import Report, report
from preheat.runs.run import Run
from preheat.schedule import Schedule
from preheat.store import Database, ScheduleStore
from preheat.store.retention import Retention
from preheat.store.run_history import Extents, RunHistory, reported_names, reports_under
from preheat.store.run_lists import RunSearch, count_by_state, list_runs
from preheat.store.runs import RunStore

NOW = 1000.0
BASE = Schedule.of(CONSTANT)


class Curves(Shelf):
    """Curves of what a store has."""

    def __init__(self, schedules: ScheduleStore) -> None:
        super().__init__()
        self._schedules = schedules

    def curve(self, schedule_id: str) -> Any:
        """The curve of a schedule that is stored."""
        return self.curve_of(self._schedules.get(schedule_id))


@pytest.fixture
def runs(database: Database) -> RunStore:
    """The runs in it."""
    return RunStore(database, LIMITS)


@pytest.fixture
def curves(store: ScheduleStore) -> Curves:
    """Curves of the schedules in it."""
    return Curves(store)


def made(runs: RunStore, run_id: str = "a" * 32, label: str = "llama", base: Schedule = BASE) -> Run:
    """A new run."""
    run, is_new = runs.make(making.make(run_id, label, base, NOW), lambda _: False)
    assert is_new
    return run


def attach(runs: RunStore, run_id: str, curves: Curves, position: int = 1, number: int = 1) -> Outcome[Any]:
    """A process attaches."""
    with runs.held(run_id) as held:
        request = attempts.AttachRequest(f"t{number}", held.run.attempt_number, position, take_over=True)
        outcome = attempts.attach(held.run, request, NOW, curves, held.reports, LIMITS)
        held.save(outcome)
    return outcome


def ask(runs: RunStore, run_id: str, curves: Curves, position: int, number: int = 1) -> windows.Window:
    """Its speaker asks for a window, with everything that was handed out."""
    with runs.held(run_id) as held:
        run = held.run
        request = windows.WindowRequest(run.attempt_number, f"t{number}", position, run.horizon, run.revision)
        outcome = windows.hand_out(run, request, NOW, curves, LIMITS)
        held.save(outcome)
    return outcome.answer


def run_to(runs: RunStore, run_id: str, curves: Curves, position: int) -> None:
    """The job runs until `position` is the next iteration."""
    at = 1
    while at < position:
        at = min(ask(runs, run_id, curves, at).stop, position)
    ask(runs, run_id, curves, position)


def change(runs: RunStore, run_id: str, curves: Curves, key: str, **fields: Any) -> changes.Accepted:
    """Somebody changes it, having just looked."""
    with runs.held(run_id) as held:
        when = {name: fields.pop(name) for name in ("at",) if name in fields}
        request = changes.ChangeRequest({"op": "scale", "factor": 0.5, **fields}, "spike", "ann", **when)
        precondition = changes.Precondition(held.run.etag, key)
        outcome = changes.change(held.run, request, precondition, f"c-{key}", NOW, curves, LIMITS)
        held.save(outcome)
    return outcome.answer


def tell(runs: RunStore, run_id: str, curves: Curves, *values: tuple[int, float]) -> int:
    """The speaker reports its loss; returns how many reports were stored."""
    with runs.held(run_id) as held:
        attempt = held.run.attempt_number
        batch = tuple(Report(n, "loss", value) for n, value in values)
        outcome = report(held.run, attempt, "t1", batch, held.known(attempt, batch), NOW, curves, LIMITS)
        held.save(outcome, outcome.answer, attempt)
    return len(outcome.answer)


def test_what_was_saved_is_what_another_process_reads(database_url: str, runs: RunStore, curves: Curves) -> None:
    """After each kind of request the run in memory is that of the database, whole."""
    run_id = made(runs).id

    def whole() -> Run:
        with closing(Database(database_url, 30)) as other:
            return RunStore(other, LIMITS).get(run_id)

    assert whole() == runs.get(run_id)
    attach(runs, run_id, curves)
    assert ask(runs, run_id, curves, 1).stop == 11
    change(runs, run_id, curves, "k1")
    change(runs, run_id, curves, "k2", param_groups=["default"])
    assert whole() == runs.get(run_id)
    attach(runs, run_id, curves, 5, 2)
    ask(runs, run_id, curves, 5, 2)
    found = whole()
    assert found == runs.get(run_id)
    assert [each.handed for each in found.attempts] == [11, 15]
    assert [each.effect for each in found.changes] == [11, 11]
    assert (found.horizon, found.revision, len(found.keys), found.base) == (15, 3, 2, BASE.text)


def test_a_transaction_that_fails_leaves_nothing(runs: RunStore, curves: Curves) -> None:
    """Neither in the database nor in memory: no event, no report, no schedule, and H is where it was."""
    run_id = made(runs).id
    attach(runs, run_id, curves)
    before, last = runs.get(run_id), RunHistory(runs.database).last_event(run_id)
    with suppress(KeyboardInterrupt), runs.held(run_id) as held:
        request = windows.WindowRequest(1, "t1", 1, 1, 1)
        held.save(windows.hand_out(held.run, request, NOW, curves, LIMITS))
        asked = changes.ChangeRequest({"op": "scale", "factor": 0.77}, "spike", "ann")
        outcome = changes.change(held.run, asked, changes.Precondition(held.run.etag, "k"), "c", NOW, curves, LIMITS)
        held.save(outcome, [Report(3, "loss", 1.0)], 1)
        raise KeyboardInterrupt
    assert runs.get(run_id) == before
    assert RunHistory(runs.database).last_event(run_id) == last
    assert RunHistory(runs.database).series(run_id, 1, "loss", 0, 99, 99).iterations == []
    assert outcome.schedule is not None
    with pytest.raises(ScheduleNotFound):
        ScheduleStore(runs.database).get(outcome.schedule.id)
    assert ask(runs, run_id, curves, 1).start == 1


def test_requests_at_once_come_one_after_the_other(database_url: str, runs: RunStore, curves: Curves) -> None:
    """Of four processes on one database each makes changes and asks for windows; none is lost, and E ≥ H for each."""
    run_id = made(runs).id
    attach(runs, run_id, curves)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with closing(Database(database_url, 30)) as own:
                mine = RunStore(own, LIMITS)
                for number in range(6):
                    before = mine.get(run_id).horizon
                    answer = change(mine, run_id, Curves(ScheduleStore(own)), f"{name}-{number}", factor=0.9)
                    assert answer.effect is not None
                    assert answer.effect >= before
                    ask(mine, run_id, Curves(ScheduleStore(own)), mine.get(run_id).horizon)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    run = runs.get(run_id)
    assert len({each.id for each in run.changes}) == 24
    assert run.revision == 25
    numbers = [event.number for event in RunHistory(runs.database).events(run_id, 0, 1000)]
    assert numbers == list(range(1, run.events + 1))


def test_a_key_is_answered_once_by_any_process(database_url: str, runs: RunStore, curves: Curves) -> None:
    """A retry in another process, with the ETag of before, is the same change; another body under it is an error."""
    run_id = made(runs).id
    first, etag = change(runs, run_id, curves, "key"), '"1.1.0"'
    with closing(Database(database_url, 30)) as other, RunStore(other, LIMITS).held(run_id) as held:
        for factor, is_known in ((0.5, True), (0.6, False)):
            request = changes.ChangeRequest({"op": "scale", "factor": factor}, "spike", "ann")
            precondition = changes.Precondition(etag, "key")
            if is_known:
                again = changes.change(held.run, request, precondition, "other", NOW, curves, LIMITS).answer
                assert (again.change, again.is_repeated) == (first.change, True)
            else:
                with pytest.raises(KeyReused):
                    changes.change(held.run, request, precondition, "other", NOW, curves, LIMITS)


def test_the_oldest_keys_are_forgotten(database: Database, curves: Curves) -> None:
    """In the database as in the run."""
    runs = RunStore(database, LIMITS)
    run_id = made(runs).id
    few = Limits(most_keys=2)
    for number in range(4):
        with runs.held(run_id) as held:
            request = changes.ChangeRequest({"op": "scale", "factor": 0.9}, "spike", "ann")
            precondition = changes.Precondition(held.run.etag, f"k{number}")
            held.save(changes.change(held.run, request, precondition, f"c{number}", NOW, curves, few))
    with database.transaction() as connection:
        kept = connection.execute(text("SELECT key FROM run_keys ORDER BY number")).scalars().all()
    assert kept == ["k2", "k3"]
    assert [each.key for each in RunStore(database, LIMITS).get(run_id).keys] == kept


def test_of_many_that_make_a_run_of_one_label_one_makes_it(database_url: str, database: Database) -> None:
    """The others find it; one that wants another spec under the label is told the difference."""
    database.check()
    found: list[tuple[str, bool]] = []

    def make(number: int) -> None:
        with closing(Database(database_url, 30)) as own:
            outcome = making.make(f"{number:032x}", "llama", BASE, NOW)

            def will_do(run: Run) -> bool:
                making.check_same(run, BASE)
                return True

            run, is_new = RunStore(own, LIMITS).make(outcome, will_do)
            found.append((run.id, is_new))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run_id for run_id, _ in found}) == 1
    assert sorted(is_new for _, is_new in found) == [False] * 4 + [True]
    other = Schedule.of({**CONSTANT, "target_lr": 0.2})

    def differs(run: Run) -> bool:
        making.check_same(run, other)
        return True

    with pytest.raises(RunDiffers, match="target_lr"):
        RunStore(database, LIMITS).make(making.make("f" * 32, "llama", other, NOW), differs)


def test_reports_come_back_as_they_were_told(runs: RunStore, curves: Curves) -> None:
    """Every bit, NaN and infinities too; the same again is not stored."""
    run_id = made(runs).id
    attach(runs, run_id, curves)
    ask(runs, run_id, curves, 1)
    values = [(1, 0.1 + 0.2), (2, float("inf")), (3, -0.0), (4, 5e-324), (5, float("nan")), (6, 1e308)]
    assert tell(runs, run_id, curves, *values) == 6
    assert tell(runs, run_id, curves, *values, (7, 1.0)) == 1
    series = RunHistory(runs.database).series(run_id, 1, "loss", 2, 99, 4)
    assert (series.iterations, series.names, series.next) == ([2, 3, 4, 5], ["loss"], 6)
    assert [repr(value) for value in series.values] == ["inf", "-0.0", "5e-324", "nan"]
    with runs.held(run_id) as held:
        assert held.report_count == 7


def test_reports_in_few_parts_have_every_extreme_and_the_newest(runs: RunStore, curves: Curves) -> None:
    """However few the parts and whatever the window: the lowest and highest of each, and where it is no number."""
    run_id = made(runs).id
    attach(runs, run_id, curves)
    run_to(runs, run_id, curves, 301)
    values = {n: (n * 37 % 101) / 8 for n in range(1, 301) if not 40 < n < 60}
    odd = {50: float("nan"), 51: float("inf"), 52: float("-inf")}
    tell(runs, run_id, curves, *{**values, **odd, 123: 5e20, 300: -1.5}.items())
    values |= {123: 5e20, 300: -1.5}
    history = RunHistory(runs.database)
    for window, most in (
        (range(1001), 7),
        (range(7, 301), 5),
        (range(45, 56), 3),
        (range(90, 301), 4000),
        (range(1), 1),
    ):
        length = math.ceil(len(window) / most)
        columns = [range(first, first + length) for first in window[::length]]
        filled = [[n for n in column if n in values and n in window] for column in columns]
        wanted = [
            (min(have), max(have), min(values[n] for n in have), max(values[n] for n in have))
            for have in filled
            if have
        ]
        others = [[n for n in column if n in odd and n in window] for column in columns]
        found = history.extents(run_id, 1, "loss", window, most)
        assert found.numbers == wanted
        assert found.others == [(min(have), max(have), len(have)) for have in others if have]
        assert len(wanted) <= most
    assert history.extents(run_id, 1, "acc", range(301), 9) == Extents([], [])


def test_looking_for_what_a_batch_has_reads_no_more_than_that(runs: RunStore, curves: Curves) -> None:
    """However much an attempt has reported: by every column of the index, in statements of a bounded size."""
    run_id = made(runs).id
    attach(runs, run_id, curves)
    run_to(runs, run_id, curves, 301)
    tell(runs, run_id, curves, *((n, n / 8) for n in range(1, 301)))
    batch = [Report(n, name, 0.0) for n in range(200, 400) for name in ("acc", "loss")]
    asked: list[tuple[str, Any]] = []
    with runs.database.transaction() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
        found = reports_under(connection, run_id, 1, batch)
        statements = list(asked)
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        plans = [str([*map(tuple, connection.exec_driver_sql(explain + sql, given))]) for sql, given in statements]
    assert found == {(n, "loss"): n / 8 for n in range(200, 301)}
    assert len(statements) == 4
    for plan in plans:
        assert re.search(r"attempt=\? AND name=\? AND iteration=\?|Index Cond: .*name = .*iteration = ", plan), plan


def test_the_names_of_reports_are_found_without_reading_every_report(runs: RunStore, curves: Curves) -> None:
    """By a look for the least one behind the last, each of which ends with the first row that it finds."""
    run_id = made(runs).id
    attach(runs, run_id, curves)
    run_to(runs, run_id, curves, 101)
    with runs.held(run_id) as held:
        batch = tuple(Report(n, name, 0.5) for n in range(1, 101) for name in ("loss", "acc", "a b", "é"))
        held.save(report(held.run, 1, "t1", batch, {}, NOW, curves, LIMITS), batch, 1)
    asked: list[str] = []
    with runs.database.transaction() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
        assert sorted(reported_names(connection, run_id, 1)) == ["a b", "acc", "loss", "é"]
        assert reported_names(connection, run_id, 2) == []
    assert len(asked) == 5 + 1
    assert not any("DISTINCT" in sql for sql in asked)


def test_the_newest_events_are_kept(database: Database, curves: Curves) -> None:
    """What was trimmed is an error that says where events begin; numbers stay without a gap."""
    runs = RunStore(database, Limits(most_events=5))
    history = RunHistory(database)
    run_id = made(runs).id
    for number in range(4):
        change(runs, run_id, curves, f"k{number}", factor=0.9)
    last = history.last_event(run_id)
    assert [event.number for event in history.events(run_id, last - 5, 9)] == list(range(last - 4, last + 1))
    with pytest.raises(EventsTrimmed) as refused:
        history.events(run_id, last - 6, 9)
    assert refused.value.members == {"first": last - 4}
    assert history.events(run_id, last, 9) == []
    with pytest.raises(EventsTrimmed, match=f"the last is {last}"):
        history.events(run_id, last + 1, 9)
    with pytest.raises(RunNotFound):
        history.events("0" * 32, 0, 9)


def test_runs_are_listed_by_label_and_state(database: Database, curves: Curves) -> None:
    """Newest first, page by page; the states of the list are those of the runs, at any time."""
    runs = RunStore(database, LIMITS)
    ids = [made(runs, f"{number:032x}", label).id for number, label in enumerate(["a", "ab", "b", "b"])]
    attach(runs, ids[1], curves)
    with runs.held(ids[2]) as held:
        held.save(making.finish(held.run, "ann", NOW))
    page = list_runs(database, RunSearch(), 3, None, NOW)
    assert page.ids == ids[:0:-1]
    assert list_runs(database, RunSearch(), 3, page.next, NOW).ids == ids[:1]
    assert list_runs(database, RunSearch(label="b"), 9, None, NOW).ids == [ids[3], ids[2]]
    assert list_runs(database, RunSearch(label_prefix="a"), 9, None, NOW).ids == [ids[1], ids[0]]
    for now, state in ((NOW, "RUNNING"), (NOW + 10, "RUNNING"), (NOW + 10.5, "SILENT")):
        found = count_by_state(database, now)
        assert (found["WAITING"], found["FINISHED"], found[state]) == (2, 1, 1)  # type: ignore[index]
        assert list_runs(database, RunSearch(state=state), 9, None, now).ids == [ids[1]]  # type: ignore[arg-type]


def test_a_run_keeps_its_schedules_until_it_is_deleted(runs: RunStore, store: ScheduleStore, curves: Curves) -> None:
    """The base and every revision; a run that is alive is not deleted."""
    run_id = made(runs).id
    attach(runs, run_id, curves)
    change(runs, run_id, curves, "k")
    revision = runs.get(run_id).schedule_id
    for schedule_id in (BASE.id, revision):
        with pytest.raises(ScheduleInUse, match=run_id):
            store.delete(schedule_id)
    with pytest.raises(RunAlive):
        runs.delete(run_id, lambda run: making.check_deletable(run, NOW))
    runs.delete(run_id, lambda run: making.check_deletable(making.finish(run, "ann", NOW).run, NOW))
    for look in (runs.get, RunHistory(runs.database).last_event):
        with pytest.raises(RunNotFound):
            look(run_id)
    with pytest.raises(RunNotFound), runs.held(run_id):
        pass
    for schedule_id in (revision, BASE.id):
        with pytest.raises(ScheduleNotFound):
            store.get(schedule_id)


def test_the_schedules_of_a_run_go_with_it_but_for_those_that_others_need(
    runs: RunStore, store: ScheduleStore, curves: Curves
) -> None:
    """One was posted before the run had it, one after, one is a base that another run has too, one is of nobody."""
    run_id = made(runs).id
    asked = {"op": "scale", "factor": 0.5, "start": 0, "change": "c-k"}
    before = Schedule.of({**CONSTANT, "amendments": [asked]})
    assert store.add(before)
    ids = []
    for key in ("k", "l", "m"):
        change(runs, run_id, curves, key)
        ids.append(runs.get(run_id).schedule_id)
    assert (ids[0], store.add(store.get(ids[1]))) == (before.id, False)
    made(runs, "b" * 32, "other")
    assert runs.delete(run_id, lambda _: None) == [ids[2]]
    for schedule_id in (BASE.id, *ids[:2]):
        assert store.get(schedule_id).id == schedule_id
    with pytest.raises(ScheduleNotFound):
        store.get(ids[2])
    assert runs.delete("b" * 32, lambda _: None) == [BASE.id]


def test_retention_passes_over_what_a_run_needs(runs: RunStore, store: ScheduleStore) -> None:
    """However long ago it was used; others go."""
    made(runs)
    store.add(Schedule.of({**CONSTANT, "target_lr": 0.3}))
    with runs.database.transaction("write") as connection:
        connection.execute(text("UPDATE schedules SET used_on = 0"))
        connection.execute(text("UPDATE service SET served_s = 8640000"))
    assert Retention(runs.database, set(), 3).sweep() == 1
    assert store.get(BASE.id) == BASE


def test_a_fork_keeps_the_schedules_that_it_shares(runs: RunStore, store: ScheduleStore, curves: Curves) -> None:
    """Also when the run that it was forked from is gone."""
    run_id = made(runs).id
    attach(runs, run_id, curves)
    change(runs, run_id, curves, "k")
    ask(runs, run_id, curves, 1)
    ask(runs, run_id, curves, 9)
    change(runs, run_id, curves, "later", factor=0.7, at=500)
    with runs.held(run_id, makes_another=True) as held:
        assert held.named("llama") == run_id
        assert held.named("b") is None
        forked = making.fork(held.run, making.ForkRequest(1, 8, "b", changes="drop"), "b" * 32, NOW, curves)
        held.make(forked, [each.schedule_id for each in forked.run.attempts])
    shared = runs.get("b" * 32).attempts[0].schedule_id
    assert runs.get("b" * 32) == forked.run
    runs.delete(run_id, lambda _: None)
    with pytest.raises(ScheduleInUse):
        store.delete(shared)


def test_a_run_that_came_from_a_backup_is_read_anew(database: Database, curves: Curves) -> None:
    """What is in memory is used only under the stamp that the database has."""
    runs = RunStore(database, LIMITS)
    run_id = made(runs).id
    attach(runs, run_id, curves)
    with database.transaction() as connection:
        saved = {
            name: connection.execute(text(f"SELECT * FROM {name} WHERE {key} = '{run_id}'")).mappings().all()  # noqa: S608
            for name, key in (("runs", "id"), ("run_attempts", "run"))
        }
    ask(runs, run_id, curves, 1)
    assert runs.get(run_id).horizon == 11
    with database.transaction("write") as connection:
        for name, rows in saved.items():
            key = "id" if name == "runs" else "run"
            for row in rows:
                values = ", ".join(f"{column} = :{column}" for column in row)
                connection.execute(text(f"UPDATE {name} SET {values} WHERE {key} = '{run_id}'"), dict(row))  # noqa: S608
    assert runs.get(run_id).horizon == 1
    with runs.held(run_id) as held:
        assert held.run.horizon == 1


def test_a_locked_database_is_an_error_and_nothing_is_handed_out(tmp_path: Any) -> None:
    """Another program holds the file; afterwards everything goes on from where it was."""
    file = tmp_path / "preheat.db"
    with closing(Database(f"sqlite:///{file}", 0.2)) as database:
        runs, curves = RunStore(database, LIMITS), Curves(ScheduleStore(database))
        run_id = made(runs).id
        attach(runs, run_id, curves)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                ask(runs, run_id, curves, 1)
            assert runs.get(run_id).horizon == 1
        assert ask(runs, run_id, curves, 1).stop == 11
