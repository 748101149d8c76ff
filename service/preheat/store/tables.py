"""The tables, as SQLAlchemy Core sees them; the migrations make them."""

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

schedules = Table(
    "schedules",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True, doc="Order of arrival."),
    Column("id", String(32), nullable=False, unique=True, doc="Hash of the text."),
    Column("text", Text, nullable=False, doc="What `Schedule.text` was when the schedule was made."),
    Column("label", Text, nullable=True),
    Index("schedules_by_label", "label", "number"),
    sqlite_autoincrement=True,
)
"""Every schedule that was ever posted."""
