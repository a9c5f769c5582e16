"""The board: the order of sites. Service times are the estimates, in seconds, unless a test says otherwise."""

from __future__ import annotations

import pytest
from redis import Redis

from jobsched.board import PREFIX, Board
from jobsched.domain import SiteFacts, WaitingJob
from jobsched.policy import POLICIES
from tests.support import ids, install, lane_of, take, waiting_job


def serve(board: Board, slices: int, used_s: float | None = None) -> list[int]:
    """The sites of the next slices of one job each of task_04 (up to 1 s), each settled before the next is cut."""
    served = []
    for _ in range(slices):
        for slice_ in take(board):
            board.settle(slice_.id, used_s)
            served.append(slice_.site)
    return served


def jobs_of(site: int, count: int, **fields: object) -> list[WaitingJob]:
    return [waiting_job(site=site, **fields) for _ in range(count)]  # type: ignore[arg-type]


# The score


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_take_returns_the_sites_in_the_order_of_the_ranking(policy: str, board: Board) -> None:
    install(board, policy)
    board.place(
        waiting_job(site=site, user=site % 4, execution_time=0.15 + site / 20, enqueued_at=1000.0 + (site * 7) % 5)
        for site in range(1, 13) for _ in range(1 + site % 2)
    )
    while ranking := board.view.ranking("task_04", 100):
        assert [row.score for row in ranking] == sorted((row.score for row in ranking), reverse=True)
        places = [board.view.standing(row.site).places["task_04"] for row in ranking]
        assert places == list(range(1, len(ranking) + 1))
        assert take(board)[0].site == ranking[0].site


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_the_parts_of_a_score_add_up_to_it(policy: str, board: Board) -> None:
    install(board, policy)
    board.place(waiting_job(site=site, execution_time=0.2, enqueued_at=1000.0 + site) for site in (1, 1, 2, 3, 3, 3))
    take(board)
    for row in board.view.ranking("task_04", 10):
        assert row.boost + row.share + row.age + row.size == pytest.approx(row.score, rel=1e-12)


def test_the_ranking_names_no_more_sites_than_asked_for(board: Board) -> None:
    board.place(waiting_job(site=site) for site in range(1, 6))
    assert len(board.view.ranking("task_04", 2)) == 2
    assert board.view.ranking("task_05", 2) == []


def test_priority_serves_the_site_with_the_most_points(board: Board) -> None:
    install(board, "priority")
    board.update_sites([SiteFacts(2, 3)])
    # Site 1: an Active user 1 + a job of task_04 2 + capacity 1 = 4. Site 2: 1 + 2 + 3 = 6.
    board.place([waiting_job(site=1), waiting_job(site=2)])
    assert serve(board, 2) == [2, 1]


def test_priority_lets_a_second_of_waiting_outweigh_a_point(board: Board) -> None:
    install(board, "priority")
    board.update_sites([SiteFacts(2, 3)])
    # 6 points and at 1002.5 against 4 points and at 1000: 6 - 1002.5 < 4 - 1000.
    board.place([waiting_job(site=2, enqueued_at=1002.5), waiting_job(site=1, enqueued_at=1000.0)])
    assert serve(board, 2) == [1, 2]


def test_fifo_serves_the_job_that_waits_longest(board: Board) -> None:
    install(board, "fifo")
    board.place([waiting_job(site=1, enqueued_at=3.0), waiting_job(site=2, enqueued_at=1.0),
                 waiting_job(site=1, enqueued_at=2.0)])
    assert serve(board, 3) == [2, 1, 1]


def test_fifo_tells_a_microsecond_apart(board: Board) -> None:
    install(board, "fifo")
    now = 1_700_000_000.0
    # Were they equal to it, Redis would serve the greater name first.
    board.place([waiting_job(site=1, enqueued_at=now + 1e-6), waiting_job(site=2, enqueued_at=now + 2e-6)])
    assert serve(board, 2) == [1, 2]


def test_shortest_serves_the_shortest_job(board: Board) -> None:
    install(board, "shortest")
    board.place([waiting_job(site=1, execution_time=0.9), waiting_job(site=2, execution_time=0.2)])
    assert serve(board, 2) == [2, 1]


def test_jobs_that_are_equal_in_a_line_go_in_the_order_of_their_ids(board: Board) -> None:
    install(board, "fifo")
    board.place(waiting_job(id_) for id_ in (9, 10, 99, 100, 1_000))
    assert ids(take(board, slices=5)) == [[9], [10], [99], [100], [1_000]]


# Fair sharing


def test_equal_sites_share_service_in_turn(board: Board) -> None:
    install(board, "fair")
    board.place(waiting_job(site=site) for site in (1, 1, 1, 2, 2, 2, 3, 3, 3))
    served = serve(board, 9)
    assert [set(served[i : i + 3]) for i in (0, 3, 6)] == [{1, 2, 3}] * 3


