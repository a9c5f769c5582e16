"""The append-only files of a Redis, and ways to spoil them."""

from __future__ import annotations

import os
from pathlib import Path

from redis import Redis

#: The folder that a Redis keeps them in.
AOF = "appendonlydir"


def fill(redis: Redis, name: str) -> None:
    with redis.pipeline(transaction=False) as pipe:
        for number in range(2000):
            pipe.hset(f"{name}{number % 50}", str(number), "v" * 20)
        pipe.execute()


def base(data: Path) -> Path:
    return next(data.glob("*.base.rdb"))


def increment(data: Path) -> Path:
    return next(data.glob("*.incr.aof"))


def manifest(data: Path) -> Path:
    return next(data.glob("*.manifest"))


def zeros(file: Path, share: float) -> None:
    with file.open("r+b") as opened:
        opened.seek(int(file.stat().st_size * share))
        opened.write(bytes(64))


def garbage(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(bytes(range(128, 256)))


def cut(file: Path, share: float) -> None:
    os.truncate(file, int(file.stat().st_size * share))


def other_kind(file: Path) -> None:
    file.unlink()
    file.mkdir()
