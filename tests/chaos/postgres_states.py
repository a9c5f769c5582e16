"""Faults of a PostgreSQL that answers: read-only, out of connections, short timeouts, sessions ended."""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import psycopg

from tests.chaos.servers import PostgresCluster
from tests.chaos.world import Begun, Trouble, World
from tests.support import eventually

#: How long each of them lasts, in seconds.
ODD_S = (2.0, 8.0)
#: Statements are cancelled this often while that lasts, in seconds.
CANCEL_EVERY_S = 0.05
#: The time that an impatient database gives to a statement, in milliseconds.
TIMEOUT_MS = (1, 3, 10)
#: The sessions of the stack.
_THEIRS = "FROM pg_stat_activity WHERE usename = 'jobsched'"
_TERMINATE = f"SELECT pg_terminate_backend(pid) {_THEIRS}"
_CANCEL = f"SELECT pg_cancel_backend(pid) {_THEIRS} AND state = 'active'"


def _read_only(postgres: PostgresCluster, rng: random.Random) -> Begun:
    """As a fail-over to a standby: the sessions are gone, and new ones can not write. Theirs stay when that is over."""
    _do(postgres, "ALTER DATABASE postgres SET default_transaction_read_only = on", _TERMINATE)
    return Begun("database read-only", rng.uniform(*ODD_S),
                 lambda: _mend(postgres, "ALTER DATABASE postgres RESET default_transaction_read_only"))


def _impatient(postgres: PostgresCluster, rng: random.Random) -> Begun:
    """Hardly any statement has the time that it needs. Sessions that began meanwhile keep that when it is over."""
    _do(postgres, f"ALTER DATABASE postgres SET statement_timeout = {rng.choice(TIMEOUT_MS)}", _TERMINATE)
    return Begun("database with a statement timeout", rng.uniform(*ODD_S),
                 lambda: _mend(postgres, "ALTER DATABASE postgres RESET statement_timeout"))


def _crowded(postgres: PostgresCluster, rng: random.Random) -> Begun:
    """Others take every connection that is not kept for the superuser."""
    taken: list[psycopg.Connection[Any]] = []
    try:
        _do(postgres, _TERMINATE)
        while True:
            taken.append(postgres.customer())
    except psycopg.OperationalError:
        return Begun("database with no connection to spare", rng.uniform(*ODD_S), lambda: _close(taken))


def _terminated(postgres: PostgresCluster, rng: random.Random) -> Begun:
    _do(postgres, _TERMINATE)
    return Begun("database sessions terminated")


def _cancelled(postgres: PostgresCluster, rng: random.Random) -> Begun:
    enough = Event()
    session = postgres.owner()

    def cancel() -> None:
        with session:
            while not enough.wait(CANCEL_EVERY_S):
                session.execute(_CANCEL)

    thread = Thread(target=cancel, daemon=True)
    thread.start()

    def end() -> None:
        enough.set()
        thread.join()

    return Begun("database statements cancelled", rng.uniform(*ODD_S), end)


def _do(postgres: PostgresCluster, *statements: str) -> None:
    with postgres.owner() as session:
        for statement in statements:
            session.execute(statement)


def _mend(postgres: PostgresCluster, statement: str) -> None:
    """Do it as soon as the database answers."""

    def done() -> bool:
        try:
            _do(postgres, statement)
        except psycopg.OperationalError:
            return False
        return True

    eventually(done, 30.0)


def _close(sessions: list[psycopg.Connection[Any]]) -> None:
    for session in sessions:
        session.close()


def _of_postgres(begin: Callable[[PostgresCluster, random.Random], Begun]) -> Trouble:
    def begun(world: World, rng: random.Random) -> Begun | None:
        if world.postgres is None:
            return Begun(None, rng.uniform(*ODD_S))
        try:
            return begin(world.postgres, rng)
        except psycopg.OperationalError:  # it still starts after another fault
            return None

    def lacks(world: World) -> str | None:
        return None if world.database is None or world.postgres else "PostgreSQL (DB=postgres)"

    return Trouble(1, begun, lacks)


POSTGRES_STATES = {
    "read-only": _of_postgres(_read_only),
    "crowded": _of_postgres(_crowded),
    "statement-timeout": _of_postgres(_impatient),
    "terminated": _of_postgres(_terminated),
    "cancelled": _of_postgres(_cancelled),
}
