"""The board: caps, rates and pauses. A held site is in no lane, and costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.domain import SiteFacts, WaitingJob
from tests.support import counts, ids, install, lane_of, take, waiting_job

NOW = 1_700_000_000.0
LONG = "task_05"


@pytest.fixture
def board(board: Board) -> Board:
    board.now = NOW
    return install(board, "fair")


def jobs_of(site: int, count: int, **fields: Any) -> list[WaitingJob]:
    return [waiting_job(site=site, user=site, **fields) for _ in range(count)]


def limit(board: Board, site: int = 1, **limits: Any) -> None:
    board.update_sites([SiteFacts(site, 1, **limits)])


def served(board: Board, slices: int = 100, band: str = "task_04") -> list[int]:
    """The sites of as many slices of one job as there are, none of which ends."""
    return [slice_.site for slice_ in take(board, band, slices)]


def lanes_of(board: Board, site: int = 1) -> set[str]:
    return set(board.view.standing(site).places)


def nothing_is_wrong(board: Board, *sites: int) -> bool:
    return [board.upkeep.recount(site) for site in sites or (1, 2)] == [0] * len(sites or (1, 2)) and (
        board.upkeep.recount_lanes(most_sites=10) == 0)


# A cap


def test_a_site_at_its_cap_is_in_no_lane_until_a_slice_ends(board: Board) -> None:
    limit(board, max_running=2)
    board.place(jobs_of(1, 5) + jobs_of(1, 1, execution_time=9.0))
    first, second = take(board, slices=5)

    assert (lanes_of(board), board.view.standing(1).hold) == (set(), "max_running")
    assert nothing_is_wrong(board)
    board.settle(first.id, 1.0)
    assert (lanes_of(board), board.view.standing(1).hold) == ({"task_04", LONG}, None)
    assert served(board) == [1]
    assert not lanes_of(board)
    board.settle(second.id, 1.0)
    assert nothing_is_wrong(board)


def test_a_cap_bounds_the_jobs_of_all_lanes_together(board: Board) -> None:
    limit(board, max_running=3)
    board.place(jobs_of(1, 5) + jobs_of(1, 5, execution_time=9.0))
    assert served(board, 2) == [1, 1]
    assert served(board, band=LONG) == [1]
    assert board.view.standing(1).running == 3
    assert served(board) + served(board, band=LONG) == []


def test_a_cap_bounds_the_jobs_of_one_slice(board: Board) -> None:
    limit(board, max_running=3)
    jobs = jobs_of(1, 5, execution_time=0.2)
    board.place(jobs)
    [slice_] = take(board, slices=2, budget_s=9.0)
    assert [fence.job for fence in slice_.jobs] == [job.id for job in jobs[:3]]
    board.settle(slice_.id, 0.6)
    assert ids(take(board, slices=2, budget_s=9.0)) == [[job.id for job in jobs[3:]]]


def test_a_cap_below_what_is_in_flight_holds_until_enough_has_ended(board: Board) -> None:
    board.place(jobs_of(1, 6))
    flying = take(board, slices=4)
    limit(board, max_running=2)
    for slice_ in flying[:2]:
        assert not lanes_of(board)
        board.settle(slice_.id, 1.0)
    assert not lanes_of(board)
    board.settle(flying[2].id, 1.0)
    assert lanes_of(board)


def test_a_slice_that_a_worker_puts_back_counts_towards_the_cap(board: Board) -> None:
    limit(board, max_running=1)
    [held, *_] = jobs = jobs_of(1, 3)
    board.place(jobs)
    [slice_] = take(board)
    board.wipe()
    install(board, "fair")
    limit(board, max_running=1)
    board.adopt(slice_, [held], lease_s=9.0)
    board.place(jobs)
    assert (lanes_of(board), board.view.standing(1).hold) == (set(), "max_running")


# A rate


def test_a_rate_lets_the_burst_go_at_once_and_then_one_at_each_exact_moment(board: Board) -> None:
    limit(board, rate_per_s=4.0, burst=3)
    board.place(jobs_of(1, 9))
    assert served(board) == [1, 1, 1]
    for n in (1, 2, 3):
        board.now = NOW + n / 4 - 0.001
        assert board.release() == pytest.approx(0.001, abs=1e-6)
        assert served(board) == []
        board.now = NOW + n / 4
        assert board.release() is None
        assert served(board) == [1]
        assert board.view.next_due_s() == 0.25


def test_a_rate_counts_the_jobs_of_a_slice(board: Board) -> None:
    limit(board, rate_per_s=10.0, burst=4)
    board.place(jobs_of(1, 9, execution_time=0.2))
    assert [len(slice_.jobs) for slice_ in take(board, slices=5, budget_s=0.6)] == [3, 1]
    board.now = NOW + 0.2
    board.release()
    assert [len(slice_.jobs) for slice_ in take(board, slices=5, budget_s=0.6)] == [2]


@pytest.mark.parametrize("rate", [0.3, 7.0, 1 / 3, 1e5])
def test_a_site_that_is_let_go_may_have_a_job_however_its_rate_is_rounded(rate: float, board: Board) -> None:
    limit(board, rate_per_s=rate)
    board.place(jobs_of(1, 60))
    for _ in range(50):
        assert served(board) == [1]
        board.now = NOW if board.now is None else board.now + (board.view.next_due_s() or 0.0)
        board.release()
    assert board.now == pytest.approx(NOW + 50 / rate, abs=1e-4)


def test_a_rate_that_was_not_used_up_is_not_saved_beyond_the_burst(board: Board) -> None:
    limit(board, rate_per_s=1.0, burst=2)
    board.place(jobs_of(1, 9))
    assert served(board) == [1, 1]
    board.now = NOW + 1000.0
    board.release()
    assert served(board) == [1, 1]


def test_a_rate_is_kept_over_a_moment_in_which_nothing_waits(board: Board) -> None:
    limit(board, rate_per_s=1.0)
    board.place(jobs_of(1, 1))
    assert served(board) == [1]
    board.place(jobs_of(1, 1))
    assert (board.view.standing(1).hold, served(board)) == ("rate", [])
    board.now = NOW + 1.0
    board.release()
    assert served(board) == [1]


def test_a_site_that_its_rate_holds_is_not_looked_at_by_take(board: Board, board_redis: Redis) -> None:
    """Not at its line, its facts, its points: with its keys gone, take does as ever."""
    limit(board, rate_per_s=0.001)
    board.place(jobs_of(1, 5) + jobs_of(2, 2))
    assert sorted(served(board, 2)) == [1, 2]
    assert not board_redis.zscore(f"{PREFIX}lane:task_04", 1)
    board_redis.delete(f"{PREFIX}site:1", f"{PREFIX}line:1:task_04")
    assert served(board) == [2]
    assert not board_redis.exists(f"{PREFIX}site:1")


def test_release_lets_go_no_more_sites_than_asked_for_and_says_when_to_come_again(board: Board) -> None:
    for site in (1, 2, 3):
        limit(board, site, rate_per_s=float(site))  # due after 1, 1/2, 1/3 s
    board.place(job for site in (1, 2, 3) for job in jobs_of(site, 2))
    assert len(served(board)) == 3
    board.now = NOW + 0.5
    assert board.release(limit=1) == 0.0
    assert [bool(lanes_of(board, site)) for site in (1, 2, 3)] == [False, False, True]
    assert board.release() == 0.5
    assert [bool(lanes_of(board, site)) for site in (1, 2, 3)] == [False, True, True]


def test_a_clock_that_was_put_back_holds_a_site_until_it_is_counted_again(board: Board) -> None:
    limit(board, rate_per_s=1.0)
    board.place(jobs_of(1, 3))
    assert served(board) == [1]
    board.now = NOW - 86_400.0
    assert board.release() == 86_401.0
    assert board.upkeep.recount(1) > 0
    assert nothing_is_wrong(board)
    assert served(board) == [1]
    assert board.view.next_due_s() == 1.0


# Pauses


def test_a_paused_site_is_in_no_lane_and_what_it_has_in_flight_ends(board: Board) -> None:
    board.place(jobs_of(1, 4) + jobs_of(2, 1))
    [slice_] = [slice_ for slice_ in take(board, slices=2) if slice_.site == 1]
    limit(board, paused=True)
    assert (lanes_of(board), board.view.standing(1).hold) == (set(), "paused")
    assert board.renew(slice_.id, 9.0)
    assert board.settle(slice_.id, 1.0)
    assert not lanes_of(board)
    board.place(jobs_of(1, 1))
    assert served(board) == []
    assert nothing_is_wrong(board)
    limit(board, paused=False)
    assert served(board) == [1, 1, 1, 1]


def test_a_paused_lane_is_not_served_and_the_others_are(board: Board) -> None:
    board.place(jobs_of(1, 2) + jobs_of(1, 2, execution_time=9.0))
    assert board.rules.pause_lanes(["task_04"]) == 1
    assert served(board) == []
    assert served(board, band=LONG) == [1, 1]
    assert [lane.band for lane in board.view.lanes() if lane.paused] == ["task_04"]
    assert nothing_is_wrong(board)
    assert board.rules.pause_lanes([LONG]) == 2
    assert served(board) == [1, 1]


def test_a_paused_lane_takes_in_jobs_and_lets_them_be_taken_back(board: Board) -> None:
    board.rules.pause_lanes(["task_04"])
    kept, dropped = jobs_of(1, 2)
    assert board.place([kept, dropped]) == 2
    assert board.drop([dropped.id]) == {dropped.id: 1}
    board.rules.pause_lanes([])
    assert ids(take(board, slices=5)) == [[kept.id]]


def test_to_pause_what_is_paused_changes_nothing_and_does_not_ring(board: Board, board_redis: Redis) -> None:
    board.rules.pause_lanes(["task_04", LONG])
    board_redis.delete(f"{PREFIX}doorbell")
    assert board.rules.pause_lanes([LONG, "task_04"]) == 0
    assert not board_redis.exists(f"{PREFIX}doorbell")


# Several limits, and what changes them


@pytest.mark.parametrize(("held_by", "lift"), [
    ({"max_running": 1}, {}), ({"max_running": 1}, {"max_running": 2}), ({"rate_per_s": 0.001}, {}),
    ({"rate_per_s": 0.001}, {"rate_per_s": 5.0}), ({"rate_per_s": 0.001}, {"rate_per_s": 0.001, "burst": 2}),
    ({"paused": True}, {"paused": False}),
])
def test_a_limit_that_is_lifted_lets_the_site_go_at_once_and_rings(
    held_by: dict[str, Any], lift: dict[str, Any], board: Board, board_redis: Redis
) -> None:
    board.place(jobs_of(1, 3))
    limit(board, **held_by)
    served(board)
    assert not lanes_of(board)
    board_redis.delete(f"{PREFIX}doorbell")
    limit(board, **lift)
    assert lanes_of(board) == {"task_04"}
    assert board_redis.exists(f"{PREFIX}doorbell")
    assert nothing_is_wrong(board)


def test_a_site_goes_on_only_when_no_limit_holds_it_any_more(board: Board) -> None:
    limit(board, max_running=1, rate_per_s=1.0)
    board.place(jobs_of(1, 9))
    [slice_] = take(board)
    board.now = NOW + 5.0
    board.release()
    assert board.view.standing(1).hold == "max_running"
    board.settle(slice_.id, 1.0)
    [slice_] = take(board)
    board.settle(slice_.id, 1.0)
    assert board.view.standing(1).hold == "rate"
    limit(board, max_running=1, rate_per_s=1.0, paused=True)
    board.now = NOW + 9.0
    board.release()
    assert board.view.standing(1).hold == "paused"
    limit(board, max_running=1, rate_per_s=1.0)
    assert lanes_of(board) == {"task_04"}


def test_a_forgotten_site_leaves_nothing(board: Board, board_redis: Redis) -> None:
    limit(board, max_running=1, rate_per_s=0.001)
    board.place(jobs_of(1, 1))
    [slice_] = take(board)
    board.settle(slice_.id, 1.0)
    board.forget_site(1)
    assert board.view.next_due_s() is None
    left = {key.decode().removeprefix(PREFIX) for key in board_redis.keys(f"{PREFIX}*")}
    assert left <= {"rules", "lanes", "slices", "doorbell", "load:task_04", "aims"}


def test_a_site_that_was_forgotten_while_its_slice_flew_stays_so(board: Board, board_redis: Redis) -> None:
    limit(board, rate_per_s=1.0)
    board.place(jobs_of(1, 1))
    [slice_] = take(board)
    board.forget_site(1)
    assert board.settle(slice_.id, 1.0)
    assert not board_redis.exists(f"{PREFIX}site:1")


# What it costs others


@pytest.mark.parametrize("policy", ["fair", "balanced"])
@pytest.mark.parametrize("held_by", [{"paused": True}, {"rate_per_s": 0.001}, {"max_running": 1}])
def test_a_site_that_was_held_for_long_has_saved_up_nothing(
    policy: str, held_by: dict[str, Any], board: Board
) -> None:
    install(board, policy)
    board.place(jobs_of(1, 40) + jobs_of(2, 90))
    limit(board, **held_by)
    flying = [slice_ for slice_ in take(board, slices=50) if slice_.site == 1]
    assert len(flying) == (0 if "paused" in held_by else 1)

    limit(board)

    turns = served(board, 20)
    assert turns[:4].count(1) in (2, 3), "it is served at once, and not twice as often as its share"
    assert abs(turns.count(1) - turns.count(2)) <= 2
    for slice_ in flying:
        board.settle(slice_.id, 1.0)
    assert nothing_is_wrong(board)


def test_held_sites_do_not_delay_the_others(board: Board) -> None:
    """However many wait: the next slice is that of the one that may be served."""
    board.update_sites(SiteFacts(site, 3, 9.0, paused=True) for site in range(2, 200))
    board.place(waiting_job(site=site, user=site) for site in range(2, 200))
    board.place(jobs_of(1, 3))
    assert served(board, 3) == [1, 1, 1]
    assert [(lane.sites, lane.waiting) for lane in board.view.lanes() if lane.waiting] == [(0, 198)]


def test_the_line_of_a_site_that_was_held_keeps_its_order(board: Board) -> None:
    jobs = jobs_of(1, 6)
    board.place(jobs)
    limit(board, paused=True)
    board.place(jobs_of(2, 3))
    served(board)
    limit(board)
    assert [job for [job] in ids(take(board, slices=9))] == [job.id for job in jobs]


# Counting again


def right(board: Board) -> object:
    lane = lane_of(board)
    return board.view.standing(1), board.view.standing(2), counts(board), lane.backlog_s, lane.held_s


@pytest.mark.parametrize("spoil", [
    lambda r: r.hset(f"{PREFIX}site:1", "running", 7),
    lambda r: r.hset(f"{PREFIX}site:1", "work:task_04", 7),
    lambda r: r.hset(f"{PREFIX}lanes", "work:task_04", 7),
    lambda r: r.hset(f"{PREFIX}site:2", "held_work:task_04", 7),
    lambda r: r.hset(f"{PREFIX}lanes", "held_work:task_04", 7),
    lambda r: r.hset(f"{PREFIX}site:1", "held", 1),
    lambda r: r.zrem(f"{PREFIX}lane:task_04", 1),
    lambda r: r.zadd(f"{PREFIX}lane:{LONG}", {"1": 5.0}),
    lambda r: r.zadd(f"{PREFIX}lane:task_04", {"2": 5.0}),
    lambda r: r.hdel(f"{PREFIX}site:2", "held"),
])
def test_recount_mends_what_holds_and_what_waits(
    spoil: Callable[[Any], object], board: Board, board_redis: Redis
) -> None:
    limit(board, max_running=5)
    limit(board, 2, paused=True)
    board.place(jobs_of(1, 4) + jobs_of(2, 2))
    served(board, 2)
    expected = right(board)

    spoil(board_redis)

    assert board.upkeep.recount(1) + board.upkeep.recount(2) + board.upkeep.recount_lanes(10) == 1
    assert nothing_is_wrong(board)
    assert right(board) == expected


@pytest.mark.parametrize("held_by", [{"paused": True}, {"rate_per_s": 0.001}, {"max_running": 1}])
def test_the_backlog_of_a_held_site_counts_as_held_until_it_is_let_go(held_by: dict[str, Any], board: Board) -> None:
    def held() -> float:
        assert nothing_is_wrong(board)
        return lane_of(board).held_s

    board.place(jobs_of(1, 3, execution_time=0.7) + jobs_of(2, 5, execution_time=0.5))
    limit(board, **held_by)
    flying = [slice_ for slice_ in take(board, slices=9) if slice_.site == 1]
    waiting = 3 - len(flying)
    assert held() == pytest.approx(0.7 * waiting)
    one, more = jobs_of(1, 2, execution_time=0.25)
    board.place([one, more])
    assert held() == pytest.approx(0.7 * waiting + 0.5)
    board.drop([more.id])
    assert held() == pytest.approx(0.7 * waiting + 0.25)
    limit(board)
    assert held() == 0.0
    assert lane_of(board).backlog_s == pytest.approx(0.7 * waiting + 0.25)


def test_what_comes_to_a_paused_site_is_no_load_until_it_is_let_go(board: Board) -> None:
    limit(board, paused=True)
    board.place(jobs_of(1, 3) + jobs_of(2, 1))
    one = lane_of(board).load.arrivals_per_s
    assert one > 0
    limit(board)
    board.place(jobs_of(1, 1))
    assert lane_of(board).load.arrivals_per_s == pytest.approx(2 * one)


def test_the_backlog_is_the_estimates_of_what_waits(board: Board) -> None:
    board.place(jobs_of(1, 3, execution_time=0.7) + jobs_of(1, 1, execution_time=9.5))
    limit(board, 2, paused=True)
    board.place(jobs_of(2, 2, execution_time=0.25))
    served(board, 1)
    backlog = {lane.band: lane.backlog_s for lane in board.view.lanes() if lane.backlog_s}
    assert backlog == {"task_04": 1.9, LONG: 9.5}
