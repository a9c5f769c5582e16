"""The connection to the ledger, held by one bare Flask application, and the start of transactions."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakSet

from flask import Flask
from sqlalchemy import Connection, Engine, ExceptionContext, event, false, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobsched.base import bugs, database_errors
from jobsched.base.addresses import sqlite_path
from jobsched.config import Settings
from jobsched.domain import ConfigError
from jobsched.ledger.models import Job, db

T = TypeVar("T")

log = logging.getLogger(__name__)

#: How long a writer waits for another before it fails, in seconds.
BUSY_TIMEOUT_S = 10.0
#: How long a fenced write is tried again while the database is away, in seconds: longer than a fail-over takes.
PATIENCE_S = 120.0
#: How PostgreSQL is reached, unless DATABASE_URL says otherwise: a server that vanished without a word, say one
#: that has lost its address to another, is given up after some 25 s rather than after TCP's quarter of an hour.
_POSTGRES_OPTIONS = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
                     "tcp_user_timeout": 20_000, "client_encoding": "utf8"}


def ledger_app(settings: Settings, **flask_options: Any) -> Flask:
    """A Flask application with the settings, and with the ledger bound to ``db``.

    To connect to a PostgreSQL database that does not keep its texts in UTF-8 raises ConfigError.
    """
    app = Flask("jobsched", **flask_options)
    app.config["JOBSCHED"] = settings
    app.config["SECRET_KEY"] = settings.secret_key
    app.config["SECRET_KEY_FALLBACKS"] = list(settings.secret_key_fallbacks)
    url = engine_url(settings.database_url)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = _engine_options(url)
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            _teach_sqlite(db.engine)
            _make_private(db.engine, sqlite_path(settings.database_url))
        else:
            _refuse_narrow_texts(db.engine)
        event.listen(db.engine, "handle_error", _drop_spoiled_session)
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
    ours = {name: value for name, value in _POSTGRES_OPTIONS.items() if name not in url.query}
    # No prepared statements: behind a PgBouncer that pools transactions, the next one may go by another session, which
    # has not prepared them. A worker's child, which connects anew for its slice, never came to prepare any.
    return {"pool_pre_ping": True, "connect_args": {**ours, "prepare_threshold": None}}


def _drop_spoiled_session(context: ExceptionContext) -> None:
    """Have the pool forget its sessions, the one that met the error and older ones, when that error spoils a session.

    One that began while the server was read-only may stay so for good, and it answers every ping.
    """
    met = context.sqlalchemy_exception
    if met is not None and database_errors.meaning(met).spoils:
        context.is_disconnect = True


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


def _make_private(engine: Engine, path: str | None) -> None:
    """Have a file that is made by connecting to it be for this user only, and so the others that SQLite puts beside."""

    @event.listens_for(engine, "do_connect")
    def connect(*_: Any) -> None:
        with suppress(OSError):
            os.close(os.open(path or "", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _refuse_narrow_texts(engine: Engine) -> None:
    """Refuse connections to a database that can not keep every text: what a task says may be any."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            name = connection.info.dbname
            why = f"the database {name!r} keeps its texts in {encoding}, which can not hold every error and every name"
            raise ConfigError([f"DATABASE_URL: {why}: create it with ENCODING 'UTF8'"])


def refuse_unfit(settings: Settings) -> None:
    """Look whether the database is one that can be used. Raises ConfigError; not when it is away.

    For processes that need no database at their start; the others meet the same refusal with their first connection.
    """
    if sqlite_path(settings.database_url) is not None:  # its files keep every text, and to look would make one
        return
    with ledger_app(settings).app_context():
        try:
            with suppress(SQLAlchemyError), db.engine.connect():
                pass
        finally:
            db.engine.dispose()


@contextmanager
def writing() -> Iterator[Session]:
    """One write transaction on the ledger: committed at the end of the block, rolled back when it raises.

    Then come the calls that :func:`after_commit` was given, in their order.
    """
    engine, calls = db.engine.execution_options(jobsched_writes=True), list[Callable[[], object]]()
    with Session(engine, expire_on_commit=False, info={_AFTER_COMMIT: calls}) as session, session.begin():
        yield session
    for call in calls:
        call()


def after_commit(session: Session, call: Callable[[], object]) -> None:
    """Have :func:`writing`, which made ``session``, do ``call`` once it has committed; never where it rolls back.

    What ``call`` raises, the block of :func:`writing` raises; what it has committed stays.
    """
    session.info[_AFTER_COMMIT].append(call)


#: Under this name a session of :func:`writing` holds the calls that follow its commit.
_AFTER_COMMIT = "after_commit"


def patiently(write: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Do ``write``, again and again while the database is away, for up to ``patience_s``; then its error is raised.

    So is at once any error that does not say that the database is away.

    For writes that are fenced, so that one whose answer was lost does no harm when it is repeated.
    """
    deadline, pause = time.monotonic() + patience_s, 0.05
    while True:
        try:
            return write()
        except SQLAlchemyError as error:
            if not database_errors.is_away(error) or time.monotonic() + pause > deadline:
                raise
            log.warning("%s, trying again", database_errors.sentence(error))
        time.sleep(pause)
        pause = min(1.0, 2 * pause)


@contextmanager
def reading() -> Iterator[Session]:
    """One look at the ledger, of its own, that changes nothing."""
    with Session(db.engine, expire_on_commit=False) as session:
        yield session


def fault() -> str | None:
    """What keeps the database from taking a write, as a sentence; None when nothing does."""
    try:
        with writing() as session:
            session.execute(update(Job).where(false()).values(status=Job.status),
                            execution_options={"synchronize_session": False})
    except SQLAlchemyError as error:
        bugs.log_once(log, "write to the database", error)
        return database_errors.sentence(error)
    return None
