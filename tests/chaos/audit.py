"""The account in SQL: every change of a job's status, written by triggers, and the present status of the jobs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from jobsched.domain import TERMINAL
from jobsched.ledger.models import Job, Site

_TABLE = """CREATE TABLE chaos_history (
    id INTEGER PRIMARY KEY {identity}, job INTEGER, at DOUBLE PRECISION, was VARCHAR(12), became VARCHAR(12),
    attempt INTEGER, slice VARCHAR(40))"""
_SQLITE_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_POSTGRES_NOW = "extract(epoch FROM clock_timestamp())"
_INSERT = "INSERT INTO chaos_history (job, at, was, became, attempt, slice) VALUES"
_WRITE = _INSERT + " (NEW.id, {now}, {was}, NEW.status, NEW.attempt, NEW.slice);"
_GONE = _INSERT + " (OLD.id, {now}, OLD.status, 'deleted', OLD.attempt, OLD.slice);"
_FUNCTION = """CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN {inserted}
    ELSIF TG_OP = 'DELETE' THEN {deleted}
    ELSE {updated}
    END IF;
    RETURN NULL;
END $$"""

_TRIGGER = """CREATE TRIGGER chaos_all AFTER INSERT OR DELETE OR UPDATE OF status ON jobs
    FOR EACH ROW EXECUTE FUNCTION chaos_note()"""


@dataclass(frozen=True)
class Change:
    """One write of a job's status, whether it changed or not."""

    job: int
    at: float
    was: str | None
    became: str
    attempt: int
    slice: str | None


@dataclass(frozen=True)
class Row:
    """A job as SQL has it."""

    id: int
    status: str
    attempt: int
    max_attempts: int
    site: int
    user: int
    band: str
    execution_time: float
    payload: dict[str, Any]
    error: str | None


class Audit:
    """A way to the database past every fault."""

    def __init__(self, direct_url: str) -> None:
        self._engine = sql.create_engine(direct_url, poolclass=sql.NullPool)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self._unfinished = 0

    def install(self) -> None:
        """Have the database write down each change of a job's status from now on."""
        with self._engine.begin() as connection:
            for statement in self._statements():
                connection.exec_driver_sql(statement)

    def _statements(self) -> list[str]:
        if self._is_sqlite:
            new, was = (_WRITE.format(now=_SQLITE_NOW, was=was) for was in ("NULL", "OLD.status"))
            return [
                _TABLE.format(identity=""),
                f"CREATE TRIGGER chaos_insert AFTER INSERT ON jobs BEGIN {new} END",
                f"CREATE TRIGGER chaos_update AFTER UPDATE OF status ON jobs BEGIN {was} END",
                f"CREATE TRIGGER chaos_delete AFTER DELETE ON jobs BEGIN {_GONE.format(now=_SQLITE_NOW)} END",
            ]
        inserted, updated = (_WRITE.format(now=_POSTGRES_NOW, was=was) for was in ("NULL", "OLD.status"))
        return [
            _TABLE.format(identity="GENERATED ALWAYS AS IDENTITY"),
            _FUNCTION.format(inserted=inserted, updated=updated, deleted=_GONE.format(now=_POSTGRES_NOW)),
            _TRIGGER,
        ]

    def unfinished(self) -> int:
        """How many jobs have not ended; what was last known when the database is away."""
        ended = [status.value for status in TERMINAL]
        try:
            with self._engine.connect() as connection:
                self._unfinished = connection.scalar(
                    sql.select(sql.func.count()).select_from(Job).where(Job.status.not_in(ended))) or 0
        except SQLAlchemyError:
            pass
        return self._unfinished

    def rows(self) -> dict[int, Row]:
        """All jobs."""
        columns = (Job.id, Job.status, Job.attempt, Job.max_attempts, Job.site_id, Job.user_id, Job.band,
                   Job.execution_time, Job.payload, Job.error)
        with self._engine.connect() as connection:
            return {row.id: Row(*row) for row in connection.execute(sql.select(*columns))}

    def capacities(self) -> dict[int, int]:
        """The record capacity of each site."""
        columns = sql.select(Site.id, Site.record_capacity)
        with self._engine.connect() as connection:
            return {row.id: row.record_capacity for row in connection.execute(columns)}

    def history(self) -> dict[int, list[Change]]:
        """Every change of a status, by job, in order."""
        changes: defaultdict[int, list[Change]] = defaultdict(list)
        with self._engine.connect() as connection:
            for row in connection.exec_driver_sql(
                    "SELECT job, at, was, became, attempt, slice FROM chaos_history ORDER BY id"):
                changes[row[0]].append(Change(*row))
        return dict(changes)
