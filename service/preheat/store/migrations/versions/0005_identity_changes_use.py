"""Adds the identity of the database, the changes that processes tell each other, and when a schedule was used last."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables; schedules that are there already count as used from when retention first looks at them."""
    service = op.create_table(
        "service",
        sa.Column("identity", sa.String(32), primary_key=True),
        sa.Column("served_s", sa.Integer, nullable=False),
        sa.Column("probe", sa.Integer, nullable=False),
    )
    op.bulk_insert(service, [{"identity": uuid.uuid4().hex, "served_s": 0, "probe": 0}])
    op.create_table(
        "changes",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String(32), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("schedules", sa.Column("used_on", sa.Integer, nullable=True))
    op.create_index("schedules_by_use", "schedules", ["used_on"])