def test_sites_share_seconds_rather_than_jobs(board: Board) -> None:
    install(board, "fair")
    board.place(jobs_of(1, 20, execution_time=0.2) + jobs_of(2, 20, execution_time=0.8))
    served = serve(board, 10)
    # 8 * 0.2 = 1.6 = 2 * 0.8
    assert (served.count(1), served.count(2)) == (8, 2)


def test_a_site_of_twice_the_weight_gets_twice_the_service(board: Board) -> None:
    install(board, "fair")
    board.update_sites([SiteFacts(1, 1, weight=2.0), SiteFacts(2, 1, weight=1.0)])
    board.place(jobs_of(1, 20) + jobs_of(2, 20))
    served = serve(board, 12)
    assert (served.count(1), served.count(2)) == (8, 4)


def test_an_idle_site_joins_at_the_virtual_time_of_the_lane(board: Board) -> None:
    install(board, "fair")
    board.place(jobs_of(1, 20))
    assert serve(board, 5) == [1] * 5
    board.place(jobs_of(2, 20))
    # Site 1 was last served at tag 4, and stands at 5. Site 2 joins at 4: it is next, but does not catch up.
    shares = {row.site: row.share for row in board.view.ranking("task_04", 2)}
    assert shares == {1: -5.0, 2: -4.0}
    served = serve(board, 8)
    assert served[0] == 2
    assert served.count(1) in (3, 4)


def test_the_virtual_time_does_not_go_back_when_a_site_is_served_that_is_behind(
    board: Board, board_redis: Redis
) -> None:
    install(board, "balanced")  # the 100 points of site 1 are a head start of 1 s
    board.place([*jobs_of(1, 60, execution_time=0.3), *jobs_of(2, 1, execution_time=0.3)])
    # Site 1 is served at tags 0 to 0.9, then site 2 at 0.
    assert serve(board, 5) == [1] * 4 + [2]
    board.place([waiting_job(site=3)])
    assert board_redis.hget(f"{PREFIX}site:3", "tag:task_04") == b"0.89999999999999991"


@pytest.mark.parametrize("policy", ["fifo", "priority", "shortest"])
def test_where_nobody_goes_by_tags_a_lanes_time_is_what_each_of_its_sites_would_have_had(
    policy: str, board: Board, board_redis: Redis
) -> None:
    install(board, policy)
    board.place([*jobs_of(1, 3), *jobs_of(2, 1), *jobs_of(3, 1), *jobs_of(4, 1)])

    for _ in range(6):
        before, sites = lane_of(board).virtual_s, len(board.view.ranking("task_04", 10))
        [slice_] = take(board)
        assert lane_of(board).virtual_s == pytest.approx(before + 1 / sites)
        assert board_redis.hget(f"{PREFIX}site:{slice_.site}", "tag:task_04") == board_redis.hget(
            f"{PREFIX}lanes", "v:task_04")  # so nobody owes anything when the policy is changed
        board.settle(slice_.id, 1.0)


@pytest.mark.parametrize("policy", ["fifo", "priority", "shortest"])
def test_a_slice_that_took_longer_than_it_said_moves_its_lanes_time_on(policy: str, board: Board) -> None:
    install(board, policy)
    board.place([*jobs_of(1, 2), *jobs_of(2, 1)])
    first, second = take(board, slices=2)
    told = lane_of(board).virtual_s
    board.settle(first.id, 0.1)
    assert lane_of(board).virtual_s == told  # it does not go back
    board.settle(second.id, 5.0)
    assert lane_of(board).virtual_s == pytest.approx(told + 4.0 / 2)


def test_a_site_that_was_served_more_keeps_its_tag_over_an_idle_moment(board: Board) -> None:
    install(board, "fair")
    board.place([waiting_job(site=1), waiting_job(site=2)])
    serve(board, 2)
    board.place([waiting_job(site=1), waiting_job(site=2)])
    # Both were served at 0, and stand at 1: what they used is not forgotten while the lane is empty.
    assert {row.site: row.share for row in board.view.ranking("task_04", 2)} == {1: -1.0, 2: -1.0}


def test_lanes_keep_their_own_accounts(board: Board) -> None:
    install(board, "fair")
    board.place([*jobs_of(1, 5), *jobs_of(1, 1, execution_time=9.0), *jobs_of(2, 1, execution_time=9.0)])
    serve(board, 5)
    assert [row.share for row in board.view.ranking("task_05", 2)] == [0.0, 0.0]


@pytest.mark.parametrize(("policy", "most_before"), [
    ("fair", 1),
    # The flood has 100 points and more: a head start of one lane bound, 1 s, that is one job of it; and one in turn.
    ("balanced", 2),
])
def test_a_flooding_site_does_not_delay_a_quiet_one(policy: str, most_before: int, board: Board) -> None:
    install(board, policy)
    board.place(jobs_of(1, 200))
    serve(board, 50)
    board.place([waiting_job(site=2, user=2)])
    assert serve(board, most_before + 1).index(2) <= most_before


