"""Worker processes: their queues, and what happens to jobs when they are killed, stopped, or left without Redis."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Worker

from jobsched import tasks
from jobsched.board import PREFIX, Board, code_of
from jobsched.config import Settings
from jobsched.queues import lanes
from jobsched.staffing.plan import Slot
from jobsched.work.pool import end_leases
from jobsched.work.worker import LaneWorker
from tests import forged
from tests.engine import cut, draft, engine, job, people, post, starts, until_completed
from tests.servers import redis_binary
from tests.support import BANDS, eventually, install, take, waiting_job

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

QUICK = {"JOBSCHED_WORKERS": "3", "JOBSCHED_LEASE": "1", "JOBSCHED_REPAIR_EVERY": "0.5"}


@pytest.fixture
def board(redis: Redis) -> Board:
    import tests.engine_tasks  # noqa: F401

    return install(Board(redis), "balanced")


# Queues


def names(worker: LaneWorker) -> list[str]:
    """The lanes that it looks at, in order; the queue of those who know what it knows stands before each of them."""
    found = [queue.name for queue in worker._ordered_queues]
    code = code_of(tasks.names())
    assert found[1:] == [name for lane in found[2::2] for name in (f"{lane}-{code}", lane)]
    return [found[0], *found[2::2]]


def lane_worker(redis: Redis, slot: Slot) -> LaneWorker:
    return LaneWorker(slot, connection=redis, name="one")


def test_a_worker_looks_at_its_own_lane_first_and_helps_the_shortest_first(redis: Redis) -> None:
    worker = lane_worker(redis, Slot((BANDS[4],), BANDS[:4]))

    assert names(worker) == ["wake", "band-10s", "band-1ms", "band-10ms", "band-100ms", "band-1s"]


def test_the_lane_whose_sites_have_had_least_comes_first_from_the_next_slice_on(redis: Redis, board: Board) -> None:
    worker = lane_worker(redis, Slot(BANDS[3:4], BANDS[:3]))
    board.place([waiting_job(site=site, execution_time=size) for site, size in ((1, 0.05), (2, 0.5)) for _ in range(4)])
    worker.look()
    assert names(worker) == ["wake", "band-1ms", "band-10ms", "band-100ms", "band-1s"]

    take(board, "task_03", 3)  # the site has had 0.1 s before the third of them
    worker.look()

    assert names(worker) == ["wake", "band-1ms", "band-10ms", "band-1s", "band-100ms"]


def test_a_lost_board_leaves_the_order_as_it_is(redis: Redis, board: Board) -> None:
    worker = lane_worker(redis, Slot(BANDS[3:4], BANDS[:1]))
    redis.flushall()

    worker.look()

    assert names(worker) == ["wake", "band-1s", "band-1ms"]


def test_a_worker_that_ends_is_not_alive_any_more(redis: Redis, board: Board) -> None:
    worker = lane_worker(redis, Slot((BANDS[4],), ()))
    worker.register_birth()
    worker.heartbeat()
    assert board.presence.alive("worker") == ["one"]

    worker.register_death()

    assert board.presence.alive("worker") == []


def test_a_worker_that_redis_forgot_registers_again(redis: Redis, board: Board) -> None:
    worker = lane_worker(redis, Slot((BANDS[4],), BANDS[:1]))
    worker.register_birth()
    redis.flushall()

    worker.heartbeat()

    (found,) = Worker.all(connection=redis)
    assert [queue.name for queue in found.queues] == ["wake", "band-10s", "band-1ms"]
    assert lanes.room(redis, BANDS, 0.1)["task_01"].slices == 2  # it counts in the lane's window
    assert redis.ttl(worker.key) > 0


# Another plan


def registered(redis: Redis) -> dict[str, int]:
    """How many workers listen to each lane's queue, as RQ counts them."""
    return {band.label: Worker.count(queue=lanes.queue(redis, band.queue)) for band in BANDS}


