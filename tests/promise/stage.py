"""A database for fault injection: its tables, its account, a few sites and users."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask
from sqlalchemy import text

from jobsched.config import Settings
from jobsched.ledger.database import ledger_app, writing
from jobsched.ledger.models import Site, UserRecord, db
from tests.promise import audit
from tests.support import create_tables

SITES = (1, 2)
USERS = (1, 2)
_TABLES = ("audit", "controls", "idempotency_keys", "jobs", "user_records", "sites")


@dataclass(frozen=True)
class Stage:
    """Made once, used again and again: to empty tables costs less than to make them."""

    settings: Settings
    app: Flask

    @classmethod
    def build(cls, settings: Settings) -> Stage:
        """The stage in a database that has no tables yet."""
        stage = cls(settings, ledger_app(settings))
        with stage.app.app_context():
            create_tables()
            with db.engine.begin() as connection:
                audit.install(connection)
                if connection.dialect.name == "postgresql":  # which does not count rows that bring an id of their own
                    for table in ("sites", "user_records"):
                        connection.execute(text(f"SELECT setval('{table}_id_seq', 1000)"))
        return stage

    def clear(self) -> None:
        """Empty every table, then add the sites and users; site n has user n and record capacity n."""
        with self.app.app_context(), writing() as session:
            if db.engine.dialect.name == "sqlite":
                for table in _TABLES:
                    session.execute(text(f"DELETE FROM {table}"))
            else:
                session.execute(text(f"TRUNCATE {', '.join(_TABLES)}"))
            session.add_all(Site(id=site, name=f"site {site}", record_capacity=site) for site in SITES)
            session.flush()
            session.add_all(UserRecord(id=user, name=f"user {user}", site_id=user) for user in USERS)

    def close(self) -> None:
        with self.app.app_context():
            db.engine.dispose()