def test_points_alone_let_a_flooding_site_delay_a_quiet_one(board: Board) -> None:
    install(board, "priority")
    board.place(jobs_of(1, 60))
    board.place([waiting_job(site=2, user=2)])
    assert 2 not in serve(board, 50)


def test_balanced_gives_a_flood_a_head_start_of_one_lane_bound_at_most(board: Board) -> None:
    board.place(jobs_of(1, 60))
    # 60 jobs of task_04 make 120 points and more, of which 100 count: the bound of the lane, 1 s.
    [row] = board.view.ranking("task_04", 1)
    assert row.points > 100
    assert (row.boost, row.score) == (1.0, 1.0)


def test_balanced_serves_more_points_first_among_sites_served_alike(board: Board) -> None:
    board.place([waiting_job(site=1, user=1), waiting_job(site=2, user=2), waiting_job(site=2, user=3)])
    # Two users and two jobs make more points than one of each.
    assert serve(board, 1) == [2]


# What was really used


def test_settle_charges_what_was_used_in_place_of_the_estimate(board: Board) -> None:
    install(board, "fair")
    board.place(jobs_of(1, 9) + jobs_of(2, 9))
    [slice_] = take(board)
    first, second = slice_.site, 3 - slice_.site
    board.settle(slice_.id, 4.0)
    # Estimated 1 s, used 4 s: the other site gets its 4 s first.
    assert serve(board, 4) == [second] * 4
    assert {row.site: row.share for row in board.view.ranking("task_04", 2)} == {first: -4.0, second: -4.0}


def test_settle_divides_what_was_used_by_the_weight(board: Board) -> None:
    install(board, "fair")
    board.update_sites([SiteFacts(1, 1, weight=2.0)])
    board.place(jobs_of(1, 2))
    board.settle(take(board)[0].id, 3.0)
    assert board.view.ranking("task_04", 1)[0].share == -1.5


def test_settle_without_a_measure_leaves_the_estimate(board: Board) -> None:
    install(board, "fair")
    board.place(jobs_of(1, 2))
    board.settle(take(board)[0].id, None)
    assert board.view.ranking("task_04", 1)[0].share == -1.0


def test_a_wrong_estimate_gains_nothing_after_an_idle_moment(board: Board) -> None:
    install(board, "fair")
    board.place([waiting_job(1, site=1)])
    [late] = take(board)
    board.place(jobs_of(2, 20))
    serve(board, 10)
    board.place(jobs_of(1, 2))
    # Site 2 was served at 9 last, so site 1 joins there; that its one second was a hundredth is long forgotten.
    board.settle(late.id, 0.01)
    assert {row.site: row.share for row in board.view.ranking("task_04", 2)} == {1: -9.0, 2: -10.0}


def test_an_overrun_is_charged_from_where_it_began(board: Board) -> None:
    install(board, "fair")
    board.place([waiting_job(site=1)])
    [late] = take(board)
    board.place(jobs_of(2, 20))
    serve(board, 10)
    board.place(jobs_of(1, 2))
    # It began at 0 and used 12 s, so it stands at 12, not at 9 + 11.
    board.settle(late.id, 12.0)
    assert {row.site: row.share for row in board.view.ranking("task_04", 2)} == {1: -12.0, 2: -10.0}


# Users of one site


@pytest.mark.parametrize("policy", ["fair", "balanced"])
def test_users_share_the_turn_of_their_site(policy: str, board: Board) -> None:
    install(board, policy)
    flood = jobs_of(1, 20, user=1)
    quiet = [waiting_job(user=2), waiting_job(user=2)]
    board.place(flood)
    take(board, slices=3)
    board.place(quiet)
    # User 1 was last served at 2 and stands at 20; user 2 joins at 2.
    assert ids(take(board, slices=4)) == [[quiet[0].id], [flood[3].id], [quiet[1].id], [flood[4].id]]


def test_a_user_who_took_his_jobs_back_starts_anew_with_the_line(board: Board) -> None:
    install(board, "fair")
    jobs = jobs_of(1, 5, user=1)
    board.place(jobs)
    board.drop(job.id for job in jobs)
    again, other = waiting_job(user=1), waiting_job(user=2)
    board.place([again, other])
    assert ids(take(board, slices=2)) == [[again.id], [other.id]]


def test_a_line_that_was_emptied_starts_anew(board: Board, board_redis: Redis) -> None:
    install(board, "fair")
    board.place(jobs_of(1, 5, user=1))
    take(board, slices=5)
    assert not board_redis.exists(f"{PREFIX}tags:1:task_04")
