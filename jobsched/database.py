"""The connection to the ledger: one bare Flask application that holds it, and how transactions begin."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakSet

from flask import Flask
from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from jobsched.base.addresses import sqlite_path
from jobsched.config import Settings
from jobsched.models import db

T = TypeVar("T")

log = logging.getLogger(__name__)

#: How long a writer waits for another before it fails, in seconds.
BUSY_TIMEOUT_S = 10.0


def ledger_app(settings: Settings, **flask_options: Any) -> Flask:
    """A Flask application with the settings, and with the ledger bound to ``db``."""
    app = Flask("jobsched", **flask_options)
    app.config["JOBSCHED"] = settings
    app.config["SECRET_KEY"] = settings.secret_key
    url = engine_url(settings.database_url)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = _engine_options(url)
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            _teach_sqlite(db.engine)
        _engines.add(db.engine)
    return app


#: A forked child shares its parent's connections, so it must forget them unclosed.
_engines: WeakSet[Engine] = WeakSet()


def _forget_connections() -> None:
    for engine in _engines:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)


def engine_url(url: str) -> URL:
    """``url``, as the settings hold it, for SQLAlchemy.

    SQLAlchemy 2.0 takes the path of an SQLite file as it is written, 2.1 decodes it: it is decoded here for both.
    """
    path = sqlite_path(url)
    return make_url(url) if path is None else make_url(f"sqlite://?{url.partition('?')[2]}").set(database=path)


def _engine_options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": 5}}


def _teach_sqlite(engine: Engine) -> None:
    """WAL, and writers that take the lock when they begin.

    A transaction that reads first and writes later fails at once when another wrote in between, whatever the busy
    timeout; BEGIN IMMEDIATE waits instead. See https://www.sqlite.org/lang_transaction.html.
    """

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("jobsched_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing() -> Iterator[Session]:
    """One write transaction on the ledger: committed at the end of the block, rolled back when it raises."""
    with Session(db.engine.execution_options(jobsched_writes=True), expire_on_commit=False) as session, session.begin():
        yield session


def patiently(write: Callable[[], T], patience_s: float = 60.0) -> T:
    """Do ``write``, again and again while the database is away, for up to ``patience_s``; then its error is raised.

    For writes that are fenced, so that one whose answer was lost does no harm when it is repeated.
    """
    deadline, pause = time.monotonic() + patience_s, 0.05
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("the database is away, trying again: %s", error.orig)
        time.sleep(pause)
        pause = min(1.0, 2 * pause)


@contextmanager
def reading() -> Iterator[Session]:
    """One look at the ledger, of its own, that changes nothing."""
    with Session(db.engine, expire_on_commit=False) as session:
        yield session


def ping() -> None:
    """Ask the database for an answer. Raises sqlalchemy.exc.OperationalError when it has none."""
    db.session.execute(select(1))
