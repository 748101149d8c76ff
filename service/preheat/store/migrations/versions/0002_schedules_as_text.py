"""Turns the spec and torch version of every schedule into the text that its id is the hash of.

A row whose spec was changed since it was written, so that the text has another hash, keeps what it has: reading finds
it damaged.
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROWS_AT_ONCE = 500


def upgrade() -> None:
    """Makes `text` out of `spec` and `torch_version`, row by row, and drops those."""
    connection = op.get_bind()
    table = sa.table("schedules", sa.column("number"), sa.column("id"), sa.column("spec"), sa.column("torch_version"))
    last = 0
    while rows := connection.execute(
        sa.select(table).where(table.c.number > last).order_by(table.c.number).limit(_ROWS_AT_ONCE)
    ).all():
        texts = [{"n": row.number, "text": _hashed_text(row.id, str(row.spec), str(row.torch_version))} for row in rows]
        connection.execute(
            sa.update(table).where(table.c.number == sa.bindparam("n")).values(spec=sa.bindparam("text")), texts
        )
        last = rows[-1].number
    op.execute("ALTER TABLE schedules RENAME COLUMN spec TO text")
    op.drop_column("schedules", "torch_version")


def _hashed_text(schedule_id: str, spec: str, torch_version: str) -> str:
    """What version 0.1.0 hashed; of a spec that is not what was hashed, what there is."""
    try:
        content = {"spec": json.loads(spec), "torch_version": torch_version}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        is_whole = hashlib.sha256(text.encode()).hexdigest()[:32] == schedule_id
    except (ValueError, RecursionError):
        is_whole = False
    return text if is_whole else f'{{"spec":{spec},"torch_version":{json.dumps(torch_version)}}}'
