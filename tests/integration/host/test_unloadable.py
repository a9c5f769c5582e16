"""Files that Redis cannot load are recognised among other failures and set aside, on real servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from jobsched.host import embedded, unloadable
from tests.aof import AOF, base, cut, fill, garbage, increment, manifest, other_kind, zeros
from tests.servers import redis_binary
from tests.support import eventually


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a killed Redis leaves: a base, an increment and a manifest."""
    directory = tmp_path_factory.mktemp("aof")
    with started(directory) as process, Redis.from_url(url_in(directory)) as redis:
        eventually(lambda: embedded.answers(url_in(directory)))
        fill(redis, "base")
        redis.bgrewriteaof()
        eventually(lambda: list((directory / AOF).glob("*.2.base.rdb")))
        eventually(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])
        fill(redis, "increment")
        process.kill()
    return directory / AOF


@contextmanager
def started(directory: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis on ``directory``, killed at the end."""
    process = subprocess.Popen([
        redis_binary(), "--port", "0", "--unixsocket", str(directory / "s"), "--dir", str(directory), "--appendonly",
        "yes", "--appendfsync", "always", "--save", "", "--logfile", str(directory / "log"), *options])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def url_in(directory: Path) -> str:
    return f"unix://{directory / 's'}"


def file_instead(data: Path) -> None:
    shutil.rmtree(data)
    data.touch()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "zeros in the middle of the increment": lambda data: zeros(increment(data), 0.5),
    "zeros in the middle of the base": lambda data: zeros(base(data), 0.5),
    "zeros at the head of the base": lambda data: zeros(base(data), 0.0),
    "garbage at the tail of the increment": lambda data: garbage(increment(data)),
    "garbage at the tail of the base": lambda data: garbage(base(data)),
    "a base that ends early": lambda data: cut(base(data), 0.7),
    "a manifest that ends early": lambda data: cut(manifest(data), 0.6),
    "an empty manifest": lambda data: cut(manifest(data), 0.0),
    "garbage in the manifest": lambda data: garbage(manifest(data)),
    "no increment": lambda data: increment(data).unlink(),
    "no base": lambda data: base(data).unlink(),
    "a folder for a base": lambda data: other_kind(base(data)),
    "a base of a newer Redis": lambda data: base(data).write_bytes(b"REDIS0099" + base(data).read_bytes()[9:]),
    "a file for the folder": lambda data: file_instead(data),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_data_that_does_not_load_is_kept_under_another_name_and_redis_starts_empty(
        tmp_path: Path, written: Path, damage: Callable[[Path], None]) -> None:
    data = Path(shutil.copytree(written, tmp_path / AOF))
    damage(data)
    before = contents(data)
    with started(tmp_path) as process:
        assert process.wait(30) != 0
    assert unloadable.complaint(tmp_path / "log")
    [aside] = unloadable.set_aside(tmp_path)
    assert aside.name.startswith(f"{AOF}.2")
    assert contents(aside) == before
    with started(tmp_path), Redis.from_url(url_in(tmp_path)) as redis:
        eventually(lambda: embedded.answers(url_in(tmp_path)))
        assert redis.dbsize() == 0


def test_a_snapshot_that_does_not_load_is_set_aside_as_well(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0010\0\0\0\0garbage")
    with started(tmp_path, "--appendonly", "no") as process:
        assert process.wait(30) != 0
    assert unloadable.complaint(tmp_path / "log")
    assert [path.name.partition(".2")[0] for path in unloadable.set_aside(tmp_path)] == ["dump.rdb"]


def test_nothing_is_complained_of_where_the_end_alone_is_missing(tmp_path: Path, written: Path) -> None:
    data = Path(shutil.copytree(written, tmp_path / AOF))
    cut(increment(data), 0.7)  # Redis sees to that by itself
    with started(tmp_path):
        eventually(lambda: embedded.answers(url_in(tmp_path)))
    assert unloadable.complaint(tmp_path / "log") is None


@pytest.mark.parametrize("options", [
    ("--unixsocket", "/nowhere/s"), ("--port", "-5"), ("--unixsocket", "/nowhere/s", "--maxmemory", "oops")])
def test_another_reason_to_end_is_no_complaint_of_the_data_also_after_one(
        tmp_path: Path, written: Path, options: tuple[str, ...]) -> None:
    data = Path(shutil.copytree(written, tmp_path / AOF))
    with started(tmp_path):
        eventually(lambda: embedded.answers(url_in(tmp_path)))
    with started(tmp_path, *options) as process:
        assert process.wait(30) != 0
    assert unloadable.complaint(tmp_path / "log") is None
    assert data.is_dir()


@pytest.mark.parametrize("reason", ["Permission denied", "No space left on device", "Input/output error",
                                    "Cannot allocate memory"])
def test_data_that_the_machine_does_not_let_it_read_or_write_is_not_to_blame(tmp_path: Path, reason: str) -> None:
    (tmp_path / "log").write_text(
        "1:C 1 Jan 2026 00:00:00.000 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n"
        f"1:M 1 Jan 2026 00:00:00.000 # Unrecoverable error reading the append only file a.1.base.rdb: {reason}\n")
    assert unloadable.complaint(tmp_path / "log") is None


def test_a_log_that_is_not_there_holds_no_complaint(tmp_path: Path) -> None:
    assert unloadable.complaint(tmp_path / "log") is None


def test_what_is_set_aside_twice_in_a_moment_is_kept_twice(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / AOF).mkdir()
        (tmp_path / AOF / "file").touch()
        assert unloadable.set_aside(tmp_path)
    assert len(list(tmp_path.glob(f"{AOF}.*"))) == 3
    assert unloadable.set_aside(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("which", [lambda data: data, increment], ids=["the folder", "a file in it"])
def test_what_belongs_to_another_user_is_not_renamed(
        tmp_path: Path, written: Path, which: Callable[[Path], Path]) -> None:
    data = Path(shutil.copytree(written, tmp_path / AOF))
    (tmp_path / "dump.rdb").touch()
    os.chown(which(data), 4711, 4711)
    with pytest.raises(unloadable.CannotSetAside, match="belongs to the user 4711"):
        unloadable.set_aside(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [AOF, "dump.rdb"]


def contents(data: Path) -> dict[str, bytes | None]:
    if data.is_file():
        return {"": data.read_bytes()}
    return {path.name: path.read_bytes() if path.is_file() else None for path in data.iterdir()}