def test_a_worker_changes_to_the_slot_that_it_should_have(redis: Redis, board: Board) -> None:
    long, short = Slot(BANDS[4:], BANDS[:4]), Slot(BANDS[:4], ())
    slots = [long]
    worker = LaneWorker(long, connection=redis, name="one", assigned=lambda: slots[-1])
    worker.register_birth()
    assert registered(redis) == dict.fromkeys(registered(redis), 1)

    slots.append(short)
    worker.heartbeat()

    assert names(worker) == ["wake", "band-1ms", "band-10ms", "band-100ms", "band-1s"]
    assert registered(redis) == {"1ms": 1, "10ms": 1, "100ms": 1, "1s": 1, "10s": 0}
    (found,) = Worker.all(connection=redis)
    assert found.queue_names() == names(worker)
    worker.register_death()
    assert set(registered(redis).values()) == {0}


def test_a_worker_with_a_slice_in_its_hands_changes_after_it(
    redis: Redis, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = Slot(BANDS[4:], BANDS[:4]), Slot(BANDS[:4], ())
    slots = [long]
    worker = LaneWorker(long, connection=redis, name="one", assigned=lambda: slots[-1])
    worker.register_birth()
    meanwhile: list[list[str]] = []

    def slice_in_hand(*_: object) -> None:
        slots.append(short)
        worker.heartbeat()
        meanwhile.append(names(worker))

    monkeypatch.setattr(LaneWorker, "perform_job", slice_in_hand)
    job_ = lanes.SliceJob.create(lanes.RUN_SLICE, id="s-1", connection=redis)
    worker.execute_job(job_, lanes.queue(redis, "band-10s"))
    worker.heartbeat()

    assert "band-10s" in meanwhile[0]
    assert "band-10s" not in names(worker)


@pytest.mark.slow
def test_workers_follow_the_mix_and_every_job_runs_once(
    settings: Settings, ledger: object, board: Board, tmp_path: Path, redis: Redis
) -> None:
    people()
    book, seen = tmp_path / "book", []

    def listening() -> dict[str, int]:
        seen.append(registered(redis))
        return seen[-1]

    with engine(settings, tmp_path, ("dispatcher", "worker"), JOBSCHED_WORKERS="4"):
        eventually(lambda: registered(redis) == {"1ms": 4, "10ms": 4, "100ms": 4, "1s": 4, "10s": 3}, 40)
        (held_,) = post(settings, board, draft("hold", execution_time=5, **held(tmp_path)))
        wait_for_start(tmp_path)
        long = [draft("tally", book=str(book), execution_time=5, seconds=0.01) for _ in range(5)]
        short = [draft("tally", book=str(book), execution_time=0.9, seconds=0.1) for _ in range(60)]

        ids = post(settings, board, *long, *short)

        eventually(lambda: listening()["10s"] <= 2, 60)  # the one that holds a slice may have to change as well
        (tmp_path / "go").touch()
        until_completed(66)
        eventually(lambda: listening()["10s"] == 1, 60)
        late = post(settings, board, *long, *short)
        until_completed(131)

    assert starts(book) == dict.fromkeys([*ids, *late], 1)
    assert {job(id_).attempt for id_ in [held_, *ids, *late]} == {1}
    assert all(min(now.values()) >= 1 and now["10s"] < 4 for now in seen)


# Processes


def test_the_lease_of_what_a_dead_worker_held_ends_at_once(redis: Redis, board: Board) -> None:
    board.place([waiting_job()])
    [slice_] = cut(board, "task_04", lease_s=60.0, budget_s=1.0)
    worker = lane_worker(redis, Slot(BANDS, ()))
    worker.prepare_execution(lanes.SliceJob.create(lanes.RUN_SLICE, id=slice_.id, connection=redis))

    end_leases(redis, ["another", worker.name])

    assert list(board.upkeep.expired(10)) == [slice_.id]


def test_rubbish_among_what_a_dead_worker_held_keeps_no_lease(redis: Redis, board: Board) -> None:
    board.place([waiting_job()])
    [slice_] = cut(board, "task_04", lease_s=60.0, budget_s=1.0)
    worker = lane_worker(redis, Slot(BANDS, ()))
    worker.prepare_execution(lanes.SliceJob.create(lanes.RUN_SLICE, id=slice_.id, connection=redis))
    redis.sadd(f"rq:worker:{worker.name}:executions", *forged.RUBBISH)
    redis.set("rq:worker:another:executions", "x")

    end_leases(redis, ["another", worker.name])

    assert list(board.upkeep.expired(10)) == [slice_.id]


def held(tmp_path: Path, name: str = "held") -> dict[str, str]:
    return {"here": str(tmp_path / name), "go": str(tmp_path / "go")}


def wait_for_start(tmp_path: Path, attempt: int = 1, name: str = "held") -> tuple[int, int]:
    """The process ids of the task process that runs the held job, and of its worker."""
    path = tmp_path / f"{name}-{attempt}"
    process, worker = eventually(lambda: path.exists() and path.read_text().split(), 40)
    return int(process), int(worker)


def living(redis: Redis) -> list[Worker]:
    """RQ's workers without those whose entry outlives them for a while."""
    return [worker for worker in Worker.all(connection=redis) if psutil.pid_exists(worker.pid)]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["task", "worker"])
