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

#: How long a writer on SQLite waits for another writer before it fails, in seconds.
BUSY_TIMEOUT_S = 10.0
#: How long a fenced write is repeated while the database is away, in seconds. A fail-over takes less.
PATIENCE_S = 120.0
#: The options of connections to PostgreSQL, unless DATABASE_URL has others. With them, a server that vanished without
#: closing its connections is given up after about 25 s; TCP alone would take a quarter of an hour.
_POSTGRES_OPTIONS = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
                     "tcp_user_timeout": 20_000, "client_encoding": "utf8"}


def ledger_app(settings: Settings, **flask_options: Any) -> Flask:
    """A Flask application that holds the settings, with the ledger bound to ``db``.

    Its first connection raises ConfigError when the PostgreSQL database does not store text as UTF-8.
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


#: A forked child shares its parent's connections. It must forget them without closing them.
_engines: WeakSet[Engine] = WeakSet()


def _forget_connections() -> None:
    for engine in _engines:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)


def engine_url(url: str) -> URL:
    """The URL of the settings as SQLAlchemy's.

    SQLAlchemy 2.1 decodes the path of an SQLite file in a URL, and 2.0 does not. So the path is decoded here.
    """
    path = sqlite_path(url)
    return make_url(url) if path is None else make_url(f"sqlite://?{url.partition('?')[2]}").set(database=path)


def _engine_options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    ours = {name: value for name, value in _POSTGRES_OPTIONS.items() if name not in url.query}
    # No prepared statements: behind a PgBouncer that pools transactions, the next transaction may use another session,
    # which does not have them. A worker's child connects anew for its slice, and would not use them either.
    return {"pool_pre_ping": True, "connect_args": {**ours, "prepare_threshold": None}}


def _drop_spoiled_session(context: ExceptionContext) -> None:
    """After an error that spoils its session, make the pool drop that session and all older ones.

    A session that began while the server was read-only may stay read-only for ever, and still answers every ping.
    """
    met = context.sqlalchemy_exception
    if met is not None and database_errors.meaning(met).spoils:
        context.is_disconnect = True


def _teach_sqlite(engine: Engine) -> None:
    """Set WAL mode and foreign keys, and make write transactions take SQLite's write lock when they begin.

    A transaction that first reads and then writes fails at once if another has written in between, whatever the busy
    timeout. BEGIN IMMEDIATE waits instead. See https://www.sqlite.org/lang_transaction.html.
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
    """Create a missing database file with permissions for this user only. SQLite gives its other files the same."""

    @event.listens_for(engine, "do_connect")
    def connect(*_: Any) -> None:
        with suppress(OSError):
            os.close(os.open(path or "", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _refuse_narrow_texts(engine: Engine) -> None:
    """Refuse connections to a database that can not store every text: errors and results of tasks may hold any."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            name = connection.info.dbname
            why = f"the database {name!r} keeps its texts in {encoding}, which can not hold every error and every name"
            raise ConfigError([f"DATABASE_URL: {why}: create it with ENCODING 'UTF8'"])


def refuse_unfit(settings: Settings) -> None:
    """Raise ConfigError when the database can not store every text. Does nothing while the database is away.

    For processes that need no database at their start. All others are refused at their first connection.
    """
    if sqlite_path(settings.database_url) is not None:  # stores every text; to connect would create the file
        return
    with ledger_app(settings).app_context():
        try:
            with suppress(SQLAlchemyError), db.engine.connect():
                pass
        finally:
            db.engine.dispose()


@contextmanager
def writing() -> Iterator[Session]:
    """A write transaction on the ledger: committed at the end of the block, and rolled back when the block raises.

    After the commit, the calls that were given to :func:`after_commit` are made, in their order.
    """
    engine, calls = db.engine.execution_options(jobsched_writes=True), list[Callable[[], object]]()
    with Session(engine, expire_on_commit=False, info={_AFTER_COMMIT: calls}) as session, session.begin():
        yield session
    for call in calls:
        call()


def after_commit(session: Session, call: Callable[[], object]) -> None:
    """Make ``call`` once ``session``, which is one of :func:`writing`, has committed. It is not made after a rollback.

    :func:`writing` raises what ``call`` raises; the commit stays.
    """
    session.info[_AFTER_COMMIT].append(call)


#: The name under which a session of :func:`writing` keeps the calls to make after its commit.
_AFTER_COMMIT = "after_commit"


def patiently(write: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Call ``write``, and repeat it for up to ``patience_s`` while the database is away; then raise its error.

    Any other error is raised at once. Only for fenced writes: a write whose answer was lost is repeated.
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
    """A session that only reads the ledger."""
    with Session(db.engine, expire_on_commit=False) as session:
        yield session


def fault() -> str | None:
    """A sentence that says why the database can not be written; None when it can."""
    try:
        with writing() as session:
            session.execute(update(Job).where(false()).values(status=Job.status),
                            execution_options={"synchronize_session": False})
    except SQLAlchemyError as error:
        bugs.log_once(log, "write to the database", error)
        return database_errors.sentence(error)
    return None
