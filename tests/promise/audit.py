"""What the database itself writes down of every change of a job, and what may stand there.

A trigger keeps the account, so that no write of the engine can go past it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, text

from jobsched.domain import TRANSITIONS, Status

_TABLE = """
CREATE TABLE audit (
    n {serial}, job BIGINT NOT NULL, was VARCHAR(12) NOT NULL, became VARCHAR(12) NOT NULL,
    attempt_was INTEGER NOT NULL, attempt INTEGER NOT NULL, band_was VARCHAR(20) NOT NULL, band VARCHAR(20) NOT NULL
)"""
_INSERT = """
INSERT INTO audit (job, was, became, attempt_was, attempt, band_was, band)
VALUES (OLD.id, OLD.status, NEW.status, OLD.attempt, NEW.attempt, OLD.band, NEW.band);"""
_SQLITE = [
    _TABLE.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT"),
    f"""CREATE TRIGGER audit_jobs AFTER UPDATE ON jobs
        WHEN OLD.status <> NEW.status OR OLD.attempt <> NEW.attempt BEGIN {_INSERT} END""",
]
_POSTGRESQL = [
    _TABLE.format(serial="BIGSERIAL PRIMARY KEY"),
    f"CREATE FUNCTION audit_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_INSERT} RETURN NULL; END $$",
    """CREATE TRIGGER audit_jobs AFTER UPDATE ON jobs FOR EACH ROW
       WHEN (OLD.status <> NEW.status OR OLD.attempt <> NEW.attempt) EXECUTE FUNCTION audit_job()""",
]


@dataclass(frozen=True)
class Step:
    """One change of one job's status or attempt."""

    job: int
    was: str
    became: str
    attempt_was: int
    attempt: int
    band_was: str
    band: str


def install(connection: Connection) -> None:
    """Have the database keep the account. Once a database."""
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.execute(text(statement))


def steps(connection: Connection) -> dict[int, list[Step]]:
    """The account, by job, in order."""
    found: defaultdict[int, list[Step]] = defaultdict(list)
    columns = ", ".join(Step.__dataclass_fields__)
    for row in connection.execute(text(f"SELECT {columns} FROM audit ORDER BY n")):
        found[row.job].append(Step(*row))
    return found


def faults(account: dict[int, list[Step]]) -> list[str]:
    """Where the account breaks the promise: steps that do not exist, ends recorded twice, starts not counted."""
    return [f"job {job}: {fault}" for job, taken in account.items() for fault in _of_job(taken)]


def _overran(step: Step) -> bool:
    """Whether a step is that of a start which outlasted its band: into a longer one."""
    return (step.was, step.became) == ("running", "pending") and step.band > step.band_was


def _of_job(taken: list[Step]) -> list[str]:
    found = []
    for step in taken:
        if Status(step.became) not in TRANSITIONS[Status(step.was)]:
            found.append(f"went from {step.was} to {step.became}")
        if step.attempt - step.attempt_was != (step.became == Status.RUNNING.value):
            found.append(f"{step.was} to {step.became} took the attempt from {step.attempt_was} to {step.attempt}")
        if Status.RUNNING.value in (step.was, step.became) and step.band != step.band_was and not _overran(step):
            found.append(f"{step.was} to {step.became} took it from {step.band_was} to {step.band}")
    if sum(step.became == Status.COMPLETED.value for step in taken) > 1:
        found.append("completed twice")
    return found
