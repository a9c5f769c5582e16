"""The board: its facts and counts, how it mends them, and how it reports that it is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.domain import BoardLost, Fence, SiteFacts, Slice
from tests.support import counts, install, take, waiting_job


@dataclass(frozen=True)
class Held:
    """A job that a worker holds."""

    id: int
    user: int
    execution_time: float
    attempt: int


# Facts


def test_update_sites_counts_what_is_new_or_differs(board: Board) -> None:
    assert board.update_sites([SiteFacts(1, 1), SiteFacts(2, 2)]) == 2
    assert board.update_sites([SiteFacts(1, 1), SiteFacts(2, 3)]) == 1
    assert board.update_sites([SiteFacts(1, 1, weight=2.0)]) == 1


def test_the_capacity_of_a_site_counts_in_its_points(board: Board) -> None:
    board.place([waiting_job(site=1)])
    before = board.view.standing(1)
    board.update_sites([SiteFacts(1, 3)])
    after = board.view.standing(1)
    assert (before.points, before.record_capacity) == (4, 1)
    assert (after.points, after.record_capacity) == (6, 3)
    assert take(board)[0].points == 6


def test_a_site_that_does_not_wait_has_points_but_no_place(board: Board) -> None:
    board.update_sites([SiteFacts(1, 2)])
    standing = board.view.standing(1)
    assert (standing.points, standing.place, standing.pending, standing.places) == (2, None, {}, {})


def test_a_site_has_its_place_among_all_by_points_and_in_each_lane_by_score(board: Board) -> None:
    install(board, "shortest")
    board.place([waiting_job(site=1, execution_time=0.2), waiting_job(site=2, execution_time=0.3),
                 waiting_job(site=2, execution_time=0.001)])
    first, second = board.view.standing(2), board.view.standing(1)
    assert (first.place, first.places) == (1, {"task_01": 1, "task_04": 2})
    assert (second.place, second.places) == (2, {"task_04": 1})


def test_lanes_count_sites_waiting_and_flying_jobs(board: Board) -> None:
    board.place([waiting_job(site=1), waiting_job(site=1), waiting_job(site=2), waiting_job(execution_time=0.0005)])
    take(board)
    assert list(counts(board).values()) == [(1, 1, 0), (0, 0, 0), (0, 0, 0), (2, 2, 1), (0, 0, 0)]


# Users


def test_a_user_who_crosses_a_tier_changes_the_points_of_all_his_sites(board: Board) -> None:
    board.place(waiting_job(site=1, user=7) for _ in range(4))
    # Capacity 1, four jobs of task_04 at 2, an Active user (4 jobs) 1.
    assert board.view.standing(1).points == 1 + 8 + 1
    fifth = waiting_job(site=2, user=7)
    board.place([fifth])
    # The user's fifth job, at another site, makes the user VeryActive (2) at both.
    assert (board.view.standing(1).points, board.view.standing(2).points) == (1 + 8 + 2, 1 + 2 + 2)
    board.drop([fifth.id])
    assert (board.view.standing(1).points, board.view.standing(2).points) == (1 + 8 + 1, 1)


def test_a_take_lets_a_user_fall_back_a_tier_at_all_his_sites(board: Board) -> None:
    install(board, "fair")
    board.place([*(waiting_job(site=1, user=7) for _ in range(9)),
                 waiting_job(site=2, user=7, execution_time=0.0001)])
    # Ten jobs: HyperActive, 3. Nine: VeryActive, 2. A job of task_01 has 5.
    assert (board.view.standing(1).points, board.view.standing(2).points) == (1 + 18 + 3, 1 + 5 + 3)
    take(board)
    assert (board.view.standing(1).points, board.view.standing(2).points) == (1 + 16 + 2, 1 + 5 + 2)


def test_an_inactive_user_does_not_count_in_points(board: Board) -> None:
    board.place([waiting_job(site=1, user=1), waiting_job(site=1, user=2), waiting_job(site=2, user=2)])
    assert board.update_users([(2, False), (3, True)]) == 1
    # His jobs still count: capacity 1, two jobs at 2, one user.
    assert (board.view.standing(1).points, board.view.standing(2).points) == (1 + 4 + 1, 1 + 2)
    assert board.update_users([(2, False)]) == 0
    assert board.update_users([(2, True)]) == 1
    assert (board.view.standing(1).points, board.view.standing(2).points) == (1 + 4 + 2, 1 + 2 + 1)


def test_an_inactive_user_does_not_count_with_later_jobs_either(board: Board) -> None:
    board.update_users([(1, False)])
    board.place(waiting_job(user=1) for _ in range(6))
    assert board.view.standing(1).points == 1 + 12


# Counting again


CORRUPTIONS: dict[str, Callable[[Redis], object]] = {
    "tiers of the site": lambda redis: redis.hset(f"{PREFIX}site:1", "tiers", 50),
    "running": lambda redis: redis.hset(f"{PREFIX}site:1", "running", -7),
    "a user's tier": lambda redis: redis.hset(f"{PREFIX}tiers:1", "1", 9),
    "a user's jobs here": lambda redis: redis.hset(f"{PREFIX}user:1", "1", 40),
    "a user's jobs": lambda redis: redis.hset(f"{PREFIX}user:1", "total", 40),
    "all of a user's counts": lambda redis: redis.delete(f"{PREFIX}user:1"),
    "all tiers": lambda redis: redis.delete(f"{PREFIX}tiers:1"),
    "a user who has no jobs": lambda redis: redis.hset(f"{PREFIX}tiers:1", "99", 3),
    "points": lambda redis: redis.zadd(f"{PREFIX}points", {"1": 9999}),
    "points are gone": lambda redis: redis.zrem(f"{PREFIX}points", "1"),
    "score": lambda redis: redis.zadd(f"{PREFIX}lane:task_04", {"1": -9999}),
    "out of the lane": lambda redis: redis.zrem(f"{PREFIX}lane:task_04", "1"),
    "in a lane without jobs": lambda redis: redis.zadd(f"{PREFIX}lane:task_01", {"1": 5}),
}


def all_of(board: Board) -> object:
    return [*map(board.view.standing, (1, 2)), *(board.view.ranking(band, 9) for band in ("task_04", "task_01"))]


@pytest.mark.parametrize("corruption", CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_recount_mends_a_site(corruption: Callable[[Redis], object], board: Board, board_redis: Redis) -> None:
    board.place([*(waiting_job(user=1) for _ in range(3)), waiting_job(user=2), waiting_job(user=1, site=2)])
    take(board, slices=2)
    right = all_of(board)
    corruption(board_redis)
    assert board.upkeep.recount(1) > 0
    assert all_of(board) == right
    assert board.upkeep.recount(1) == 0


def test_recount_finds_nothing_at_a_site_that_the_board_does_not_know(board: Board, board_redis: Redis) -> None:
    assert board.upkeep.recount(77) == 0
    assert not board_redis.exists(f"{PREFIX}site:77")


@pytest.mark.parametrize("field", ["waiting:task_04", "flying:task_04", "waiting:task_01", "flying:task_05"])
def test_recount_lanes_mends_a_count(field: str, board: Board, board_redis: Redis) -> None:
    board.place(waiting_job(site=site) for site in (1, 1, 2))
    take(board)
    right = counts(board)
    board_redis.hset(f"{PREFIX}lanes", field, -3)
    assert board.upkeep.recount_lanes(most_sites=2) == 1
    assert counts(board) == right
    assert board.upkeep.recount_lanes(most_sites=2) == 0


def test_recount_lanes_leaves_a_board_of_too_many_sites_alone(board: Board, board_redis: Redis) -> None:
    board.place(waiting_job(site=site) for site in (1, 2))
    board_redis.hset(f"{PREFIX}lanes", "waiting:task_04", 9)
    assert board.upkeep.recount_lanes(most_sites=1) == 0
    assert board.view.lanes()[3].waiting == 9


def test_scan_jobs_goes_through_all_that_is_on_the_board(board: Board) -> None:
    jobs = [waiting_job() for _ in range(1000)]
    board.place(jobs)
    take(board, slices=3)
    found: set[int] = set()
    cursor, some = board.upkeep.scan_jobs(0, 100)
    while cursor:
        found.update(some)
        cursor, some = board.upkeep.scan_jobs(cursor, 100)
    assert found.union(some) == {job.id for job in jobs}


def test_known_says_which_jobs_wait_or_fly(board: Board) -> None:
    jobs = [waiting_job() for _ in range(3)]
    board.place(jobs[:2])
    take(board)
    assert board.upkeep.known([job.id for job in jobs]) == {jobs[0].id, jobs[1].id}


def test_flying_names_all_slices_with_their_jobs(board: Board) -> None:
    board.place([waiting_job(101, execution_time=0.0001), waiting_job(102, execution_time=0.0001), waiting_job(103)])
    [quick] = take(board, "task_01", budget_s=1)
    [slow] = take(board)
    assert board.upkeep.flying() == {quick.id: ("task_01", [101, 102]), slow.id: ("task_04", [103])}


# A board that is lost


@pytest.mark.parametrize("call", [
    lambda board: board.place([waiting_job()]),
    lambda board: take(board),
    lambda board: board.renew("x-1", 10),
    lambda board: board.settle("x-1", None),
    lambda board: board.drop([1]),
    lambda board: board.update_sites([SiteFacts(1, 1)]),
    lambda board: board.update_users([(1, False)]),
    lambda board: board.upkeep.recount(1),
    lambda board: board.upkeep.recount_lanes(10),
    lambda board: board.view.lanes(),
    lambda board: board.view.standing(1),
    lambda board: board.view.ranking("task_04", 3),
    lambda board: board.rules.read(),
])
def test_a_board_whose_redis_was_flushed_says_that_it_is_lost(
    call: Callable[[Board], object], board: Board, board_redis: Redis
) -> None:
    board.place([waiting_job()])
    board_redis.flushall()
    with pytest.raises(BoardLost):
        call(board)
    assert board_redis.keys(f"{PREFIX}*") == []


def test_a_board_that_was_lost_has_another_epoch(board: Board, board_redis: Redis) -> None:
    before = board.rules.read().epoch
    board_redis.flushall()
    install(board, "balanced")
    assert board.rules.read().epoch != before


def test_rules_that_are_written_again_keep_the_epoch(board: Board) -> None:
    before = board.rules.read()
    install(board, "fair")
    after = board.rules.read()
    assert (before.policy, after.policy) == ("balanced", "fair")
    assert before.epoch == after.epoch
    assert before.fingerprint != after.fingerprint


def test_a_wiped_board_is_lost_but_knows_who_lives(board: Board) -> None:
    board.place([waiting_job()])
    board.presence.beat("worker", "w1", ttl_s=60)
    board.wipe()
    with pytest.raises(BoardLost):
        board.view.lanes()
    install(board, "balanced")
    assert (board.presence.alive("worker"), sum(lane.waiting for lane in board.view.lanes())) == (["w1"], 0)


# A slice that outlived its board


def test_adopt_puts_the_slice_of_a_lost_board_back_into_flight(board: Board, board_redis: Redis) -> None:
    board.now = 0.0
    jobs = [waiting_job(901, user=4), waiting_job(902, user=5)]
    board.place(jobs)
    [slice_] = take(board, budget_s=9)
    board_redis.flushall()
    install(board, "fair")
    # The sweep came first, and has placed one of them.
    board.place(jobs[:1])
    assert board.adopt(slice_, [Held(901, 4, 1.0, 1), Held(902, 5, 1.0, 1)], lease_s=10)
    assert not board.adopt(slice_, [Held(901, 4, 1.0, 1), Held(902, 5, 1.0, 1)], lease_s=10)
    assert (board.upkeep.flying(), take(board)) == ({slice_.id: ("task_04", [901, 902])}, [])
    assert board.view.standing(1).running == 2
    assert (board.upkeep.recount(1), board.upkeep.recount_lanes(10)) == (0, 0)
    board.now = 10.0
    assert list(board.upkeep.expired(10)) == [slice_.id]


def test_an_adopted_slice_is_charged_all_that_it_used(board: Board) -> None:
    install(board, "fair")
    board.place([waiting_job()])
    slice_ = Slice("lost-1", 1, "task_04", 4, 0.0, (Fence(903, 0),))
    board.adopt(slice_, [Held(903, 1, 1.0, 1)], lease_s=10)
    assert board.settle(slice_.id, 2.5)
    assert board.view.ranking("task_04", 1)[0].share == -2.5
    assert board.view.standing(1).running == 0


# Who is alive, and who is alone


def test_alive_names_those_who_have_beaten_lately(board: Board) -> None:
    board.presence.beat("worker", "here", ttl_s=60)
    board.presence.beat("worker", "left", ttl_s=60)
    board.presence.beat("worker", "silent", ttl_s=-1)
    board.presence.beat("dispatcher", "d", ttl_s=60)
    board.presence.leave("worker", "left")
    assert (board.presence.alive("worker"), board.presence.alive("dispatcher")) == (["here"], ["d"])


def test_only_one_is_sole(board: Board) -> None:
    sole = board.presence.sole
    with sole("repair", 60) as first, sole("repair", 60) as second, sole("else", 60) as other:
        assert (bool(first), bool(second), bool(other)) == (True, False, True)
    with sole("repair", 60) as again:
        assert again
