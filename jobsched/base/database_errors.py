"""Classifies a database error: whether a retry can help, whose fault it is, and how to describe it.

There is one table for PostgreSQL, by SQLSTATE, and one for SQLite, by result code. All code that catches a database
error uses them. See https://www.postgresql.org/docs/current/errcodes-appendix.html and https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import (
    TimeoutError as PoolTimeout,
)


class Kind(Enum):
    """What to do about an error."""

    #: The database can not do it now. The same statement may succeed later, with nothing changed.
    AWAY = auto()
    #: The database answers, but an operator has to repair it first: its schema, its rights, its file.
    UNFIT = auto()
    #: The database refuses this value, or a row that does not fit the others. To repeat it is no use.
    REFUSED = auto()
    #: Everything else: a bug in jobsched.
    BUG = auto()


@dataclass(frozen=True)
class Meaning:
    """``says`` completes the sentence "the database ...". ``spoils``: the session that met the error is unusable."""

    kind: Kind
    says: str
    spoils: bool = False


_NO_ANSWER = Meaning(Kind.AWAY, "does not answer", spoils=True)
_SHUT_DOWN = Meaning(Kind.AWAY, "is being shut down or started", spoils=True)
_READ_ONLY = Meaning(Kind.AWAY, "is read-only: it takes no writes, as a standby does after a fail-over", spoils=True)
#: A session keeps the time limit with which it began, even if the limit is lifted later, so the session is given up.
_STOPPED = Meaning(Kind.AWAY, "stopped a statement: it was cancelled, or took longer than the database allows",
                   spoils=True)
_OTHERS = Meaning(Kind.AWAY, "gave others the right of way: a deadlock, a conflict, or a lock held for too long")
_CROWDED = Meaning(Kind.AWAY, "has no connection to spare", spoils=True)
_FULL = Meaning(Kind.AWAY, "has no room left on its disk")
_NO_MEMORY = Meaning(Kind.AWAY, "is short of memory or another resource")
_BROKEN_DISK = Meaning(Kind.AWAY, "could not read or write its files", spoils=True)
_SCHEMA = Meaning(Kind.UNFIT, "has not the tables that this version needs: run jobsched migrate")
_RIGHTS = Meaning(Kind.UNFIT, "denies its user a right that jobsched needs")
_DAMAGED = Meaning(Kind.UNFIT, "is damaged: restore it from a backup", spoils=True)
_INTEGRITY = Meaning(Kind.REFUSED, "refuses a row that does not go with the others")
_DATA = Meaning(Kind.REFUSED, "can not keep a value")
_BUG = Meaning(Kind.BUG, "was asked for something that it does not understand")

#: By the first characters of the SQLSTATE: five of them, or else two.
_BY_SQLSTATE: Mapping[str, Meaning] = {
    "08": _NO_ANSWER,  # connection exceptions; PgBouncer's own errors are 08P01
    "22": _DATA,
    "23": _INTEGRITY,
    "25006": _READ_ONLY,
    "25P03": Meaning(Kind.AWAY, "ended a session that was idle in a transaction", spoils=True),
    "25P04": Meaning(Kind.AWAY, "ended a transaction that took longer than it allows", spoils=True),
    "28": Meaning(Kind.UNFIT, "does not let its user in", spoils=True),
    "3D000": Meaning(Kind.UNFIT, "does not exist: create it", spoils=True),
    "3F000": _SCHEMA,
    "40": _OTHERS,  # serialisation, deadlocks; also a conflict with recovery on a standby
    "40002": _INTEGRITY,
    "42501": _RIGHTS,
    "42P01": _SCHEMA,
    "42703": _SCHEMA,
    "53": _NO_MEMORY,
    "53100": _FULL,
    "53300": _CROWDED,
    "54": _DATA,  # a row or an index entry that is too large
    "55": _OTHERS,  # object in use, not in the state that is needed
    "55P03": Meaning(Kind.AWAY, _OTHERS.says, spoils=True),  # lock not available: also a limit of the session
    "57": _SHUT_DOWN,
    "57014": _STOPPED,
    "57P05": Meaning(Kind.AWAY, "ended a session that was idle", spoils=True),
    "58": _BROKEN_DISK,
    "72": _OTHERS,  # snapshot too old
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}

#: By SQLite's primary result code. Python 3.10 does not tell it, so there the message decides, by the words here.
_BY_SQLITE_CODE: Mapping[int, tuple[Meaning, str]] = {
    3: (_RIGHTS, "access permission denied"),
    5: (Meaning(Kind.AWAY, "is locked by another writer"), "database is locked"),
    6: (Meaning(Kind.AWAY, "is locked by another writer"), "table is locked"),
    7: (_NO_MEMORY, "out of memory"),
    8: (Meaning(Kind.AWAY, "is read-only: its file or folder can not be written", spoils=True), "readonly database"),
    9: (_STOPPED, "interrupted"),
    10: (_BROKEN_DISK, "disk I/O error"),
    11: (_DAMAGED, "malformed"),
    13: (_FULL, "database or disk is full"),
    14: (Meaning(Kind.AWAY, "can not be opened: its file or folder is missing or closed to us", spoils=True),
         "unable to open database file"),
    15: (_OTHERS, "locking protocol"),
    17: (_OTHERS, "database schema has changed"),
    18: (_DATA, "string or blob too big"),
    19: (_INTEGRITY, "constraint failed"),
    20: (_DATA, "datatype mismatch"),
    26: (_DAMAGED, "file is not a database"),
}
#: SQLite has one code, 1, for all errors in a statement. These words in the message tell a missing table or column.
_SQLITE_SCHEMA = ("no such table", "no such column", "has no column named")


def meaning(error: BaseException) -> Meaning:
    """What an error means that was raised while the database was used. Never raises."""
    if isinstance(error, PoolTimeout):
        return Meaning(Kind.AWAY, "has no connection to spare")
    if isinstance(error, DBAPIError):
        found = _of_driver(error.orig) or _of_class(error)
        return _NO_ANSWER if error.connection_invalidated and found.kind is Kind.BUG else found
    if isinstance(error, StatementError):  # a column type of jobsched could not convert a parameter
        return _DATA if isinstance(error.orig, TypeError | ValueError | OverflowError) else _BUG
    return _DATA if isinstance(error, UnicodeError | OverflowError) else _BUG  # the driver could not convert one


def is_away(error: BaseException) -> bool:
    """Whether the same statement may succeed later, with nothing changed."""
    return meaning(error).kind is Kind.AWAY


def is_refused(error: BaseException) -> bool:
    """Whether the database refuses a value or a row of the statement. Its other rows may be good."""
    return meaning(error).kind is Kind.REFUSED


def sentence(error: BaseException) -> str:
    """What is wrong with the database, as a sentence without a full stop and without any value that was sent to it."""
    return f"the database {clause(error)}"


def clause(error: BaseException) -> str:
    """:func:`sentence` without its subject."""
    found = meaning(error)
    if found is _NO_ANSWER and isinstance(error, DBAPIError):
        _, fatal, why = str(error.orig).partition("FATAL:")
        if fatal:
            return f"refuses connections: {why.strip().splitlines()[0]}"
    return found.says


def _of_driver(orig: BaseException | None) -> Meaning | None:
    """The meaning by the driver's error code; None without such a code."""
    if isinstance(orig, sqlite3.Error):
        return _of_sqlite(orig)
    state = getattr(orig, "sqlstate", None)
    if not isinstance(state, str):
        return None
    known = [_BY_SQLSTATE[state[:length]] for length in (5, 2) if state[:length] in _BY_SQLSTATE]
    return known[0] if known else _BUG


def _of_sqlite(orig: sqlite3.Error) -> Meaning | None:
    text = str(orig)
    if any(part in text for part in _SQLITE_SCHEMA):
        return _SCHEMA
    code = getattr(orig, "sqlite_errorcode", None)
    if code is not None:
        return _BY_SQLITE_CODE.get(code & 0xFF, (_BUG, ""))[0]
    return next((found for found, part in _BY_SQLITE_CODE.values() if part in text), None)


def _of_class(error: DBAPIError) -> Meaning:
    """The meaning by the class of the error. psycopg tells no code for a connection that was refused or broke."""
    if isinstance(error, IntegrityError):
        return _INTEGRITY
    if isinstance(error, DataError):
        return _DATA
    if isinstance(error.orig, sqlite3.Error):
        return _BUG
    return _NO_ANSWER if isinstance(error, OperationalError | InterfaceError) else _BUG
