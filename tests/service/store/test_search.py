"""Searching schedules by label: as Python would, from an index, and in pages of bounded size."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event

from preheat.schedule import Schedule
from preheat.store import Database, Page, ScheduleStore, Search
from preheat.store.tables import schedules
from support.postgresql import PostgreSQL

FORMAT_1 = Path(__file__).parents[2] / "data/format_1.db"

# Few characters, so that labels have things in common: patterns of SQL, what is first and last, upper and lower case,
# a NUL, both sides of the surrogates, and the last code point of all.
_TEXTS = st.text(st.sampled_from("aAb%_\\*'ßẞ\0\ud7ff\ue000\U0010fffe\U0010ffff"), min_size=1, max_size=4)


def memory() -> Database:
    """A database that ends with its test."""
    return Database("sqlite:///:memory:", 1)


def labels(page: Page) -> list[str | None]:
    """The labels on a page."""
    return [kept.schedule.spec.label for kept in page.schedules]


def lower(text: str) -> str:
    """A text with the letters A to Z in lower case."""
    return "".join(character.lower() if character.isascii() else character for character in text)


@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(st.lists(_TEXTS, unique=True, max_size=8), _TEXTS, _TEXTS)
def test_a_search_in_postgresql_finds_what_python_finds(
    postgresql: Database, stored: list[str], prefix: str, part: str
) -> None:
    """In one database, which each example empties first."""
    with postgresql.transaction("write") as connection:
        connection.execute(delete(schedules))
    assert_found(ScheduleStore(postgresql), stored, prefix, part)


@hypothesis.given(st.lists(_TEXTS, unique=True, max_size=8), _TEXTS, _TEXTS)
def test_a_search_finds_what_python_finds(stored: list[str], prefix: str, part: str) -> None:
    """In SQLite."""
    assert_found(ScheduleStore(memory()), stored, prefix, part)


@pytest.fixture
def postgresql(server: PostgreSQL) -> Iterator[Database]:
    """An empty PostgreSQL."""
    with closing(Database(server.new_database(), 30)) as opened:
        yield opened


def assert_found(store: ScheduleStore, stored: list[str], prefix: str, part: str) -> None:
    """By beginning and by part, each alone and both together, among labels and one schedule without any."""
    for label in (*stored, None):
        store.add(Schedule.of({"target_lr": 0.1, "total_iterations": 9, **({"label": label} if label else {})}))
    newest = stored[::-1]
    begins = [label for label in newest if label.startswith(prefix)]
    assert labels(store.newest(9, search=Search(prefix=prefix))) == begins
    assert labels(store.newest(9, search=Search(part=part))) == [x for x in newest if lower(part) in lower(x)]
    both = store.newest(9, search=Search(prefix=prefix, part=part))
    assert labels(both) == [label for label in begins if lower(part) in lower(label)]
    assert labels(store.newest(9, search=Search(label=prefix))) == [label for label in newest if label == prefix]


@pytest.mark.parametrize(
    ("search", "plan"),
    [
        (Search(label="a"), "SEARCH schedules USING INDEX schedules_by_label (label=?)"),
        (Search(prefix="a"), "SEARCH schedules USING INDEX schedules_by_label (label>? AND label<?)"),
        (Search(part="a"), "SCAN schedules USING COVERING INDEX schedules_by_label"),
    ],
)
def test_an_index_finds_labels(tmp_path: Path, search: Search, plan: str) -> None:
    """By the database's own account: a search reads no row, and so no text, that it does not list."""
    store = ScheduleStore(Database(f"sqlite:///{tmp_path}/preheat.db", 1))
    store.add(Schedule.of({"target_lr": 0.1, "total_iterations": 9}))
    sent: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    store.newest(9, search=search)
    event.remove(Engine, "before_cursor_execute", note)
    statement, parameters = sent[-1]
    with closing(sqlite3.connect(tmp_path / "preheat.db")) as connection:
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert plan in steps
    assert "SCAN schedules" not in steps


def test_a_page_of_large_specs_is_short(store: ScheduleStore) -> None:
    """A page ends after 2 million characters of specs, and `next` goes on; every schedule is met once."""
    for n in range(6):
        factors = [0.5 + (n + i) / 1e6 for i in range(90_000)]  # 800,000 characters
        scheduler = {"type": "MultiplicativeLR", "lr_lambda": factors}
        store.add(Schedule.of({"target_lr": 0.1, "total_iterations": 100_000 + n, "after_scheduler": scheduler}))
    met, before, sizes = [], None, []
    while True:
        page = store.newest(200, before)
        met += [kept.schedule.spec.total_iterations - 100_000 for kept in page.schedules]
        sizes.append(sum(len(kept.schedule.text) for kept in page.schedules[:-1]))
        if (before := page.next) is None:
            break
    assert met == [5, 4, 3, 2, 1, 0]
    assert len(sizes) > 1
    assert max(sizes) <= 2_000_000


def test_no_time_is_made_up(tmp_path: Path) -> None:
    """Neither for schedules that a version without the column stored, nor where damage has left something else."""
    database = tmp_path / "preheat.db"
    shutil.copy(FORMAT_1, database)
    store = ScheduleStore(Database(f"sqlite:///{database}", 1), lambda: 5.0)
    store.add(Schedule.of({"target_lr": 0.1, "total_iterations": 9, "label": "new"}))
    page = store.newest(200)
    assert len(page.schedules) == 132
    assert [kept.created_at for kept in page.schedules] == [5, *[None] * 131]
    for damage in ("soon", -1, 10**18, b"\xff", 1.5):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE schedules SET created_at = ? WHERE label = 'new'", (damage,))
        assert store.newest(1).schedules[0].created_at is None
