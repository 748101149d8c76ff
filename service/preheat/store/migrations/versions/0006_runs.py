"""Adds live runs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes their tables, empty."""
    op.create_table(
        "runs",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("stamp", sa.String(16), nullable=False),
        sa.Column("phase", sa.String(8), nullable=False),
        sa.Column("silent_at", sa.Double, nullable=False),
        sa.Column("stalled_at", sa.Double, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("reports", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("runs_by_label", "runs", ["label", "number"])
    op.create_index("runs_by_phase", "runs", ["phase", "number"])
    for name in ("run_attempts", "run_changes"):
        op.create_table(
            name,
            sa.Column("run", sa.String(32), sa.ForeignKey("runs.id"), primary_key=True),
            sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("content", sa.Text, nullable=False),
        )
    op.create_table(
        "run_keys",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run", sa.String(32), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("run_keys_by_name", "run_keys", ["run", "author", "key"], unique=True)
    op.create_table(
        "run_revisions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run", sa.String(32), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=True),
        sa.Column("schedule", sa.String(32), sa.ForeignKey("schedules.id"), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("run_revisions_by_run", "run_revisions", ["run", "revision"])
    op.create_index("run_revisions_by_schedule", "run_revisions", ["schedule"])
    op.create_table(
        "run_events",
        sa.Column("run", sa.String(32), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_table(
        "run_reports",
        sa.Column("run", sa.String(32), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("attempt", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("iteration", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("value", sa.Text, nullable=False),
    )
