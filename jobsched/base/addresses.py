"""Addresses of servers and databases: accepts their usual spellings, explains faults, and hides passwords.

Every address is held as a URL whose parts are percent-encoded, so that a path may hold any character.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

#: Stands in the place of a secret.
HIDDEN = "***"

#: Other names of the schemes that redis-py knows.
_REDIS = {
    "redis": "redis", "valkey": "redis", "redis+tcp": "redis", "tcp": "redis",
    "rediss": "rediss", "valkeys": "rediss", "redis+ssl": "rediss", "redis+tls": "rediss",
    "unix": "unix", "redis+unix": "unix", "redis+socket": "unix", "redis-socket": "unix",
}
#: Other names of PostgreSQL by psycopg.
_POSTGRES = {"postgres", "postgresql", "pgsql", *(f"{name}+{driver}" for name in ("postgres", "postgresql")
                                                 for driver in ("psycopg", "psycopg2", "psycopg2cffi"))}
#: How a path without sqlite:/// begins or ends, by which it is known for one.
_PATH, _SQLITE_FILE = ("/", "./", "../", "~/"), (".db", ".sqlite", ".sqlite3")
_ENCODE = "write :, /, ?, # and @ of a password as %3A, %2F, %3F, %23 and %40"
_USER_OF_URL = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s'\"]*@")
_SECRET_OPTION = re.compile(r"(?i)((?:^|[?&\s])[a-z_]*(?:password|passwd|secret|token)[a-z_]*=)[^&\s]*")


def redacted(url: str) -> str:
    """``url`` as it may be shown and logged: without user, password, and options that are named like secrets.

    Text that is no valid URL is accepted; rather too much of it is hidden than too little.
    """
    scheme, separator, rest = url.rpartition("://") if "://" not in url else url.partition("://")
    if "@" in rest:
        rest = f"{HIDDEN}@{rest.rpartition('@')[2]}"
    elif found := re.match(r"([^/?#]*:)(?!\d{1,5}(?:[/?#]|$))(?!\d*[\]:])[^/?#]+", rest):
        rest = f"{found[1]}{HIDDEN}{rest[found.end():]}"  # a password that lost its @, or no port at any rate
    return scheme + separator + _SECRET_OPTION.sub(rf"\g<1>{HIDDEN}", rest)


def without_passwords(text: str) -> str:
    """``text``, any message, without the users and passwords of the URLs in it."""
    return _SECRET_OPTION.sub(rf"\g<1>{HIDDEN}", _USER_OF_URL.sub(rf"\g<1>{HIDDEN}@", text))


def redis_url(raw: str) -> str:
    """The URL, as redis-py takes it, of the Redis that ``raw`` names in any of the usual spellings.

    These include ``host``, ``host:port``, ``host:port/2`` and the absolute path of a socket. Raises ValueError, which
    says what would be right.
    """
    if raw.startswith("/"):
        return f"unix://{quote(raw, errors='surrogateescape')}"
    scheme, separator, rest = raw.partition("://")
    if not separator:
        scheme, rest = "redis", raw
    if scheme.lower() not in _REDIS:
        raise ValueError("must begin with redis://, rediss:// or unix://, or be a host and a port, as 127.0.0.1:6379")
    url = f"{_REDIS[scheme.lower()]}://{rest}"
    parts = _split(url)
    if parts.fragment or "#" in url:
        raise ValueError("has a # that is not encoded: write it as %23")
    if parts.scheme == "unix":
        _check_socket(parts)
    else:
        _check_server(parts)
    _check_redis_options(url)
    return url


def database_url(raw: str) -> str:
    """The URL of the ledger that ``raw`` names: PostgreSQL by psycopg, or a file of SQLite with its absolute path.

    ``raw`` may also be the path of a file that begins with / or ./, or ends in .db, .sqlite or .sqlite3. Raises
    ValueError, which says what would be right.
    """
    scheme, separator, rest = raw.partition("://")
    if not separator and (raw.startswith(_PATH) or (raw.endswith(_SQLITE_FILE) and not raw.startswith("sqlite:"))):
        return sqlite_url(raw)
    if separator and scheme.lower() in ("sqlite", "sqlite3", "sqlite+pysqlite"):
        return _sqlite(rest)
    if separator and scheme.lower() in _POSTGRES:
        url = f"postgresql+psycopg://{rest}"
        _check_postgres(url)
        return url
    raise ValueError("must be a PostgreSQL, as postgresql://user:password@host/database, or a file of SQLite, as "
                     "sqlite:///jobs.db or sqlite:////var/lib/jobs.db")


def sqlite_url(path: str | Path) -> str:
    """The URL of the SQLite file ``path``, which may hold any character."""
    return f"sqlite:///{quote(str(Path(path).expanduser().absolute()), safe='/ ', errors='surrogateescape')}"


def sqlite_path(url: str) -> str | None:
    """The path of the file that a URL of :func:`database_url` names; None for another kind of database."""
    scheme, _, rest = url.partition(":///")
    return unquote(rest.partition("?")[0], errors="surrogateescape") if scheme.startswith("sqlite") else None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"must have a port from 1 to 65535 after the last colon of the host; {_ENCODE}") from None
    if parts.port == 0:
        raise ValueError("must have a port from 1 to 65535")
    return parts


def _check_socket(parts: SplitResult) -> None:
    if parts.hostname or not parts.path.strip("/"):
        raise ValueError("must have the absolute path of a socket, as unix:///run/redis/redis.sock")


def _check_server(parts: SplitResult) -> None:
    if re.search(r"\s", parts.netloc):
        raise ValueError("has a space in the name of its host")
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("must end in the number of a database, as redis://127.0.0.1:6379/0, or in nothing")


def _check_redis_options(url: str) -> None:
    """Have redis-py read the address and make a connection object, which does not connect yet."""
    from redis import ConnectionPool

    query = urlsplit(url).query
    if query and not all("=" in option for option in query.split("&")):
        raise ValueError("has a ? that no option follows, as ?db=0: write a ? of a path as %3F")
    try:
        ConnectionPool.from_url(url).make_connection()
    except TypeError:
        raise ValueError(f"has an option that redis-py does not know: {', '.join(_options(query))}") from None
    except ValueError as error:
        raise ValueError(f"can not be read: {error}") from None


def _options(query: str) -> list[str]:
    return [name for name, _ in parse_qsl(query, keep_blank_values=True)]


def _sqlite(rest: str) -> str:
    path, question, query = rest.partition("?")
    if not path.startswith("/"):
        raise ValueError("must have three slashes before the path of a file, and four before an absolute one: "
                         "sqlite:///jobs.db, sqlite:////var/lib/jobs.db")
    if path == "/" or path.startswith(("/:memory:", "/file:")):
        raise ValueError("must name a file, as sqlite:///jobs.db: a database in memory is seen by one process only")
    if question and not all("=" in option for option in query.split("&")):
        raise ValueError("has a ? that no option follows: write a ? of the path as %3F")
    url = sqlite_url(unquote(path[1:], errors="surrogateescape")) + question + query
    if query:
        _check_sqlite_options(url)
    return url


def _check_sqlite_options(url: str) -> None:
    """Have SQLAlchemy read the address, and SQLite's driver the options in it."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    try:
        _, options = parsed.get_dialect()().create_connect_args(parsed)
        sqlite3.connect(":memory:", **options).close()
    except (TypeError, ValueError, OverflowError, sqlite3.Error):
        raise ValueError(f"has an option that SQLite does not take so: {', '.join(parsed.query)}") from None


def _check_postgres(url: str) -> None:
    """Have SQLAlchemy and libpq read the address."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    spelling = f"must be as postgresql://user:password@host:5432/database; {_ENCODE}"
    try:
        parsed = make_url(url)
        _, options = parsed.get_dialect()().create_connect_args(parsed)
    except (ArgumentError, ValueError):
        raise ValueError(spelling) from None
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    if "@" in (parsed.host or "") or re.search(r"\s", parsed.host or ""):
        raise ValueError(spelling)
    options.pop("context", None)
    if not re.fullmatch(r"-?[0-9]{1,9}", str(options.get("connect_timeout", "0"))):
        raise ValueError("has a connect_timeout that is no whole number of seconds")
    try:
        make_conninfo(**options)
    except ProgrammingError:
        raise ValueError(f"has an option that libpq does not know: {', '.join(parsed.query)}") from None
