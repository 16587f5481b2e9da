"""Run numbered migrations over the connection that `schema.upgrade` passes in (never from a command line)."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
