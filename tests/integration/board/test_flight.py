"""The board, on fakeredis and on a real Redis: slices in flight, jobs taken back, the doorbell."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.domain import Fence
from tests.support import counts, ids, take, waiting_job

# Clocks and leases


def test_the_board_reads_the_clock_of_redis_unless_it_has_one_of_its_own(board: Board) -> None:
    board.place([waiting_job()])
    before = time.time()
    [slice_] = take(board)
    assert before - 1 <= slice_.dispatched_at <= time.time() + 1
    assert board.upkeep.expired(10) == {}


def test_expired_names_the_slices_whose_lease_ended_first(board: Board) -> None:
    board.now = 0.0
    board.place(waiting_job() for _ in range(3))
    slices = [take(board, lease_s=lease_s)[0] for lease_s in (30, 10, 20)]
    board.now = 30.0
    assert list(board.upkeep.expired(2)) == [slices[1].id, slices[2].id]


def test_renew_extends_a_lease_from_now_on(board: Board) -> None:
    board.now = 0.0
    board.place([waiting_job()])
    [slice_] = take(board, lease_s=10)
    board.now = 9.0
    assert board.renew(slice_.id, 10)
    board.now = 18.9
    assert board.upkeep.expired(10) == {}
    board.now = 19.0
    assert list(board.upkeep.expired(10)) == [slice_.id]


def test_renew_refuses_a_slice_that_has_ended(board: Board) -> None:
    board.place([waiting_job()])
    [slice_] = take(board)
    board.settle(slice_.id, 1.0)
    assert not board.renew(slice_.id, 10)
    assert board.upkeep.flying() == {}


# settle


def test_settle_ends_a_slice_once(board: Board) -> None:
    job = waiting_job()
    board.place([job])
    [slice_] = take(board)
    assert board.holds(slice_.id)
    assert board.settle(slice_.id, 1.0)
    assert not board.settle(slice_.id, 1.0)
    assert not board.holds(slice_.id)
    assert counts(board)["task_04"] == (0, 0, 0)
    assert board.view.standing(1).running == 0


def test_settle_lets_a_job_be_placed_again(board: Board) -> None:
    job = waiting_job(attempt=0)
    board.place([job])
    board.settle(take(board)[0].id, 1.0)
    assert board.upkeep.known([job.id]) == set()
    assert board.place([waiting_job(job.id, attempt=1)]) == 1
    assert take(board)[0].jobs == (Fence(job.id, 1),)


def test_settle_leaves_a_job_that_was_placed_again_meanwhile(board: Board, board_redis: Redis) -> None:
    job = waiting_job()
    board.place([job])
    [late] = take(board)
    board_redis.zrem(f"{PREFIX}flight", late.id)
    board.place([job])
    assert board.settle(late.id, 1.0)
    assert board.upkeep.known([job.id]) == {job.id}
    assert ids(take(board)) == [[job.id]]


def test_settle_does_not_bring_back_the_facts_of_a_forgotten_site(board: Board, board_redis: Redis) -> None:
    board.place([waiting_job(site=5)])
    [slice_] = take(board)
    board.forget_site(5)
    assert board.settle(slice_.id, 1.0)
    assert not board_redis.exists(f"{PREFIX}site:5")
    assert board.view.standing(5).running == 0


def test_settle_clears_a_lease_whose_slice_is_gone(board: Board, board_redis: Redis) -> None:
    board.now = 0.0
    board.place([waiting_job()])
    [slice_] = take(board, lease_s=1)
    board_redis.delete(f"{PREFIX}slice:{slice_.id}")
    board.now = 2.0
    assert board.upkeep.expired(10) == {slice_.id: ("", [])}
    assert not board.settle(slice_.id, None)
    assert board.upkeep.expired(10) == {}


# drop


def test_drop_says_what_became_of_each_job(board: Board) -> None:
    flying, waiting = waiting_job(), waiting_job()
    board.place([flying, waiting])
    take(board)
    assert board.drop([waiting.id, flying.id, 999_999]) == {waiting.id: 1, flying.id: -1, 999_999: 0}
    assert board.drop([waiting.id]) == {waiting.id: 0}
    assert board.upkeep.known([waiting.id, flying.id]) == {flying.id}


def test_drop_of_a_job_named_twice_says_that_it_was_dropped(board: Board) -> None:
    job = waiting_job()
    board.place([job])
    assert board.drop([job.id, job.id]) == {job.id: 1}


def test_drop_takes_the_site_out_of_the_lane_with_its_last_job(board: Board) -> None:
    jobs = [waiting_job(), waiting_job()]
    board.place(jobs)
    board.drop(job.id for job in jobs)
    assert counts(board)["task_04"] == (0, 0, 0)
    assert board.view.standing(1).place is None
    assert take(board) == []


@pytest.mark.parametrize("lost", ["line:1:task_04", "flight"])
def test_drop_clears_a_stray_entry(lost: str, board: Board, board_redis: Redis) -> None:
    job = waiting_job()
    board.place([job])
    if lost == "flight":
        take(board)
    board_redis.delete(PREFIX + lost)
    assert board.drop([job.id]) == {job.id: 0}
    assert board.upkeep.scan_jobs(0, 10) == (0, {})


# The doorbell


def test_place_rings_the_doorbell_once(board: Board) -> None:
    board.place([waiting_job(), waiting_job()])
    assert board.wait(5)
    assert not board.wait(0)


def test_what_changes_nothing_does_not_ring(board: Board) -> None:
    job = waiting_job()
    board.place([job])
    board.wait(5)
    board.place([job])
    assert not board.wait(0)


def test_settle_rings_the_doorbell(board: Board) -> None:
    board.place([waiting_job()])
    [slice_] = take(board)
    board.wait(5)
    board.settle(slice_.id, 1.0)
    assert board.wait(5)


def test_the_first_renewal_of_a_started_slice_rings_the_doorbell(board: Board) -> None:
    board.place([waiting_job()])
    [slice_] = take(board)
    board.wait(5)
    board.renew(slice_.id, 10, started=False)
    assert not board.wait(0)
    board.renew(slice_.id, 10)
    assert board.wait(5)
    board.renew(slice_.id, 10)
    assert not board.wait(0)
