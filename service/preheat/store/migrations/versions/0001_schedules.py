"""The table of schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table and its index."""
    op.create_table(
        "schedules",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("torch_version", sa.String(32), nullable=False),
        sa.Column("label", sa.Text, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("schedules_by_label", "schedules", ["label", "number"])