def test_a_job_of_a_killed_process_runs_again_and_is_completed_once(
    settings: Settings, ledger: object, board: Board, tmp_path: Path, victim: str, redis: Redis
) -> None:
    people()
    with engine(settings, tmp_path, ("dispatcher", "worker"), **QUICK):
        (id_,) = post(settings, board, draft("hold", execution_time=10.0, **held(tmp_path)))
        process, worker = wait_for_start(tmp_path)

        os.kill(worker if victim == "worker" else process, signal.SIGKILL)

        eventually(lambda: not psutil.pid_exists(process))  # it does not outlive its worker
        wait_for_start(tmp_path, attempt=2)
        (tmp_path / "go").touch()
        until_completed(1)

        assert psutil.pid_exists(worker) == (victim == "task")
        assert (job(id_).attempt, job(id_).result) == (2, f"{id_}-2")
        eventually(lambda: board.upkeep.flying() == {})
        eventually(lambda: len(living(redis)) == 3)  # its seat is filled again


@pytest.mark.slow
@only_sqlite
def test_a_job_that_kills_its_process_fails_alone(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    """Its slice's other jobs complete, however often it takes the process down."""
    people()
    book = tmp_path / "book"
    ids = post(settings, board, *(draft("tally", book=str(book)) for _ in range(3)), draft("crash"),
               *(draft("tally", book=str(book)) for _ in range(3)))
    with engine(settings, tmp_path, ("dispatcher", "worker"), **QUICK):
        eventually(lambda: all(job(id_).status in ("completed", "failed") for id_ in ids), 60)

    assert [job(id_).status for id_ in ids] == ["completed"] * 3 + ["failed"] + ["completed"] * 3
    assert job(ids[3]).attempt == 3
    assert max(starts(book).values()) <= 2


@pytest.mark.slow
@only_sqlite
def test_a_task_that_nothing_stops_is_killed_and_what_ended_before_it_stays_recorded(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    people()
    book = tmp_path / "book"
    before, stuck, after = post(settings, board, draft("tally", book=str(book)), draft("immortal"),
                                draft("tally", book=str(book)))
    with engine(settings, tmp_path, ("dispatcher", "worker"), **QUICK):
        eventually(lambda: all(job(id_).status in ("completed", "failed") for id_ in (before, stuck, after)), 60)

    assert [job(id_).status for id_ in (before, stuck, after)] == ["completed", "failed", "completed"]
    assert "was killed" in str(job(stuck).error)
    assert starts(book) == {before: 1, after: 1}


@pytest.mark.slow
def test_sigterm_lets_the_slice_in_hand_end_and_nothing_runs_twice(
    settings: Settings, ledger: object, board: Board, tmp_path: Path, redis: Redis
) -> None:
    people()
    with engine(settings, tmp_path, ("dispatcher", "worker"), **QUICK) as programs:
        (id_,) = post(settings, board, draft("hold", execution_time=10.0, **held(tmp_path)))
        wait_for_start(tmp_path)

        programs["worker"].process.terminate()
        eventually(lambda: len(Worker.all(connection=redis)) == 1)  # the idle ones have gone
        (tmp_path / "go").touch()

        assert programs["worker"].process.wait(20) == 0
    assert (job(id_).status, job(id_).attempt) == ("completed", 1)
    assert board.upkeep.flying() == {}
    assert board.presence.alive("worker") == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
@only_sqlite
def test_told_to_stop_while_its_workers_start_it_stops(
    settings: Settings, ledger: object, tmp_path: Path, workers: int, redis: Redis
) -> None:
    with engine(settings, tmp_path, ("worker",), **QUICK) as programs:
        us = psutil.Process(programs["worker"].pid)
        eventually(lambda: len(us.children()) >= workers, every_s=0.001)

        assert programs["worker"].end() == 0


@pytest.mark.slow
@only_sqlite
def test_a_killed_supervisor_leaves_no_worker(
    settings: Settings, ledger: object, board: Board, tmp_path: Path
) -> None:
    people()
    with engine(settings, tmp_path, ("dispatcher", "worker"), **QUICK) as programs:
        post(settings, board, draft("hold", execution_time=10.0, **held(tmp_path)))
        wait_for_start(tmp_path)
        below = psutil.Process(programs["worker"].pid).children(recursive=True)
        assert len(below) == 4

        programs["worker"].process.kill()

        assert psutil.wait_procs(below, timeout=20)[1] == []


@pytest.mark.slow
@only_sqlite
def test_a_worker_that_can_not_start_says_why(settings: Settings, ledger: object, tmp_path: Path) -> None:
    nowhere = dataclasses.replace(settings, redis_url=f"unix://{tmp_path}/nobody.sock")
    with engine(nowhere, tmp_path, ("worker",), **QUICK) as programs:
        eventually(lambda: programs["worker"].said().count("nobody.sock") >= 6, 40)  # three seats, again and again
        assert programs["worker"].process.poll() is None  # it goes on trying


def answers(socket: Path) -> bool:
    with Redis.from_url(f"unix://{socket}") as client, suppress(RedisError):
        return bool(client.ping())
    return False


@contextmanager
def redis_at(socket: Path) -> Iterator[None]:
    """A Redis without persistence on a socket, which ends as by kill -9."""
    process = subprocess.Popen([redis_binary(), "--port", "0", "--unixsocket", str(socket), "--save", ""],
                               stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(socket))
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@only_sqlite
def test_a_job_outlives_a_redis_that_comes_back_empty(settings: Settings, ledger: object, tmp_path: Path) -> None:
    import tests.engine_tasks  # noqa: F401

    socket = tmp_path / "redis.sock"
    settings = dataclasses.replace(settings, redis_url=f"unix://{socket}?db=0")
    people()
    with ExitStack() as stack:
        with redis_at(socket):
            stack.enter_context(engine(settings, tmp_path, ("dispatcher", "worker"), JOBSCHED_WORKERS="2"))
            client = stack.enter_context(Redis.from_url(settings.redis_url))
            board = Board(client)
            eventually(lambda: board.presence.alive("worker"))
            (id_,) = post(settings, board, draft("hold", execution_time=10.0, **held(tmp_path)))
            wait_for_start(tmp_path)
            # The worker's next heartbeat, which finds no Redis, has to fall into the outage: wait for one first.
            shown = client.zrange(f"{PREFIX}alive:worker", 0, -1, withscores=True)
            eventually(lambda: client.zrange(f"{PREFIX}alive:worker", 0, -1, withscores=True) != shown)
        log = tmp_path / "worker.log"
        eventually(lambda: "could not" in log.read_text() and "heartbeat" in log.read_text(), 30)
        with redis_at(socket):
            eventually(board.upkeep.flying)  # its worker has put it back
            (tmp_path / "go").touch()
            until_completed(1)
            assert job(id_).attempt == 1
            stack.close()
