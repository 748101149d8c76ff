"""Writes down a database as this version makes it, for the upgrade tests of versions to come: `released_schema.py`.

Run before a migration is added; it leaves three files named after the newest migration in tests/data/schemas: SQL for
SQLite, SQL for PostgreSQL, and the LRs of every schedule in them, the names of keys and the labels of runs. They are
never written again.
"""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import psycopg
from alembic.script import ScriptDirectory

from preheat.curve import Curve
from preheat.runs import making
from preheat.schedule import Schedule
from preheat.store import Database, KeyStore, ScheduleStore
from preheat.store.runs import RunStore
from support.postgresql import PostgreSQL, postgresql_server

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "tests/data/schemas"
MIGRATIONS = ROOT / "service/preheat/store/migrations"

COSINE = {"target_lr": 0.01, "total_iterations": 20, "warmup": {"iterations": 10}}
SPECS: list[dict[str, Any]] = [
    {**COSINE, "after_scheduler": {"type": "CosineAnnealingLR"}},
    {**COSINE, "after_scheduler": {"type": "CosineAnnealingLR"}, "label": "é 日本 'quoted' \"twice\" \\ %_ ; --\nline"},
    {**COSINE, "label": "a\0b"},
    {**COSINE, "label": "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\u202e"},
    {"target_lr": 0.1, "total_iterations": 12, "after_scheduler": {"type": "StepLR", "step_size": 4}},
    {"target_lr": 3e-4, "total_iterations": 30, "after_scheduler": {"type": "SWALR", "swa_lr": 1e-5}},
    {"target_lr": 0.1, "total_iterations": 10, "param_groups": [{"name": "a"}, {"name": "b", "target_lr": 0.01}]},
    {"target_lr": 0.5, "total_iterations": 11, "label": "damaged"},
]
"""Some that differ in what a row has to hold; the last is damaged after it was stored."""

KEY = "trainer"

RUN_ID, RUN = "0123456789abcdef" * 2, "llama-7b"


def main() -> None:
    """Writes the three files of the newest migration."""
    revision = str(ScriptDirectory(str(MIGRATIONS)).get_current_head())
    with TemporaryDirectory() as folder, postgresql_server() as server:
        file = Path(folder) / "preheat.db"
        url = server.new_database()
        lrs: dict[str, list[list[float]]] = {}
        for database in (Database(each, 5) for each in (f"sqlite:///{file}", url)):
            KeyStore(database).make(KEY, {"write"})
            store = ScheduleStore(database)
            for schedule in map(Schedule.of, SPECS):
                store.add(schedule)
                lrs[schedule.id] = Curve(schedule).window(0, schedule.spec.total_iterations + 1).tolist()
            RunStore(database).make(making.make(RUN_ID, RUN, Schedule.of(SPECS[0]), 1_800_000_000), lambda _: False)
        damaged = list(lrs)[-1]
        del lrs[damaged]
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE schedules SET text = substr(text, 1, 40) WHERE id = ?", (damaged,))
            _write(f"{revision}.sqlite.sql", sql_of_sqlite(connection))
        with psycopg.connect(url.replace("+psycopg", "")) as postgresql:
            postgresql.execute("UPDATE schedules SET text = substr(text, 1, 40) WHERE id = %s", (damaged,))
        _write(f"{revision}.postgresql.sql", sql_of_postgresql(server, url))
    _write(f"{revision}.json", json.dumps({"damaged": damaged, "keys": [KEY], "runs": [RUN], "lrs": lrs}))


def sql_of_sqlite(connection: sqlite3.Connection) -> str:
    """Statements that make a database again, for `executescript`."""
    lines = []
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    for name, sql in connection.execute(query).fetchall():
        lines.append(f"{sql};")
        if sql.startswith("CREATE TABLE"):
            rows = connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - of a database of ours
            lines += [f"INSERT INTO {name} VALUES ({', '.join(map(_literal, row))});" for row in rows]  # noqa: S608
    return "\n".join(lines)


def sql_of_postgresql(server: PostgreSQL, url: str) -> str:
    """The same for PostgreSQL, by pg_dump."""
    command = [
        str(server.programs / "pg_dump"),
        "--inserts",
        "--no-owner",
        "--no-privileges",
        url.replace("+psycopg", ""),
    ]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Without what is for psql, comments, and a search path that hides the tables from who reads them next.
    noise = re.compile(r"\\|--|SET |SELECT pg_catalog.set_config\(")
    lines = [line for line in dump.splitlines() if line and not noise.match(line)]
    return "\n".join(lines)


def _literal(value: object) -> str:
    if isinstance(value, str) and not value.isprintable():
        return f"CAST(X'{value.encode().hex()}' AS TEXT)"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


def _write(name: str, text: str) -> None:
    SCHEMAS.mkdir(exist_ok=True)
    (SCHEMAS / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
