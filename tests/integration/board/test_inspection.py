"""The board mends a single wrong value without a rebuild."""

from __future__ import annotations

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from tests.support import install, take, waiting_job


@pytest.fixture
def board(redis: Redis) -> Board:
    return install(Board(redis), "balanced")


@pytest.mark.parametrize("entry", ["garbage", "1 1 task_04 nan 0 1.7e9 - 0", "1 1 task_99 1.0 0 1.7e9 - 0"])
def test_a_job_whose_entry_can_not_be_read_keeps_no_other_from_running(board: Board, entry: str, redis: Redis) -> None:
    jobs = [waiting_job() for _ in range(3)]
    board.place(jobs)
    redis.hset(f"{PREFIX}jobs", str(jobs[0].id), entry)

    taken = [fence.job for slice_ in take(board, slices=3) for fence in slice_.jobs]

    assert taken == [job.id for job in jobs[1:]]
    assert board.rules.broken() is None


def test_a_lease_without_end_is_cut_to_what_its_worker_needs(board: Board, redis: Redis) -> None:
    board.place([waiting_job()])
    (slice_,) = take(board)
    redis.zadd(f"{PREFIX}flight", {slice_.id: float("inf")})

    assert board.upkeep.mend_future(10.0) == 1

    ends_at = redis.zscore(f"{PREFIX}flight", slice_.id)
    assert ends_at is not None
    assert 0 < ends_at - float(redis.time()[0]) < 12
