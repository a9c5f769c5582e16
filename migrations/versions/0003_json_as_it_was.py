"""JSON comes back as it was given: in SQLite, whose columns declared JSON turn numbers into others, as text.

Revision: 0003, after 0002
"""

from __future__ import annotations

import math

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = ("payload", "result")
LOST = "the result, a number beyond 1.8e308, was not kept"


def upgrade() -> None:
    """PostgreSQL keeps JSON as it is written.

    What SQLite has changed already is written as JSON again: big whole numbers stay the floats that they became, since
    nobody knows their last digits any more, and what became infinite is said to be lost.
    """
    if op.get_bind().dialect.name == "sqlite":
        _declare("JSON", "TEXT")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _declare("TEXT", "JSON")


def _declare(old: str, new: str) -> None:
    """Declare the columns anew: SQLite wants another table for that. https://www.sqlite.org/lang_altertable.html"""
    bind = op.get_bind()
    (created,) = _definitions("type = 'table' AND name = 'jobs'")
    for column in COLUMNS:
        assert created.count(f"{column} {old}") == 1, created
        created = created.replace(f"{column} {old}", f"{column} {new}")
    indexes = _definitions("type = 'index' AND tbl_name = 'jobs' AND sql IS NOT NULL")
    names = [column["name"] for column in sa.inspect(bind).get_columns("jobs")]
    values = {"result": "json_of(result)", "error": f"CASE WHEN is_lost(result) THEN '{LOST}' ELSE error END"}
    _teach(bind)
    bind.exec_driver_sql(f"CREATE TABLE jobs_anew {created[created.index('('):]}")
    bind.exec_driver_sql(f"INSERT INTO jobs_anew ({', '.join(names)}) "  # noqa: S608 - names of columns
                         f"SELECT {', '.join(values.get(name, name) for name in names)} FROM jobs")
    # The id of a deleted last row is not given again.
    bind.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'jobs_anew'")
    bind.exec_driver_sql("INSERT INTO sqlite_sequence SELECT 'jobs_anew', seq FROM sqlite_sequence WHERE name = 'jobs'")
    bind.exec_driver_sql("DROP TABLE jobs")
    bind.exec_driver_sql("ALTER TABLE jobs_anew RENAME TO jobs")
    for index in indexes:
        bind.exec_driver_sql(index)


def _definitions(which: str) -> list[str]:
    """In the order of their making: of two indexes that serve as well, SQLite takes the one that was made last."""
    rows = op.get_bind().exec_driver_sql(f"SELECT sql FROM sqlite_master WHERE {which} ORDER BY rowid")  # noqa: S608
    return [sql for (sql,) in rows]


def _teach(bind: sa.Connection) -> None:
    """SQL itself writes floats with 15 digits."""
    connection = bind.connection.driver_connection
    assert connection is not None
    connection.create_function("json_of", 1, _json_of, deterministic=True)
    connection.create_function("is_lost", 1, _is_lost, deterministic=True)


def _json_of(result: str | float | None) -> str | None:
    return None if _is_lost(result) else repr(result) if isinstance(result, int | float) else result


def _is_lost(result: str | float | None) -> bool:
    return isinstance(result, float) and not math.isfinite(result)
