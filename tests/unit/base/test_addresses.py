"""Addresses: usual spellings, any character in a path, a sentence for unusable ones, and no password shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import ConnectionPool

from jobsched.base.addresses import database_url, redacted, redis_url, sqlite_path, sqlite_url, without_passwords
from jobsched.ledger.database import engine_url

#: What a checkout, a home, a socket or a database may be called.
ODD = ["two words", "a=b", "%41", "ten?a", "a#b", "it's", 'say "so"', "a;b&c", "$HOME", "größe", "-v", "line\nbreak",
       "a@b:c", "back\\slash", "*[x]{y}", "not-utf-8-\udcff", " ends with space "]


@pytest.mark.parametrize(("raw", "url"), [
    ("127.0.0.1:6379", "redis://127.0.0.1:6379"),
    ("localhost", "redis://localhost"),
    ("cache:6380/2", "redis://cache:6380/2"),
    ("user:hush@cache:6380", "redis://user:hush@cache:6380"),
    ("[::1]:6379", "redis://[::1]:6379"),
    ("REDIS://cache", "redis://cache"),
    ("valkey://cache", "redis://cache"),
    ("rediss://cache:6380/0", "rediss://cache:6380/0"),
    ("redis://:p%40ss@cache/1", "redis://:p%40ss@cache/1"),
    ("/run/my redis/redis.sock", "unix:///run/my%20redis/redis.sock"),
    ("redis+socket:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
    ("unix://:hush@/run/redis.sock", "unix://:hush@/run/redis.sock"),
])
def test_the_usual_spellings_of_a_redis_are_understood(raw: str, url: str) -> None:
    assert redis_url(raw) == url


@pytest.mark.parametrize(("raw", "says"), [
    ("http://cache", "must begin with redis://"),
    ("redis://cache:http", "must have a port"),
    ("redis://cache:99999", "must have a port"),
    ("redis://cache:0", "must have a port"),
    ("::1:6379", "must have a port"),
    ("redis://:hu#sh@cache", "must have a port"),
    ("redis://:hu/sh@cache", "must have a port"),
    ("redis:// cache", "has a space"),
    ("redis://cache/jobs", "must end in the number of a database"),
    ("redis://cache?shard=1", "has an option that redis-py does not know: shard"),
    ("redis://cache?socket_timeout=soon", "can not be read"),
    ("unix://", "must have the absolute path of a socket"),
    ("unix://run/redis.sock", "must have the absolute path of a socket"),
    ("unix:///tmp/ten?a/redis.sock", "write a ? of a path as %3F"),
    ("unix:///tmp/a#b/redis.sock", "write it as %23"),
])
def test_a_redis_that_can_not_be_used_is_told_in_a_sentence(raw: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("?", r"\?")) as raised:
        redis_url(raw)
    assert "hu" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("raw", [
    "postgres://u:p@host:5432/db", "postgresql://u:p@host:5432/db", "postgresql+psycopg://u:p@host:5432/db",
    "postgresql+psycopg2://u:p@host:5432/db", "postgres+psycopg2://u:p@host:5432/db", "POSTGRES://u:p@host:5432/db",
])
def test_postgresql_is_reached_by_psycopg_however_it_is_spelled(raw: str) -> None:
    assert database_url(raw) == "postgresql+psycopg://u:p@host:5432/db"


@pytest.mark.parametrize(("raw", "path"), [
    ("jobs.db", Path("jobs.db").absolute()),
    ("data/jobs.sqlite3", Path("data/jobs.sqlite3").absolute()),
    ("./jobs", Path("jobs").absolute()),
    ("/var/lib/jobs", Path("/var/lib/jobs")),
    ("~/jobs.db", Path.home() / "jobs.db"),
    ("sqlite:///jobs.db", Path("jobs.db").absolute()),
    ("sqlite:////var/lib/jobs.db", Path("/var/lib/jobs.db")),
    ("sqlite:////var/ten%3Fa/jobs.db", Path("/var/ten?a/jobs.db")),
    ("sqlite:////var/two words/jobs.db?timeout=3", Path("/var/two words/jobs.db")),
])
def test_the_usual_spellings_of_a_file_are_understood(raw: str, path: Path) -> None:
    assert sqlite_path(database_url(raw)) == str(path)


@pytest.mark.parametrize(("raw", "says"), [
    ("mysql://host/db", "must be a PostgreSQL"),
    ("postgresql+asyncpg://host/db", "must be a PostgreSQL"),
    ("jobs", "must be a PostgreSQL"),
    ("sqlite:jobs.db", "must be a PostgreSQL"),
    ("sqlite://jobs.db", "must have three slashes"),
    ("sqlite://", "must have three slashes"),
    ("sqlite:///", "must name a file"),
    ("sqlite:///:memory:", "must name a file"),
    ("sqlite:////tmp/ten?a/jobs.db", "write a ? of the path as %3F"),
    ("postgresql://host:http/db", "must be as postgresql://"),
    ("postgresql://host:99999/db", "must have a port"),
    ("postgresql://u:hu@sh@host/db", "must be as postgresql://"),
    ("postgresql://host/db?colour=red", "has an option that libpq does not know: colour"),
    ("postgresql://host/db?connect_timeout=soon", "has a connect_timeout that is no whole number of seconds"),
    ("sqlite:////srv/jobs.db?timeout=soon", "has an option that SQLite does not take so: timeout"),
])
def test_a_database_that_can_not_be_used_is_told_in_a_sentence(raw: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("?", r"\?")) as raised:
        database_url(raw)
    assert "hu" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ODD)
def test_a_path_may_hold_any_character(name: str) -> None:
    path = f"/tmp/{name}/file"
    assert sqlite_path(sqlite_url(path)) == path
    assert database_url(sqlite_url(path)) == sqlite_url(path)
    assert engine_url(sqlite_url(path)).database == path
    assert engine_url(sqlite_url(path) + "?timeout=3").query == {"timeout": "3"}
    if "\udcff" not in name:  # redis-py reads UTF-8 only
        assert ConnectionPool.from_url(redis_url(path)).connection_kwargs["path"] == path


@pytest.mark.parametrize("url", [
    "redis://:hush@host:6379/0", "redis://me:hush@host", "redis://:hush", "redis://:hu@hush@host", "redis://me:hush/0",
    "redis://:1/hush@host", "me:hush@host", "redis://host?password=hush", "postgresql://host/db?user=me&password=hush",
    "postgresql://host/db?sslpassword=hush", "unix://:hush@/run/redis.sock?db=0", "host=h password=hush",
])
def test_no_password_is_shown(url: str) -> None:
    assert "hush" not in redacted(url)
    assert "***" in redacted(url)


@pytest.mark.parametrize("url", [
    "redis://host:6379/0", "redis://[::1]:6379/0", "unix:///run/redis.sock?db=0", "sqlite:////var/jobs.db", "host:6379",
    "postgresql://host/db?sslmode=require", "8000", "balanced",
])
def test_what_holds_no_password_is_shown_whole(url: str) -> None:
    assert redacted(url) == url


def test_no_password_of_a_url_inside_a_message_is_shown() -> None:
    said = without_passwords("tried 'redis://me:hush@one/0' and postgresql://me:hush@two/db?password=hush in vain")
    assert said == "tried 'redis://***@one/0' and postgresql://***@two/db?password=*** in vain"
