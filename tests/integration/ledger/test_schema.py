"""The migrations lead to the models, forward and back, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from jobsched.config import Settings
from jobsched.ledger import schema
from jobsched.ledger.database import ledger_app
from jobsched.ledger.models import db

ROOT = Path(__file__).parents[3]


@contextmanager
def connected(settings: Settings) -> Iterator[Connection]:
    with ledger_app(settings).app_context():
        with db.engine.connect() as connection:
            yield connection
        db.engine.dispose()


def differences(settings: Settings) -> list[object]:
    """What autogenerate would write into a new revision."""
    with connected(settings) as connection:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), db.metadata))


def tables(settings: Settings) -> set[str]:
    with connected(settings) as connection:
        return set(inspect(connection).get_table_names())


def test_the_migrations_lead_to_the_models(settings: Settings) -> None:
    schema.upgrade(settings)
    assert differences(settings) == []


def test_a_second_migration_changes_nothing(settings: Settings) -> None:
    schema.upgrade(settings)
    schema.upgrade(settings)
    assert differences(settings) == []


def test_the_way_back_leaves_no_table_and_can_be_gone_again(settings: Settings) -> None:
    schema.upgrade(settings)
    schema.downgrade(settings)
    assert tables(settings) == {"alembic_version"}
    schema.upgrade(settings)
    assert differences(settings) == []


def test_migrations_at_once_take_turns(settings: Settings) -> None:
    env = {**os.environ, "JOBSCHED_HOME": str(settings.home), "DATABASE_URL": settings.database_url}
    runs = [subprocess.Popen([sys.executable, "-m", "jobsched", "migrate"], cwd=ROOT, env=env) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert differences(settings) == []
