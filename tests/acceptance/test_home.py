"""An unusable home, file or database is reported in one sentence, without a traceback, and nothing keeps running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jobsched.base import home
from jobsched.config import load
from jobsched.host import embedded
from jobsched.ledger import schema
from tests.acceptance.up import BARE, Stacks, Up
from tests.support import eventually

pytestmark = pytest.mark.slow
Start = Callable[..., Up]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Start]:
    """Starts stacks of one program in one directory."""
    (tmp_path / "Procfile").write_text("sleeper: python -c 'import time; print(\"it runs\"); time.sleep(600)'")
    with Stacks(tmp_path) as stacks:
        yield lambda **env: stacks.start(**{"PORT": str(embedded.free_port()), **env})


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "jobsched", *arguments], env={**BARE, **env}, capture_output=True,
                          text=True, timeout=60, check=False)


def is_a_file(home: Path) -> None:
    home.write_text("")


def is_below_a_file(home: Path) -> None:
    home.parent.rmdir()
    home.parent.write_text("")


def has_a_folder_as_lock(home: Path) -> None:
    (home / "lock").mkdir(parents=True)


def has_a_folder_as_secret(home: Path) -> None:
    (home / "secret_key").mkdir(parents=True)


def has_a_folder_as_whereabouts(home: Path) -> None:
    (home / "stack.json").mkdir(parents=True)


def has_a_file_as_redis(home: Path) -> None:
    home.mkdir()
    (home / "redis").write_text("")


def is_of_another_user(home: Path) -> None:
    home.mkdir()
    os.chown(home, 65534, 65534)


def is_full_of_others(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    (home / "theirs").write_text("")


def is_a_loop(home: Path) -> None:
    home.symlink_to(home)


@pytest.mark.parametrize("spoil", [
    is_a_file, is_below_a_file, has_a_folder_as_lock, has_a_folder_as_secret, has_a_folder_as_whereabouts,
    has_a_file_as_redis, is_full_of_others, is_a_loop,
    pytest.param(is_of_another_user, marks=pytest.mark.skipif(os.geteuid() != 0, reason="root gives files away")),
])
def test_a_home_that_can_not_be_used_is_told_in_a_sentence(
    up: Start, tmp_path: Path, spoil: Callable[[Path], None],
) -> None:
    path = tmp_path / "parent" / "home"
    path.parent.mkdir()
    spoil(path)
    stack = up(JOBSCHED_HOME=str(path))
    assert stack.process.wait(30) == 1
    assert stack.said().splitlines()[-1].startswith(f"jobsched: JOBSCHED_HOME='{path}': ")
    assert "Traceback" not in stack.said()
    assert stack.living() == []


@pytest.mark.parametrize("name", ["web", "worker", "dispatcher", "scheduler"])
def test_a_process_started_by_hand_tells_in_a_sentence_that_no_key_can_be_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / "home").write_text("")
    said = command(name, JOBSCHED_HOME=str(tmp_path / "home"), DATABASE_URL=str(tmp_path / "jobs.db"),
                   REDIS_URL=f"127.0.0.1:{embedded.free_port()}", PORT=str(embedded.free_port()))
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(f"SECRET_KEY is not set, and none can be kept (JOBSCHED_HOME='{tmp_path}/home': ")
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["up"], ["migrate"]])
def test_a_read_only_home_is_told_in_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    script = 'mount -t tmpfs -o ro none "$1" && shift && exec "$@"'
    said = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable, "-m", "jobsched", *arguments],
        env={**BARE, "JOBSCHED_HOME": str(tmp_path / "home"), "PORT": str(embedded.free_port())},
        capture_output=True, text=True, timeout=60, check=False,
    ) if shutil.which("unshare") else None
    if said is None or "unshare:" in said.stderr or "mount:" in said.stderr:
        pytest.skip("needs the right to mount")
    assert said.returncode == 1
    assert said.stderr == (f"jobsched: JOBSCHED_HOME='{tmp_path}/home': can not be used: Read-only file system\n")


def is_a_folder(database: Path) -> None:
    database.mkdir()


def is_garbage(database: Path) -> None:
    database.write_bytes(b"this is no database, however long one looks at it" * 100)


def is_somebody_elses(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE sites (url TEXT)")
    connection.close()


def is_newer(database: Path) -> None:
    schema.upgrade(load({"DATABASE_URL": str(database)}))
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_from_the_future'")
    connection.close()


@pytest.mark.parametrize(("spoil", "says"), [
    (is_a_folder, "unable to open database file"),
    (is_garbage, "file is not a database"),
    (is_somebody_elses, "the database holds sites, made by something else"),
    (is_newer, "the database is at revision 9999_from_the_future, which this version of jobsched does not know"),
])
def test_a_database_that_can_not_be_used_is_told_in_a_sentence(
    up: Start, tmp_path: Path, spoil: Callable[[Path], None], says: str,
) -> None:
    database = tmp_path / "jobs.db"
    spoil(database)
    said = command("migrate", DATABASE_URL=str(database))
    assert (said.returncode, said.stdout) == (1, "")
    assert says in said.stderr
    assert said.stderr.count("\n") == 1
    stack = up(DATABASE_URL=str(database))
    assert stack.process.wait(60) == 1
    assert says in stack.said()
    assert "Traceback" not in stack.said()
    assert stack.living() == []


@pytest.mark.parametrize("name", ["policy", "repair", "plan"])
def test_the_other_commands_tell_garbage_in_a_sentence_too(tmp_path: Path, name: str) -> None:
    (tmp_path / "jobs.db").write_bytes(b"garbage" * 1000)
    said = command(name, DATABASE_URL=str(tmp_path / "jobs.db"), REDIS_URL=f"127.0.0.1:{embedded.free_port()}",
                   JOBSCHED_HOME=str(tmp_path / "home"))
    assert said.returncode == 1
    assert said.stderr.startswith("jobsched: ")
    assert said.stderr.count("\n") == 1


def test_a_home_that_others_could_read_is_closed_with_all_files_of_ours(up: Start, tmp_path: Path) -> None:
    path = tmp_path / "home"
    before = os.umask(0)
    try:
        first = up()
        first.until_it_says("it runs")
        assert modes(path) == {0o700, 0o600}
        assert {file.name for file in path.rglob("*")} >= {"jobsched.db", "redis.log", "stack.json", "password"}
        first.end()
        for file in [path, *path.rglob("*")]:
            file.chmod(0o755)
        second = up()
        second.until_it_says("it runs")
        assert modes(path) == {0o700, 0o600}
    finally:
        os.umask(before)


def modes(path: Path) -> set[int]:
    found = [file.stat() for file in [path, *path.rglob("*")]]
    return {stat.S_IMODE(each.st_mode) for each in found if not stat.S_ISSOCK(each.st_mode)}


def test_a_folder_with_other_things_stays_open_and_only_our_files_are_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "theirs").touch(0o644)
    (tmp_path / "secret_key").touch(0o644)
    home.make(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def announce(directory: Path) -> Path:
    """A word of a stack that runs: this process."""
    path = directory / "stack.json"
    path.write_text(json.dumps({"pid": os.getpid(), "url": "http://127.0.0.1:1/", "redis_url": "redis://127.0.0.1:1"}))
    path.chmod(0o600)
    return path


def test_what_the_owner_alone_can_have_written_is_believed(tmp_path: Path) -> None:
    announce(tmp_path)
    running = home.running(tmp_path)
    assert running
    assert running.redis_url == "redis://127.0.0.1:1"


@pytest.mark.parametrize("spoil", [
    lambda path: path.chmod(0o622),
    lambda path: path.parent.chmod(0o777),
    lambda path: path.rename(path.with_name("there")).parent.joinpath("stack.json").symlink_to("there"),
    pytest.param(lambda path: os.chown(path, 65534, -1), marks=pytest.mark.skipif(os.geteuid() != 0, reason="root")),
    pytest.param(lambda path: os.chown(path.parent, 65534, -1),
                 marks=pytest.mark.skipif(os.geteuid() != 0, reason="root")),
], ids=["a file others may write", "a folder others may write", "a link", "another's file", "another's folder"])
def test_what_another_may_have_written_is_not_believed(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(announce(tmp_path))
    with pytest.raises(home.CannotUseHome, match="is not trusted: it must belong to you"):
        home.running(tmp_path)
    said = command("policy", JOBSCHED_HOME=str(tmp_path))
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "is not trusted" in said.stderr


@pytest.mark.parametrize("text", [
    "", "garbage", "[]", "{}", '{"pid": "x", "url": 1, "redis_url": 2}', '{"pid": 1e400, "url": "", "redis_url": ""}',
    '{"pid": -5, "url": "", "redis_url": ""}',
])
def test_what_makes_no_sense_is_no_running_stack(tmp_path: Path, text: str) -> None:
    announce(tmp_path).write_text(text)
    assert home.running(tmp_path) is None


def test_a_hangup_that_is_ignored_ends_nothing(up: Start, tmp_path: Path) -> None:
    (tmp_path / "Procfile").unlink()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stack = up()
    finally:
        signal.signal(signal.SIGHUP, before)
    stack.until_it_says("jobsched serves")
    eventually(lambda: len(stack.living()) >= 12, 60.0)  # the stack, Redis, the scheduler, and what has children
    members = {process.pid: process for process in stack.living() if process.pid in permanent(stack)}
    for member in members.values():
        member.send_signal(signal.SIGHUP)
    said = command("policy", JOBSCHED_HOME=str(tmp_path / "home"))
    assert said.returncode == 0
    assert {member.pid for member in members.values() if member.is_running()} == members.keys() == permanent(stack)
    assert "ended with" not in stack.said()
    assert stack.end() == 0


def permanent(stack: Up) -> set[int]:
    """The stack, its programs, and their children: the web's and the crew's workers."""
    top = psutil.Process(stack.process.pid)
    programs = top.children()
    return {top.pid, *(each.pid for each in programs), *(child.pid for each in programs for child in each.children())}
