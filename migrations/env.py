"""How alembic reaches the ledger: by the engine of ``db``, one transaction for the whole way to the head."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from jobsched.ledger.models import db

#: Any number that nothing else in the database locks.
MIGRATION_LOCK = 7_205_759


def migrate() -> None:
    """Run the migrations. Two runs at once take turns, and the second finds nothing left to do.

    SQLite's turn is the write lock (BEGIN IMMEDIATE), PostgreSQL's an advisory lock that ends with the transaction.
    """
    engine = db.engine.execution_options(jobsched_writes=True)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=db.metadata, transactional_ddl=True,
                          compare_type=True, render_as_batch=True)
        with context.begin_transaction():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("jobsched's migrations run on a database, not into a script of SQL")
migrate()
