"""History is read through its indexes, in migrated databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from jobsched.config import Settings
from jobsched.intake import estimates
from jobsched.ledger import schema
from jobsched.ledger.database import ledger_app, writing
from jobsched.ledger.models import Site, UserRecord, db

SITES, TASKS, JOBS = 5, 100, 10_000
_JOBS = f"""
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {JOBS - 1})
INSERT INTO jobs (user_id, site_id, task, payload, execution_time, band, status, attempt, max_attempts, submitted_at,
                  enqueued_at, run_time)
SELECT 1, 1 + n / {TASKS} % {SITES}, 'task ' || n % {TASKS}, '{{}}', 1, 'task_04', 'completed', 1, 3, CURRENT_TIMESTAMP,
       CURRENT_TIMESTAMP, 1 FROM numbers"""


@pytest.fixture(autouse=True)
def _history(settings: Settings) -> Iterator[None]:
    """Some sites' completed jobs, of which the database has statistics where it keeps them by itself."""
    schema.upgrade(settings)
    with ledger_app(settings).app_context():
        with writing() as session:
            session.add_all(Site(id=1 + n, name="") for n in range(SITES))
            session.flush()
            session.add(UserRecord(id=1, site_id=1, name=""))
            session.flush()
            session.execute(text(_JOBS))
            if db.engine.dialect.name == "postgresql":
                session.execute(text("ANALYZE jobs"))
        yield
        db.engine.dispose()


def plan_of(statement: Any, connection: Connection) -> str:
    """How the database means to run a statement that is sent as ever, with its parameters."""
    explain = "EXPLAIN QUERY PLAN"
    if connection.dialect.name == "postgresql":  # to sort so few is cheap: it is to show that it need not
        explain = "EXPLAIN"
        for way in ("sort", "bitmapscan"):
            connection.execute(text(f"SET enable_{way} = off"))

    @event.listens_for(connection, "before_cursor_execute", retval=True)
    def ask(_c: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
        return sql.replace("SELECT", f"{explain} SELECT", 1), parameters

    return "\n".join(str(tuple(row)) for row in connection.execute(statement).cursor)


@pytest.mark.parametrize("site", [1, None])
def test_history_is_read_from_its_index_in_its_order(site: int | None) -> None:
    statement = estimates.history("task 1", site)

    with db.engine.connect() as connection:
        plan = plan_of(statement, connection)

    assert f"ix_jobs_history_{'task' if site is None else 'site'}" in plan
    assert "temp b-tree" not in plan.lower()
    assert "sort" not in plan.lower()


@pytest.mark.parametrize("site", [1, None])
def test_a_prepared_statement_can_use_the_index_as_well(site: int | None) -> None:
    """Its plan holds for any parameters, so what the index is limited to must stand in the text."""
    sql = str(estimates.history("task 1", site).compile(db.engine, compile_kwargs={"render_postcompile": True}))

    assert "status = 'completed'" in sql
