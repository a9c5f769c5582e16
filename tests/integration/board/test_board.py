"""The board, on fakeredis and on a real Redis: jobs are enqueued, and slices are taken."""

from __future__ import annotations

from redis import Redis

from jobsched.board import BATCH, PREFIX, Board
from jobsched.domain import Fence, Slice
from tests.support import counts, ids, take, waiting_job

# place


def test_place_counts_the_jobs_that_were_not_there(board: Board) -> None:
    jobs = [waiting_job(), waiting_job()]
    assert board.place(jobs[:1]) == 1
    assert board.place(jobs) == 1
    assert board.place(jobs) == 0
    assert board.view.standing(1).pending == {"task_04": 2}


def test_place_takes_a_job_once_that_is_named_twice(board: Board) -> None:
    job = waiting_job()
    assert board.place([job, job]) == 1
    assert board.view.standing(1).pending == {"task_04": 1}


def test_place_leaves_a_job_in_flight_where_it_is(board: Board) -> None:
    job = waiting_job()
    board.place([job])
    take(board)
    assert board.place([job]) == 0
    assert take(board) == []


def test_place_takes_more_jobs_than_one_call_of_a_script(board: Board) -> None:
    assert board.place(waiting_job() for _ in range(BATCH + 1)) == BATCH + 1
    assert counts(board)["task_04"] == (1, BATCH + 1, 0)


def test_place_puts_a_job_back_whose_line_was_lost(board: Board, board_redis: Redis) -> None:
    job = waiting_job()
    board.place([job])
    board_redis.delete(f"{PREFIX}line:1:task_04")
    assert board.place([job]) == 1
    assert ids(take(board)) == [[job.id]]


def test_place_puts_a_job_back_whose_slice_was_lost(board: Board, board_redis: Redis) -> None:
    job = waiting_job()
    board.place([job])
    take(board)
    board_redis.delete(f"{PREFIX}flight")
    assert board.place([job]) == 1
    assert ids(take(board)) == [[job.id]]


# take


def test_take_hands_over_the_job_with_its_attempt_and_the_points_of_its_site(board: Board) -> None:
    board.now = 1000.5
    board.place([waiting_job(7, site=3, attempt=2, execution_time=0.5)])
    [slice_] = take(board)
    # One Active user (1), one job of task_04 (2), capacity not told (1).
    assert slice_ == Slice(slice_.id, 3, "task_04", 4, 1000.5, (Fence(7, 2),))


def test_take_gives_each_slice_an_id_of_its_own(board: Board) -> None:
    board.place(waiting_job() for _ in range(5))
    assert len({slice_.id for slice_ in take(board, slices=3) + take(board, slices=2)}) == 5


def test_take_gives_no_id_twice_when_redis_restarts_with_old_data(board: Board, board_redis: Redis) -> None:
    board.now = 1_700_000_000.0
    board.place([waiting_job(), waiting_job()])
    [first] = take(board)
    board_redis.delete(f"{PREFIX}slices")  # what Redis had saved was older than that
    board.now += 0.001
    [second] = take(board)
    assert second.id != first.id


def test_take_returns_what_there_is_when_more_is_asked_for(board: Board) -> None:
    jobs = [waiting_job(), waiting_job()]
    board.place(jobs)
    assert ids(take(board, slices=9)) == [[job.id] for job in jobs]
    assert take(board, slices=9) == []


def test_take_serves_one_lane_only(board: Board) -> None:
    quick, slow = waiting_job(execution_time=0.001), waiting_job(execution_time=10)
    board.place([slow, quick])
    assert ids(take(board, "task_01", slices=5)) == [[quick.id]]
    assert ids(take(board, "task_05", slices=5)) == [[slow.id]]


def test_take_fills_a_slice_up_to_its_budget(board: Board) -> None:
    jobs = [waiting_job(execution_time=0.03) for _ in range(5)]
    board.place(jobs)
    # 3 * 0.03 = 0.09 fits into 0.1, a fourth does not.
    assert ids(take(board, "task_03", budget_s=0.1)) == [[job.id for job in jobs[:3]]]


def test_take_fits_a_hundred_milliseconds_into_a_tenth_of_a_second(board: Board) -> None:
    board.place(waiting_job(execution_time=0.001) for _ in range(101))
    # Added up in floating point, 100 * 0.001 is a little more than 0.1.
    assert [len(slice_.jobs) for slice_ in take(board, "task_01", slices=2, budget_s=0.1, most_jobs=1000)] == [100, 1]


def test_take_cuts_a_slice_even_for_a_job_above_the_budget(board: Board) -> None:
    jobs = [waiting_job(execution_time=9.0), waiting_job(execution_time=9.0)]
    board.place(jobs)
    assert ids(take(board, "task_05", budget_s=0.1)) == [[jobs[0].id]]


def test_take_puts_no_more_jobs_into_a_slice_than_allowed(board: Board) -> None:
    board.place(waiting_job(execution_time=0.0001) for _ in range(5))
    assert [len(slice_.jobs) for slice_ in take(board, "task_01", slices=9, budget_s=1, most_jobs=2)] == [2, 2, 1]


def test_take_fills_a_slice_with_jobs_of_one_site(board: Board) -> None:
    board.place(waiting_job(site=site, execution_time=0.01) for site in (1, 2, 1, 2))
    assert [(slice_.site, len(slice_.jobs)) for slice_ in take(board, "task_02", slices=9, budget_s=1)] in (
        [(1, 2), (2, 2)], [(2, 2), (1, 2)],
    )


def test_take_tells_the_points_before_each_slice_left(board: Board) -> None:
    board.place(waiting_job(site=1) for _ in range(3))
    # Capacity 1, an Active user 1, jobs of task_04 2 each: 8, 6, 4.
    assert [slice_.points for slice_ in take(board, slices=3)] == [8, 6, 4]


def test_take_passes_over_entries_that_are_gone(board: Board, board_redis: Redis) -> None:
    gone, there = waiting_job(), waiting_job()
    board.place([gone, there])
    board_redis.hdel(f"{PREFIX}jobs", str(gone.id))
    assert ids(take(board)) == [[there.id]]


def test_take_goes_on_after_a_line_with_nothing_but_entries_that_are_gone(board: Board, board_redis: Redis) -> None:
    gone, there = waiting_job(site=9), waiting_job(site=1)
    board.place([gone, there])
    board_redis.hdel(f"{PREFIX}jobs", str(gone.id))
    assert ids(take(board, slices=2)) == [[there.id]]
    assert board.view.ranking("task_04", 10) == []


def test_a_take_whose_reply_was_lost_strands_its_slice_until_the_lease_ends(board: Board) -> None:
    first, second = waiting_job(), waiting_job()
    board.now = 100.0
    board.place([first, second])
    take(board, lease_s=5)
    assert ids(take(board, lease_s=60)) == [[second.id]]
    board.now = 104.9
    assert board.upkeep.expired(10) == {}
    board.now = 105.0
    [(stranded, carried)] = board.upkeep.expired(10).items()
    assert carried == ("task_04", [first.id])
    assert board.settle(stranded, None)
    assert board.place([first]) == 1
    assert ids(take(board)) == [[first.id]]


# Two boards


def test_boards_with_different_prefixes_share_a_redis(board: Board, board_redis: Redis) -> None:
    other = Board(board_redis, prefix="other:")
    board_redis.hset("other:rules", mapping=board_redis.hgetall(f"{PREFIX}rules"))
    board.place([waiting_job()])
    assert counts(other)["task_04"] == (0, 0, 0)
