"""Schedules in the database, the same in a file of SQLite and in a PostgreSQL: kept, found, in order, deleted."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from preheat.errors import ScheduleNotFound, ScheduleUnreadable
from preheat.schedule import Schedule
from preheat.store import Database, Page, ScheduleStore, Search
from reference import REFERENCE_SPEC

LABELS = ["é 日本", "a\0b", "%", "\N{GRINNING FACE}\u202e", "'; DROP TABLE schedules; --", "\\", "line\nline"]

OPENED_AT_ONCE = """
import os, sys, time
from pathlib import Path
from sqlalchemy import URL, text
from preheat.store.dialects import sqlite

for number in range(100):
    file = Path(sys.argv[1], f"{number}.db")
    file.touch()
    at_once, children = time.monotonic() + 0.02, []
    for _ in range(4):
        if not (child := os.fork()):
            while time.monotonic() < at_once:
                pass
            with sqlite.create_engine(URL.create("sqlite", database=str(file)), 30).connect() as connection:
                connection.execute(text("SELECT * FROM sqlite_master")).all()
            os._exit(0)
        children.append(child)
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit("a process could not open it")
"""


def schedule(total_iterations: int = 20, **fields: Any) -> Schedule:
    """A schedule that differs by its length."""
    return Schedule.of({"target_lr": 0.1, "total_iterations": total_iterations, **fields})


def lengths(page: Page) -> list[int]:
    """Those of the schedules of a page."""
    return [kept.schedule.spec.total_iterations for kept in page.schedules]


def change(database: Database, statement: str, **values: object) -> None:
    """Another program writes a row."""
    with database.transaction("write") as connection:
        connection.execute(text(statement), values)


@pytest.mark.parametrize("label", LABELS)
def test_what_was_added_is_found(store: ScheduleStore, label: str) -> None:
    """The schedule comes back equal, by id and by label, and adding it again changes nothing."""
    kept = Schedule.of({**REFERENCE_SPEC, "label": label})
    assert (store.add(kept), store.add(kept)) == (True, False)
    found = store.get(kept.id)
    assert (found, found.spec, found.spec.label) == (kept, kept.spec, label)
    store.add(schedule(label="another"))
    assert [each.schedule.id for each in store.newest(9, search=Search(label=label)).schedules] == [kept.id]
    assert (store.has(kept.id), store.has("0" * 32)) == (True, False)
    with pytest.raises(ScheduleNotFound, match="0000"):
        store.get("0" * 32)


def test_newest_come_first_page_by_page(store: ScheduleStore) -> None:
    """Limit, place in the order and label all choose; the last page has no next."""
    for n in range(1, 6):
        store.add(schedule(n, label="odd" if n % 2 else "even"))
    first = store.newest(3)
    second = store.newest(3, before=first.next)
    assert [lengths(first), lengths(second)] == [[5, 4, 3], [2, 1]]
    assert (second.next, store.newest(5).next) == (None, None)
    assert lengths(store.newest(9, search=Search("even"))) == [4, 2]


def test_a_cursor_holds_while_rows_come_and_go(store: ScheduleStore) -> None:
    """What came after the first page is on none that follow, what was deleted is gone, and nothing is met twice."""
    kept = [schedule(n) for n in range(1, 8)]
    for each in kept:
        store.add(each)
    first = store.newest(3)
    store.add(schedule(100))
    store.delete(kept[3].id)  # on which the second page would begin
    second = store.newest(3, before=first.next)
    assert [lengths(first), lengths(second)] == [[7, 6, 5], [3, 2, 1]]
    assert lengths(store.newest(1)) == [100]


def test_a_deleted_schedule_is_gone_and_can_come_again(store: ScheduleStore) -> None:
    """It is found no more, deleting it again is an error, and adding it again makes it the newest."""
    first, second = schedule(1), schedule(2)
    store.add(first)
    store.add(second)
    store.delete(first.id)
    for act in (store.get, store.delete):
        with pytest.raises(ScheduleNotFound):
            act(first.id)
    assert (store.has(first.id), store.add(first), lengths(store.newest(9))) == (False, True, [1, 2])


def test_many_services_make_the_tables_and_add_the_same(database_url: str) -> None:
    """Eight at once on an empty database: one migrates and the others wait; one is the first to add."""
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        stores = [ScheduleStore(stack.enter_context(closing(Database(database_url, 30)))) for _ in range(8)]
        added = list(pool.map(lambda store: store.add(schedule()), stores))
        assert sorted(added) == [False] * 7 + [True]
        assert len(stores[0].newest(10).schedules) == 1


def test_processes_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Of those that set SQLite's mode at the same moment it refuses all but one at once: none of them fails by that."""
    command = [sys.executable, "-c", OPENED_AT_ONCE, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_databases_of_one_process_are_made_at_once() -> None:
    """Each has its tables and no other's, although what migrates them works on one at a time."""
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        databases = [stack.enter_context(closing(Database("sqlite:///:memory:", 30))) for _ in range(24)]
        assert all(pool.map(lambda database: ScheduleStore(database).add(schedule()), databases))


def test_writers_do_not_disturb_each_other(store: ScheduleStore) -> None:
    """Eight threads add and delete their own: what each left is there, in whatever order, and nothing else."""

    def work(thread: int) -> None:
        for n in range(1, 9):
            store.add(schedule(thread * 100 + n))
            if n % 2:
                store.delete(schedule(thread * 100 + n).id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(lengths(store.newest(100))) == [thread * 100 + n for thread in range(8) for n in (2, 4, 6, 8)]


def test_a_large_spec_comes_back_whole(store: ScheduleStore) -> None:
    """1.8 million characters, about what a body may have, all of them."""
    factors = [0.5 + i / 3e5 for i in range(100_000)]
    large = schedule(100_000, after_scheduler={"type": "MultiplicativeLR", "lr_lambda": factors})
    assert (store.add(large), store.add(large), store.get(large.id).text) == (True, False, large.text)


@pytest.mark.parametrize("damage", ["{", "", '{"format":2,"spec":{"target_lr":9.0,"total_iterations":2}}', "null", "7"])
def test_a_damaged_row(database: Database, store: ScheduleStore, damage: str) -> None:
    """It is named, not computed; the rest of the page is read; adding the schedule again mends it."""
    first, damaged, last = schedule(1), schedule(2), schedule(3)
    for each in (first, damaged, last):
        store.add(each)
    change(database, "UPDATE schedules SET text = :text WHERE id = :id", text=damage, id=damaged.id)
    with pytest.raises(ScheduleUnreadable, match="not what its id is the hash of"):
        store.get(damaged.id)
    page = store.newest(3)
    assert (lengths(page), [each.schedule_id for each in page.unreadable]) == ([3, 1], [damaged.id])
    assert store.add(damaged) is False
    assert lengths(store.newest(3)) == [3, 2, 1]


def test_a_damaged_row_can_be_deleted(database: Database, store: ScheduleStore) -> None:
    """That is what an operator does with it."""
    store.add(damaged := schedule())
    change(database, "UPDATE schedules SET text = '{'")
    store.delete(damaged.id)
    assert store.newest(9) == Page([], [], None)


def test_a_row_of_a_later_version(database: Database, store: ScheduleStore) -> None:
    """What it has that this version does not know is named."""
    store.add(schedule(1))
    content = json.dumps({"format": 3, "spec": REFERENCE_SPEC}, sort_keys=True)
    later = hashlib.sha256(content.encode()).hexdigest()[:32]
    change(database, "INSERT INTO schedules (id, text) VALUES (:id, :text)", id=later, text=content)
    with pytest.raises(ScheduleUnreadable, match="format") as caught:
        store.get(later)
    assert caught.value.reason == "unknown-content"
    page = store.newest(3)
    assert (lengths(page), [each.schedule_id for each in page.unreadable]) == ([1], [later])


def test_a_schedule_has_the_time_at_which_it_came(database: Database) -> None:
    """To the second, kept when it is posted again, and new after it was deleted."""
    now = [1_000_000_000.75]
    store = ScheduleStore(database, lambda: now[0])
    kept = schedule()
    times = []
    actions: list[Callable[[Schedule], object]] = [store.add, store.add, lambda each: store.delete(each.id), store.add]
    for action in actions:
        action(kept)
        now[0] += 60
        times += [each.created_at for each in store.newest(9).schedules]
    assert times == [1_000_000_000, 1_000_000_000, 1_000_000_180]
