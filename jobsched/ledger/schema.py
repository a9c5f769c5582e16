"""Migrations: bring the tables of the ledger up to date, and write new revisions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.orm import Session

from jobsched.config import Settings
from jobsched.domain import JobschedError
from jobsched.ledger.database import ledger_app
from jobsched.ledger.models import db

_HERE = Path(__file__).parent.parent
#: The folder of the migrations: inside the package in an installed wheel, beside it in a checkout.
DIRECTORY = next(path for path in (_HERE / "migrations", _HERE.parent / "migrations") if path.is_dir())


class ForeignSchema(JobschedError):
    """The database holds tables that this version of jobsched did not make."""


def shortfall(session: Session) -> str | None:
    """A sentence that says what the database lacks for this version of jobsched; None when it lacks nothing.

    A database that a newer version has migrated lacks nothing: both versions use it during a rolling deploy.
    """
    found = MigrationContext.configure(session.connection()).get_current_revision()
    if found is None:
        return "the database has no tables of jobsched: run jobsched migrate"
    if found in _revisions()[1:]:
        return f"the database is at revision {found}, and this version needs {_revisions()[0]}: run jobsched migrate"
    return None


@cache
def _revisions() -> tuple[str, ...]:
    """The revisions that this version knows, newest first."""
    return tuple(script.revision for script in ScriptDirectory(str(DIRECTORY)).walk_revisions())


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Bring the database of ``settings`` up to ``revision``, if it is older. Two processes may do so at once.

    Raises ForeignSchema, and sqlalchemy.exc.DatabaseError when the database can not be used.
    """
    with _alembic(settings) as config:
        with db.engine.connect() as connection:
            _check(connection)
        command.upgrade(config, revision)


def downgrade(settings: Settings, revision: str = "base") -> None:
    """Take the database of ``settings`` back to ``revision``. Data that later revisions added is lost."""
    with _alembic(settings) as config:
        command.downgrade(config, revision)


def revise(settings: Settings, message: str) -> None:
    """Write a new revision that leads from the database of ``settings``, which must be at the head, to the models."""
    with _alembic(settings) as config:
        command.revision(config, message, autogenerate=True)


def _check(connection: Connection) -> None:
    """Raise ForeignSchema unless the database is at a known revision, or has no tables with jobsched's names."""
    at = MigrationContext.configure(connection).get_current_heads()
    if unknown := set(at).difference(_revisions()):
        raise ForeignSchema(f"the database is at revision {', '.join(sorted(unknown))}, which this version of jobsched "
                            "does not know: a newer one has migrated it; run that, or name another DATABASE_URL")
    taken = set(inspect(connection).get_table_names()) & set(db.metadata.tables)
    if taken and not at:
        raise ForeignSchema(f"the database holds {', '.join(sorted(taken))}, made by something else than jobsched's "
                            "migrations: name another DATABASE_URL")


@contextmanager
def _alembic(settings: Settings) -> Iterator[Config]:
    """Alembic's configuration, for a block in which Alembic can reach the database."""
    config = Config()
    for name, value in {"script_location": str(DIRECTORY), "file_template": "%(rev)s_%(slug)s"}.items():
        config.set_main_option(name, value.replace("%", "%%"))  # alembic reads it with ConfigParser, which fills in %
    with ledger_app(settings).app_context():
        try:
            yield config
        finally:
            db.engine.dispose()
