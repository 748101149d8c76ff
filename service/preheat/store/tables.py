"""Tables of the database, as SQLAlchemy Core sees them; migrations make them."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, select

metadata = MetaData()

schedules = Table(
    "schedules",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True, doc="Order of arrival."),
    Column("id", String(32), nullable=False, unique=True, doc="Hash of the text."),
    Column("text", Text, nullable=False, doc="What `Schedule.text` was when the schedule was made."),
    Column("label", Text, nullable=True, doc="The spec's, as the dialect can store it."),
    Column("created_at", Integer, nullable=True, doc="Seconds since 1970; NULL where a version before stored it."),
    Column("used_on", Integer, nullable=True, doc="Day of `today` on which it was used last; NULL: not counted yet."),
    Column("of_runs", Integer, nullable=True, doc="1: runs alone need it, and it goes with the last of them."),
    Index("schedules_by_label", "label", "number"),
    Index("schedules_by_use", "used_on"),
    # Otherwise SQLite gives the number of a deleted last row to the next one.
    sqlite_autoincrement=True,
)
"""Every schedule that was posted, or is a revision of a run, and was not deleted since."""

keys = Table(
    "keys",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True, doc="Order of making."),
    Column("name", Text, nullable=False, doc="Of several keys after a rotation."),
    Column("prefix", String(32), nullable=False, unique=True, doc="The beginning of the token."),
    Column("hash", String(64), nullable=False, unique=True, doc="SHA-256 of the token, in hex."),
    Column("scopes", Text, nullable=False, doc="Separated by spaces."),
    Column("created_at", BigInteger, nullable=False, doc="Seconds since 1970, as the others are."),
    Column("expires_at", BigInteger, nullable=True),
    Column("revoked_at", BigInteger, nullable=True),
    Column("last_used_at", BigInteger, nullable=True, doc="To the minute."),
)
"""Every key that was made, with those that are revoked or have expired."""

service = Table(
    "service",
    metadata,
    Column("identity", String(32), primary_key=True, doc="Made at random with the tables; backups have it too."),
    Column("served_s", Integer, nullable=False, doc="Seconds that a service with retention ran on the database."),
    Column("probe", Integer, nullable=False, doc="0 or 1: what is written to find out whether anything can be."),
)
"""One row about the database itself."""

changes = Table(
    "changes",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True, doc="Order in which they were committed."),
    Column("topic", String(32), nullable=False, doc="What changed: a table, say."),
    Column("key", Text, nullable=False, doc="Which of them."),
    sqlite_autoincrement=True,
)
"""What other processes are told, the newest few thousand."""

today = select(service.c.served_s // 86_400).scalar_subquery()
"""Days that a service with retention ran on the database: what the age of a schedule is counted in."""
