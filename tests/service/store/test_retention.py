"""Retention: what nothing used for a number of days is removed, and nothing else, whatever clocks do."""

import threading
from contextlib import closing

import httpx
import pytest
from sqlalchemy import text

from preheat.schedule import Schedule
from preheat.store import Changes, Database, ScheduleStore
from preheat.store.curves import Catalogue
from preheat.store.retention import Retention
from reference import REFERENCE_SPEC
from rest import posted_id
from running_service import service, wait_until

DAY = 86_400
STEP = 10_800


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


def schedule(total_iterations: int) -> Schedule:
    """A schedule that differs by its length."""
    return Schedule.of({"target_lr": 0.1, "total_iterations": total_iterations})


def live(retention: Retention, clock: Clock, days: float) -> int:
    """Time goes by for a service, counted every three hours; returns how many schedules it removed."""
    removed = 0
    for _ in range(round(days * DAY / STEP)):
        clock.now += STEP
        retention.write_down()
        if retention.count():
            removed += retention.sweep()
    return removed


def left(store: ScheduleStore) -> list[int]:
    """Lengths of the schedules that are there."""
    return sorted(kept.schedule.spec.total_iterations for kept in store.newest(200).schedules)


def test_what_is_not_used_is_removed_and_what_is_used_stays(database: Database, store: ScheduleStore) -> None:
    """For three days and not before; points and windows are use, and so is posting it again."""
    clock, catalogue = Clock(), Catalogue(store, 10**8)
    retention = Retention(database, catalogue.used, 3, clock, STEP)
    for n in (1, 2, 3):
        store.add(schedule(n))
    catalogue.curve(schedule(2).id)
    assert live(retention, clock, 2.9) == 0
    catalogue.curve_at_hand(schedule(2).id)
    store.add(schedule(3))
    assert live(retention, clock, 1.3) == 1
    assert left(store) == [2, 3]
    assert live(retention, clock, 4) == 2
    assert (store.add(schedule(1)), left(store)) == (True, [1])
    assert live(retention, clock, 2.9) == 0


def test_a_use_is_written_once_a_day(database: Database, store: ScheduleStore) -> None:
    """However often it is: the second time of a day nothing is written."""
    store.add(schedule(1))
    clock = Clock()
    retention = Retention(database, used := set(), 30, clock, STEP)
    numbers = []
    for _ in range(18):
        used.add(schedule(1).id)
        live(retention, clock, STEP / DAY)
        with database.transaction() as connection:
            numbers.append(connection.scalar(text("SELECT used_on FROM schedules")))
    assert (numbers[-1], sorted(numbers)) == (2, numbers)
    assert not used


