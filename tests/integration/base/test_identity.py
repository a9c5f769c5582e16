"""Two machines with the same name and process ids do not take each other's work, or hide each other."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from redis import Redis
from rq import Worker

from jobsched.base import identity
from jobsched.board import Board
from jobsched.config import Settings
from jobsched.dispatch.dispatcher import Dispatcher
from jobsched.queues import lanes
from jobsched.staffing.plan import Slot
from jobsched.work.pool import Seat, end_leases
from jobsched.work.worker import LaneWorker
from tests.engine import Running, cut, draft, engine, environment, job, people, post, running, until_completed
from tests.support import BANDS, eventually, install, waiting_job

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

HOSTS = ["", "web-1", "two words", "a:b:c", "büro-münchen", "主机", "bad\udcff", "tab\there",
         "x" * 64, "y" * 300, "%s{}*?["]
#: A program of ours as the first process of a machine of its own, which is called "twin".
ALONE = ("unshare", "--pid", "--fork", "--mount-proc", "--uts", "--kill-child=SIGKILL", "sh", "-c",
         'hostname twin && exec "$0" "$@"')


@pytest.fixture
def board(redis: Redis) -> Board:
    import tests.engine_tasks  # noqa: F401

    return install(Board(redis), "balanced")


# Names


@pytest.mark.parametrize("host", HOSTS)
def test_a_worker_of_any_host_name_is_registered_once_and_found_by_its_name(
    redis: Redis, board: Board, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    workers = [LaneWorker(Slot(BANDS, ()), connection=redis, name=identity.process_name(pid=7)) for _ in range(2)]

    for worker in workers:
        worker.register_birth()  # refuses a name that a living worker has
        worker.heartbeat()

    names = {worker.name for worker in workers}
    assert len(names) == 2
    assert {worker.name for worker in Worker.all(connection=redis)} == names == set(board.presence.alive("worker"))
    assert {worker.ip_address for worker in workers} != {"unknown"}  # Redis took the name for the connection as well


def test_a_name_begins_with_what_a_person_knows_the_host_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "worker-3.example.org")

    assert identity.process_name(pid=12).startswith("worker-3.example.org-12-")


@only_sqlite
def test_a_seat_calls_each_worker_anew_though_it_has_the_id_of_the_last(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fork", lambda: 7)
    seat, names = Seat(Slot(BANDS, ()), 0, settings), []
    for _ in range(2):
        seat.pid = None
        seat.fill()
        names.append(seat.name(7))

    assert names[0] != names[1]
    assert seat.name(7) == names[1]


def test_what_a_namesake_held_stays_its_own(
    redis: Redis, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "twin")
    board.place([waiting_job()])
    [slice_] = cut(board, "task_04", lease_s=60.0, budget_s=1.0)
    first = LaneWorker(Slot(BANDS, ()), connection=redis, name=identity.process_name(pid=7))
    first.prepare_execution(lanes.SliceJob.create(lanes.RUN_SLICE, id=slice_.id, connection=redis))

    end_leases(redis, [identity.process_name(pid=7)])

    assert not board.upkeep.expired(10)


@only_sqlite
def test_dispatchers_of_one_host_name_and_one_id_are_two(
    settings: Settings, redis: Redis, ledger: object, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "twin")
    first, second = (Dispatcher(settings, board, redis) for _ in range(2))
    first.tick()
    second.tick()

    first.rest()

    assert board.presence.alive("dispatcher") == [second.name]


# Machines


def needs_machines() -> None:
    """Skip where this system gives no machine of its own to a process."""
    if not shutil.which("unshare") or subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("needs unshare, and the right to use it (as root): it makes the second machine")


@contextmanager
def machine(settings: Settings, kind: str, log: Path) -> Iterator[Running]:
    """A program of ours on a machine of its own, which is called as all the others, with the same process ids."""
    argv = [*ALONE, sys.executable, "-m", "jobsched", kind]
    with running(argv, environment(settings, JOBSCHED_WORKERS="1"), log) as ours:
        try:
            yield ours
        finally:
            for child in psutil.Process(ours.pid).children():
                child.terminate()
            psutil.wait_procs(psutil.Process(ours.pid).children(), timeout=20)


@pytest.mark.slow
def test_a_worker_that_starts_takes_nothing_from_a_living_one_of_the_same_host_name_and_id(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    needs_machines()
    people()
    with ExitStack() as stack:
        stack.enter_context(engine(settings, tmp_path, ("dispatcher",), JOBSCHED_REPAIR_EVERY="0.5"))
        stack.enter_context(machine(settings, "worker", tmp_path / "first.log"))
        (id_,) = post(settings, board, draft(
            "hold", execution_time=10.0, here=str(tmp_path / "held"), go=str(tmp_path / "go")))
        eventually((tmp_path / "held-1").exists, 40)
        (slice_,) = board.upkeep.flying()

        stack.enter_context(machine(settings, "worker", tmp_path / "second.log"))

        eventually(lambda: len(board.presence.alive("worker")) == 2, 40)
        process_ids = {name.split("-")[1] for name in board.presence.alive("worker")}
        assert len(process_ids) == 1, "the machines have other process ids"
        others = [draft(execution_time=0.001) for _ in range(20)]
        post(settings, board, *others)
        eventually(lambda: {job(i).status for i in range(id_ + 1, id_ + 21)} == {"completed"}, 40)
        assert list(board.upkeep.flying()) == [slice_]
        (tmp_path / "go").touch()
        until_completed(21)
    assert job(id_).attempt == 1
    assert not (tmp_path / "held-2").exists()


@pytest.mark.slow
@only_sqlite
def test_dispatchers_on_machines_of_one_name_are_both_seen(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    needs_machines()
    with ExitStack() as stack:
        for name in ("first", "second"):
            stack.enter_context(machine(settings, "dispatcher", tmp_path / f"{name}.log"))

        eventually(lambda: len(board.presence.alive("dispatcher")) == 2, 40)
        assert all(name.startswith("twin-1-") for name in board.presence.alive("dispatcher"))
