"""Runs migrations on the connection that the store hands over."""

from alembic import context

import preheat.store.keys  # noqa: F401 - its tables
from preheat.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
