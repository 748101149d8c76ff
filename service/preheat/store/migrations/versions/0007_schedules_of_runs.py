"""Adds which schedules runs alone need; of those that are there already, nobody knows, and they stay."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, empty."""
    op.add_column("schedules", sa.Column("of_runs", sa.Integer, nullable=True))