def test_an_error_does_not_end_the_writing(
    database: Database, store: ScheduleStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that breaks is logged once; uses are written down meanwhile, and when it was started again."""
    store.add(schedule(1))
    times, used = [1.0], set[str]()
    retention = Retention(database, used, 1, lambda: 1 / times[0], write_every_s=0.01)
    times[0] = 0.0
    for day in range(2):
        with database.transaction("write") as connection:
            connection.execute(text("UPDATE schedules SET used_on = -1"))
        retention.start()
        wait_until(lambda day=day: caplog.text.count("the thread retention failed") == day + 1, 30)
        used.add(schedule(1).id)
        wait_until(lambda: not used, 30)
        retention.stop()
        with database.transaction() as connection:
            assert connection.scalar(text("SELECT used_on FROM schedules")) == 0
    assert caplog.text.count("the thread retention failed") == 2


def test_what_was_used_is_written_at_the_end_of_a_pause_too(database: Database, store: ScheduleStore) -> None:
    """A service that stops while the thread waits after an error, with which this has nothing to do."""
    store.add(schedule(1))
    used, is_read = set[str](), threading.Event()

    def clock() -> float:
        if threading.current_thread() is threading.main_thread():
            return 0.0
        is_read.set()
        raise ZeroDivisionError

    retention = Retention(database, used, 1, clock, write_every_s=0.5)
    with database.transaction("write") as connection:
        connection.execute(text("UPDATE schedules SET used_on = -1"))
    retention.start()
    assert is_read.wait(30)
    used.add(schedule(1).id)
    retention.stop()
    with database.transaction() as connection:
        assert connection.scalar(text("SELECT used_on FROM schedules")) == 0


@pytest.mark.parametrize("jump", [365 * DAY, -365 * DAY, float(10**12)])
def test_a_clock_that_jumps_removes_nothing(database: Database, store: ScheduleStore, jump: float) -> None:
    """Forward or back, once or every time."""
    clock = Clock()
    retention = Retention(database, set(), 1, clock)
    store.add(schedule(1))
    assert live(retention, clock, 0.2) == 0
    for _ in range(20):
        clock.now += jump
        retention.count()
        assert retention.sweep() == 0
    assert left(store) == [1]


def test_only_time_that_a_service_runs_counts(database: Database, store: ScheduleStore) -> None:
    """A service that was off for a year, or is started again and again, ages nothing by that."""
    store.add(schedule(1))
    for _ in range(60):
        clock = Clock()
        retention = Retention(database, set(), 1, clock)
        retention.count()
        clock.now += 500
        assert retention.sweep() == 0
    assert left(store) == [1]


def test_replicas_count_the_same_time_once(database_url: str, database: Database, store: ScheduleStore) -> None:
    """Five of them, at different minutes, age a schedule no faster than one does, and one of them removes it."""
    store.add(schedule(1))
    clock = Clock()
    databases = [Database(database_url, 30) for _ in range(5)]
    replicas = [Retention(each, set(), 1, clock, STEP) for each in databases]
    removed, days = 0, 0.0
    while not removed:
        for replica in replicas:
            clock.now += STEP / 5
            days += STEP / 5 / DAY
            if replica.count():
                removed += replica.sweep()
        assert days < 4
    assert days > 1
    for each in databases:
        each.close()
    with database.transaction() as connection:
        assert connection.scalar(text("SELECT served_s FROM service")) <= days * DAY


def test_off_by_default(database: Database, store: ScheduleStore) -> None:
    """Nothing is removed; what is used meanwhile is known when it is turned on."""
    clock = Clock()
    with database.transaction("write") as connection:
        connection.execute(text("UPDATE service SET served_s = :s"), {"s": 100 * DAY})
    for n in (1, 2):
        store.add(schedule(n))
    with database.transaction("write") as connection:
        connection.execute(text("UPDATE schedules SET used_on = 3"))
    off = Retention(database, {schedule(2).id}, None, clock, STEP)
    assert (live(off, clock, 0.5), left(store)) == (0, [1, 2])
    on = Retention(database, set(), 30, clock, STEP)
    assert (live(on, clock, 0.5), left(store)) == (1, [2])


def test_many_are_removed_some_at_a_time_and_announced(database: Database, store: ScheduleStore) -> None:
    """Five hundred old ones, of which another process hears."""
    told: list[str | None] = []
    changes = Changes(database)
    changes.subscribe("schedules", told.append)
    changes.read()
    old = [f"{n:032x}" for n in range(500)]
    with database.transaction("write") as connection:
        connection.execute(text("UPDATE service SET served_s = :s"), {"s": 100 * DAY})
        insert = text("INSERT INTO schedules (id, text, used_on) VALUES (:id, '{}', 68)")
        connection.execute(insert, [{"id": schedule_id} for schedule_id in old])
    store.add(schedule(1))
    assert Retention(database, set(), 31, Clock()).sweep() == 500
    changes.read()
    assert (sorted(map(str, told[1:])), left(store)) == (old, [1])


def test_a_service_writes_down_what_it_served(database_url: str) -> None:
    """At its end at the latest: points and windows, and not what was only described."""
    with service(database_url=database_url, retention_days=30) as url, httpx.Client(base_url=url, timeout=30) as http:
        ids = [posted_id(http, {**REFERENCE_SPEC, "label": label}) for label in ("point", "window", "described")]
        with closing(Database(database_url, 5)) as database, database.transaction("write") as connection:
            connection.execute(text("UPDATE schedules SET used_on = -1"))
        http.get(f"/v1/schedules/{ids[0]}/lr/3")
        http.get(f"/v1/schedules/{ids[1]}/lr?stop=3")
        http.get(f"/v1/schedules/{ids[2]}")
    with closing(Database(database_url, 5)) as database, database.transaction() as connection:
        rows = connection.execute(text("SELECT label, used_on FROM schedules"))
        found = {row.label: row.used_on for row in rows}
    assert found == {"point": 0, "window": 0, "described": -1}
