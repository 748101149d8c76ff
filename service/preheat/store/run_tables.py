"""Tables of live runs, as SQLAlchemy Core sees them; migrations make them.

What is JSON here is a part of `preheat.runs.run.Run` as its `to_json` has it.
"""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from preheat.store.tables import metadata

RUN_ID = String(32)

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True, doc="Order of making."),
    Column("id", RUN_ID, nullable=False, unique=True, doc="Random."),
    Column("label", Text, nullable=False, doc="As the dialect can store it."),
    Column("stamp", String(16), nullable=False, doc="Random, and another one after every change of anything."),
    Column("phase", String(8), nullable=False, doc="WAITING, ATTACHED, CLOSED or FINISHED."),
    Column("silent_at", Double, nullable=False, doc="When an ATTACHED run will be SILENT, in seconds since 1970."),
    Column("stalled_at", Double, nullable=False, doc="When it will be STALLED."),
    Column("base", Text, nullable=False, doc="The base schedule's text."),
    Column("content", Text, nullable=False, doc="The other fields of the run that are not lists below; JSON."),
    Column("reports", BigInteger, nullable=False, doc="How many there are."),
    Index("runs_by_label", "label", "number"),
    Index("runs_by_phase", "phase", "number"),
    sqlite_autoincrement=True,
)
"""Every run that was made and not deleted since."""

run_attempts = Table(
    "run_attempts",
    metadata,
    Column("run", ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False, doc="In the list."),
    Column("content", Text, nullable=False),
)
"""The attempts of a run, those that a fork shares included."""

run_changes = Table(
    "run_changes",
    metadata,
    Column("run", ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False, doc="In order of acceptance."),
    Column("content", Text, nullable=False),
)
"""The changes of a run."""

run_keys = Table(
    "run_keys",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True, doc="Order of arrival."),
    Column("run", ForeignKey("runs.id"), nullable=False),
    Column("author", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("content", Text, nullable=False),
    Index("run_keys_by_name", "run", "author", "key", unique=True),
    sqlite_autoincrement=True,
)
"""Idempotency-Keys that were answered, the newest of each run."""

run_revisions = Table(
    "run_revisions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("run", ForeignKey("runs.id"), nullable=False),
    Column("revision", BigInteger, nullable=True, doc="NULL: of the run that it was forked from."),
    Column("schedule", ForeignKey("schedules.id"), nullable=False),
    Index("run_revisions_by_run", "run", "revision"),
    Index("run_revisions_by_schedule", "schedule"),
    sqlite_autoincrement=True,
)
"""The schedule of each revision; while a run needs one, nobody can delete it."""

run_events = Table(
    "run_events",
    metadata,
    Column("run", ForeignKey("runs.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False, doc="1, 2, 3, … without a gap."),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False, doc="Seconds since 1970."),
    Column("data", Text, nullable=False, doc="JSON."),
)
"""What happened to a run, the newest."""

run_reports = Table(
    "run_reports",
    metadata,
    Column("run", ForeignKey("runs.id"), primary_key=True),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("iteration", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False, doc="Python's repr: a database may have no NaN, or another zero."),
)
"""What jobs reported."""

OF_A_RUN = (run_reports, run_events, run_revisions, run_keys, run_changes, run_attempts)
"""Tables whose rows go with their run."""
