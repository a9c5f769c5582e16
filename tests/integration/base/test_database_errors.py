"""Each error of a real database is classified: unreachable, unfit, refused, or a bug."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sql
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from jobsched.base import database_errors
from jobsched.base.database_errors import Kind, is_away, is_refused, meaning
from tests.support import eventually

AWAY, UNFIT, REFUSED, BUG = Kind.AWAY, Kind.UNFIT, Kind.REFUSED, Kind.BUG

#: What PostgreSQL may say with these codes, and what that means.
SQLSTATES = {
    "08006": AWAY, "08P01": AWAY, "25006": AWAY, "25P03": AWAY, "25P04": AWAY, "40001": AWAY, "40P01": AWAY,
    "40003": AWAY, "53000": AWAY, "53100": AWAY, "53200": AWAY, "53300": AWAY, "53400": AWAY, "55P03": AWAY,
    "55006": AWAY, "57014": AWAY, "57P01": AWAY, "57P02": AWAY, "57P03": AWAY, "57P05": AWAY, "58030": AWAY,
    "72000": AWAY,
    "42501": UNFIT, "42P01": UNFIT, "42703": UNFIT, "3F000": UNFIT, "28P01": UNFIT, "3D000": UNFIT, "XX001": UNFIT,
    "22001": REFUSED, "22003": REFUSED, "22P05": REFUSED, "23503": REFUSED, "23505": REFUSED, "23514": REFUSED,
    "40002": REFUSED, "54000": REFUSED,
    "42601": BUG, "42P05": BUG, "26000": BUG, "25P02": BUG, "0A000": BUG, "P0001": BUG, "XX000": BUG,
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database, with one table."""
    engine = sql.create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 100))")
        connection.exec_driver_sql("INSERT INTO kept VALUES (1, 1), (2, 2)")
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str, **values: object) -> None:
    """Run statements in one transaction."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sql.text(statement), values)


def error_of(cause: Callable[[], object]) -> BaseException:
    """What a call raises."""
    try:
        cause()
    except Exception as error:
        return error
    raise AssertionError(f"nothing was raised by {cause}")


@contextmanager
def another(engine: Engine, url: Any = None, **options: Any) -> Iterator[Engine]:
    """An engine with other options, or on another URL."""
    made = sql.create_engine(url or engine.url, **options)
    try:
        yield made
    finally:
        made.dispose()


def sorted_as(error: BaseException) -> Kind:
    """Its kind, after the questions that callers ask were found to agree with it."""
    kind = meaning(error).kind
    assert (is_away(error), is_refused(error)) == (kind is AWAY, kind is REFUSED)
    assert database_errors.sentence(error).startswith("the database ")
    return kind


POSTGRES = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@POSTGRES
def test_each_code_of_postgres_is_sorted(engine: Engine) -> None:
    found = {}
    for state in SQLSTATES:
        statement = f"DO $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '{state}'; END $$"
        error = error_of(lambda statement=statement: run(engine, statement))
        assert isinstance(error, DBAPIError)
        assert getattr(error.orig, "sqlstate", None) == state
        assert "secret" not in database_errors.sentence(error)
        found[state] = sorted_as(error)
    assert found == SQLSTATES


def _read_only(engine: Engine) -> None:
    run(engine, "SET TRANSACTION READ ONLY", "UPDATE kept SET n = 3")


def _statement_timeout(engine: Engine) -> None:
    run(engine, "SET LOCAL statement_timeout = 20", "SELECT pg_sleep(20)")


def _terminated(engine: Engine) -> None:
    run(engine, "SELECT pg_terminate_backend(pg_backend_pid())")


def _idle_in_transaction(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 20")
        _until_ended(engine, connection)
        connection.exec_driver_sql("SELECT 1")


def _until_ended(engine: Engine, connection: Connection) -> None:
    pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
    give_up = time.monotonic() + 20
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        while other.scalar(sql.text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid}):
            assert time.monotonic() < give_up


def _cancelled(engine: Engine) -> None:
    with engine.begin() as connection:
        pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        storm = Thread(target=_cancel, args=(engine, pid), daemon=True)
        storm.start()
        try:
            connection.exec_driver_sql("SELECT pg_sleep(20)")
        finally:
            storm.join()


def _cancel(engine: Engine, pid: int) -> None:
    query = sql.text("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND query LIKE '%pg_sleep%'"
                     " AND state = 'active'")
    give_up = time.monotonic() + 15
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        while not other.execute(query, {"pid": pid}).all() and time.monotonic() < give_up:
            time.sleep(0.01)


def _locked(engine: Engine) -> None:
    with engine.begin() as holder:
        holder.exec_driver_sql("SELECT * FROM kept FOR UPDATE")
        run(engine, "SELECT * FROM kept FOR UPDATE NOWAIT")


def _not_serialisable(engine: Engine) -> None:
    strict = engine.execution_options(isolation_level="REPEATABLE READ")
    with strict.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM kept")
        with engine.begin() as other:
            other.exec_driver_sql("UPDATE kept SET n = n + 1")
        connection.exec_driver_sql("UPDATE kept SET n = n + 1")


def _deadlock(engine: Engine) -> None:
    """Two transactions want each other's row; the one that notices it raises, and it is the one of this thread."""
    other = Thread(target=run, daemon=True, args=(
        engine, "SET LOCAL deadlock_timeout = '1min'", "UPDATE kept SET n = 6 WHERE id = 2",
        "UPDATE kept SET n = 6 WHERE id = 1"))
    try:
        with engine.begin() as one:
            one.exec_driver_sql("SET LOCAL deadlock_timeout = 50")
            one.exec_driver_sql("UPDATE kept SET n = 5 WHERE id = 1")
            other.start()
            eventually(lambda: one.scalar(sql.text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
            one.exec_driver_sql("UPDATE kept SET n = 5 WHERE id = 2")
    finally:
        other.join()


def _no_memory_for_temporary_files(engine: Engine) -> None:
    run(engine, "SET LOCAL temp_file_limit = 64", "SET LOCAL work_mem = 64",
                    "SELECT count(*) FROM (SELECT g FROM generate_series(1, 200000) g ORDER BY random()) s")


def _a_refused_connection(engine: Engine) -> None:
    role = f"crowd_{uuid4().hex}"
    run(engine, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        with another(engine, engine.url.set(username=role)) as crowded:
            run(crowded, "SELECT 1")
    finally:
        run(engine, f"DROP ROLE {role}")


def _a_full_pool(engine: Engine) -> None:
    with another(engine, pool_size=1, max_overflow=0, pool_timeout=0.01) as small, small.connect():
        run(small, "SELECT 1")


@POSTGRES
@pytest.mark.parametrize(("cause", "kind"), [
    (_read_only, AWAY), (_statement_timeout, AWAY), (_cancelled, AWAY), (_terminated, AWAY),
    (_idle_in_transaction, AWAY), (_locked, AWAY), (_not_serialisable, AWAY), (_deadlock, AWAY),
    (_no_memory_for_temporary_files, AWAY), (_a_refused_connection, AWAY), (_a_full_pool, AWAY),
    (lambda engine: run(engine, "SELECT * FROM missing"), UNFIT),
    (lambda engine: run(engine, "INSERT INTO kept VALUES (1, 1)"), REFUSED),
    (lambda engine: run(engine, "INSERT INTO kept VALUES (3, 100)"), REFUSED),
    (lambda engine: run(engine, "SELECT CAST(:n AS INTEGER)", n=2**70), REFUSED),
    (lambda engine: run(engine, "SELECT CAST(:text AS TEXT)", text="a\0b"), REFUSED),
    (lambda engine: run(engine, "SELECT CAST(:text AS TEXT)", text="\ud800"), REFUSED),
    (lambda engine: run(engine, "SELEC"), BUG),
    (lambda engine: run(engine, "SELECT CAST(:thing AS TEXT)", thing=object()), BUG),
])
def test_what_really_happens_to_postgres_is_sorted(
    engine: Engine, cause: Callable[[Engine], None], kind: Kind
) -> None:
    assert sorted_as(error_of(lambda: cause(engine))) is kind


@pytest.mark.parametrize("url", [
    "postgresql+psycopg://nobody@127.0.0.1:1/nothing", "postgresql+psycopg://nobody@no-such-host.invalid/nothing",
])
def test_a_server_that_is_not_there_is_away(url: str) -> None:
    assert sorted_as(error_of(lambda: run(sql.create_engine(url), "SELECT 1"))) is AWAY


@POSTGRES
def test_a_server_that_refuses_a_connection_is_quoted(engine: Engine) -> None:
    with another(engine, engine.url.set(database="nowhere")) as nowhere:
        error = error_of(lambda: run(nowhere, "SELECT 1"))
    assert database_errors.sentence(error) == 'the database refuses connections: database "nowhere" does not exist'
    crowded = error_of(lambda: _a_refused_connection(engine))
    assert database_errors.clause(crowded).startswith("refuses connections: too many connections for role")


def _busy(engine: Engine) -> None:
    with another(engine, connect_args={"timeout": 0.01}) as impatient, engine.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            run(impatient, "UPDATE kept SET n = 3")
        finally:
            holder.exec_driver_sql("ROLLBACK")


def _read_only_file(engine: Engine) -> None:
    with another(engine, f"sqlite:///file:{engine.url.database}?mode=ro&uri=true") as reader:
        run(reader, "UPDATE kept SET n = 3")


def _full(engine: Engine) -> None:
    run(engine, "PRAGMA max_page_count = 3", "CREATE TABLE more (x)", "CREATE TABLE still_more (x)")


def _no_folder(engine: Engine) -> None:
    run(sql.create_engine(f"sqlite:///{engine.url.database}.d/jobsched.db"), "SELECT 1")


def _not_a_database(engine: Engine) -> None:
    engine.dispose()
    Path(str(engine.url.database)).write_bytes(b"no database at all " * 1000)
    run(engine, "SELECT * FROM kept")


def _corrupt(engine: Engine) -> None:
    engine.dispose()
    path = Path(str(engine.url.database))
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    run(engine, "SELECT * FROM kept")


def _interrupted(engine: Engine) -> None:
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.set_progress_handler(lambda: 1, 1)
        try:
            connection.exec_driver_sql("SELECT count(*) FROM kept a, kept b, kept c, kept d")
        finally:
            raw.set_progress_handler(None, 0)


@SQLITE
@pytest.mark.parametrize(("cause", "kind"), [
    (_busy, AWAY), (_read_only_file, AWAY), (_full, AWAY), (_no_folder, AWAY), (_interrupted, AWAY),
    (_a_full_pool, AWAY),
    (_not_a_database, UNFIT), (_corrupt, UNFIT),
    (lambda engine: run(engine, "SELECT * FROM missing"), UNFIT),
    (lambda engine: run(engine, "SELECT missing FROM kept"), UNFIT),
    (lambda engine: run(engine, "INSERT INTO kept (missing) VALUES (1)"), UNFIT),
    (lambda engine: run(engine, "INSERT INTO kept VALUES (1, 1)"), REFUSED),
    (lambda engine: run(engine, "INSERT INTO kept VALUES (3, 100)"), REFUSED),
    (lambda engine: run(engine, "INSERT INTO kept VALUES ('a', 1)"), REFUSED),
    (lambda engine: run(engine, "SELECT :n", n=2**70), REFUSED),
    (lambda engine: run(engine, "SELECT :text", text="\ud800"), REFUSED),
    (lambda engine: run(engine, "SELEC"), BUG),
    (lambda engine: run(engine, "SELECT :thing", thing=object()), BUG),
])
def test_what_really_happens_to_sqlite_is_sorted_with_and_without_its_code(
    engine: Engine, cause: Callable[[Engine], None], kind: Kind
) -> None:
    error = error_of(lambda: cause(engine))
    assert sorted_as(error) is kind
    if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):  # as Python 3.10 raises it
        bare = type(error)(None, None, type(error.orig)(str(error.orig)))
        assert meaning(bare).kind is kind


def test_a_disk_that_fails_is_away() -> None:
    assert sorted_as(OperationalError(None, None, sqlite3.OperationalError("disk I/O error"))) is AWAY


def test_an_error_that_is_not_the_databases_is_a_bug() -> None:
    assert sorted_as(KeyError("x")) is BUG
