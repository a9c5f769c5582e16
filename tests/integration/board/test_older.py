"""A rolling upgrade to a board of another shape: both versions work, and the older board is removed at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from jobsched.board import OLDER, PREFIX, Board
from jobsched.config import Settings
from jobsched.dispatch.dispatcher import Dispatcher
from jobsched.dispatch.repair import Sweeper
from jobsched.ledger import moves
from jobsched.ledger.database import writing
from jobsched.queues.lanes import SliceJob
from jobsched.work import runner
from tests.engine import all_completed, cut, draft, environment, insert, job, people, post, runtime, starts
from tests.support import BANDS, eventually

pytestmark = pytest.mark.usefixtures("ledger", "worker")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, repair_every_s=0.05)


@pytest.fixture
def worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a worker of this version holds, in this process."""
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    with runtime():
        yield


@pytest.fixture
def older(redis: Redis) -> Board:
    """A board under the name that boards of the older shape have."""
    return Board(redis, prefix=OLDER[0])


def keys_of(redis: Redis, prefix: str) -> list[bytes]:
    return sorted(redis.keys(f"{prefix}*"))


def work(redis: Redis) -> None:
    """Run what stands in the workers' queues, whichever version has put it there."""
    for band in BANDS:
        while id_ := redis.lpop(f"rq:queue:{band.queue}"):
            runner.run_slice(*SliceJob.fetch(id_.decode(), connection=redis).args)


def epoch(board: Board) -> str:
    return board.rules.read().epoch


def test_two_versions_beside_each_other_run_every_job_once_and_build_their_boards_once(
    settings: Settings, redis: Redis, older: Board, tmp_path: Path
) -> None:
    people(sites=2)
    book = tmp_path / "book"
    ours = Board(redis)
    dispatchers = [Dispatcher(settings, board, redis) for board in (older, ours)]
    waited = insert(settings, *(draft("tally", site=1 + i % 2, user=1 + i % 2, book=str(book)) for i in range(20)))
    for dispatcher in dispatchers:
        dispatcher.tick()
    built = [epoch(older), epoch(ours)]
    came = [*waited]
    for board in (older, ours):  # a web server of each version
        came += post(settings, board, *(draft("tally", site=2, user=2, book=str(book)) for _ in range(20)))

    def is_done() -> bool:
        for dispatcher in dispatchers:
            dispatcher.tick()
        work(redis)
        return all_completed(len(came))

    eventually(is_done)
    assert [epoch(older), epoch(ours)] == built
    assert starts(book) == dict.fromkeys(came, 1)


def test_what_waits_on_an_older_board_waits_on_ours(settings: Settings, redis: Redis, older: Board) -> None:
    people()
    Dispatcher(settings, older, redis).tick()
    ids = post(settings, older, *(draft(execution_time=5.0) for _ in range(3)))

    Sweeper(settings, Board(redis), redis).sweep()

    assert [board_.place for board_ in (Board(redis).view.why(id_) for id_ in ids)] == [1, 2, 3]  # type: ignore[union-attr]


def test_an_older_board_goes_once_none_of_its_processes_lives(settings: Settings, redis: Redis, older: Board) -> None:
    people()
    sweeper = Sweeper(settings, Board(redis), redis)
    for kind in ("dispatcher", "worker"):
        Sweeper(settings, older, redis).builder.lost()
        post(settings, older, draft())
        older.presence.beat(kind, "an older one", 60.0)
        there = keys_of(redis, OLDER[0])

        assert sweeper.sweep(whole=True)["older_boards"] == 0
        assert set(there) <= set(keys_of(redis, OLDER[0]))

        older.presence.leave(kind, "an older one")
        assert sweeper.sweep(whole=True)["older_boards"] > 0
        assert keys_of(redis, OLDER[0]) == []
    assert Board(redis).rules.read().built
    assert sum(lane.waiting for lane in Board(redis).view.lanes()) == 2


@pytest.mark.parametrize("kind", ["dispatcher", "worker"])
def test_rubbish_where_an_older_board_was_goes_too(settings: Settings, redis: Redis, kind: str) -> None:
    sweeper = Sweeper(settings, Board(redis), redis)
    redis.set(f"{OLDER[0]}alive:{kind}", "somebody")
    redis.zadd(f"{OLDER[0]}alive:scheduler", {"far": 1e300})
    redis.rpush(b"jobsched:\xff", "x")
    redis.set("jobsched", "another program's")

    sweeper.sweep(whole=True)

    assert keys_of(redis, OLDER[0]) == []
    assert redis.get("jobsched") == b"another program's"
    assert f"{PREFIX}rules".encode() in keys_of(redis, PREFIX)


def test_a_job_that_runs_at_an_older_worker_is_left_to_it_while_it_lives(
    settings: Settings, redis: Redis, older: Board
) -> None:
    people()
    settings = dataclasses.replace(settings, lease_s=0.1)
    Sweeper(settings, older, redis).builder.lost()
    post(settings, older, draft(execution_time=5.0))
    (slice_,) = cut(older, "task_05")
    with writing() as session:
        moves.start(session, slice_)
    older.presence.beat("worker", "an older one", 60.0)
    sweeper = Sweeper(settings, Board(redis), redis)
    sweeper.builder.lost()
    eventually(lambda: Board(redis).rules.age_s() > 2 * settings.lease_s)

    assert sweeper.leases.orphaned() == 0
    assert job(slice_.jobs[0].job).status == "running"

    older.presence.leave("worker", "an older one")
    assert sweeper.leases.orphaned() == 1
    assert job(slice_.jobs[0].job).status == "pending"
