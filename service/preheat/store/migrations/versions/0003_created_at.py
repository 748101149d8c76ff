"""Adds when a schedule was stored; of those that are there already, nobody knows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, empty."""
    op.add_column("schedules", sa.Column("created_at", sa.Integer, nullable=True))
