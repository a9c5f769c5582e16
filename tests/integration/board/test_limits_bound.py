"""Whatever an operator changes on a site, and when, the site's service stays bounded as if nothing had changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from jobsched.board import Board
from jobsched.domain import SiteFacts
from jobsched.policy import POLICIES
from tests.support import BANDS, TIERS, take, waiting_job

NOW = 1_700_000_000.0
JOBS = 80
#: By how many jobs of 1 s the site may be ahead of another of equal weight over any stretch of time: one each that is
#: served first and last, and under balanced the head start, one bound of the lane, at both ends.
MOST_AHEAD = {"fair": 2, "balanced": 4}

limits = st.sampled_from([
    {}, {}, {}, {"paused": True}, {"paused": True}, {"max_running": 1}, {"max_running": 3}, {"rate_per_s": 0.2},
    {"rate_per_s": 3.0, "burst": 3}, {"max_running": 2, "rate_per_s": 0.5},
])
#: The limits from now on; how many jobs are served under them, how many of those in flight end then, and whether the
#: policy is changed, and back.
stretch = st.tuples(limits, st.integers(1, 8), st.integers(0, 9), st.sampled_from([False, False, False, True]))
stretches = st.lists(stretch, min_size=3, max_size=12)


@pytest.mark.parametrize("policy", sorted(MOST_AHEAD))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stretches=stretches)
def test_a_site_whose_limits_change_all_the_time_gets_no_more_than_its_share(
    policy: str, stretches: list[tuple[dict[str, Any], int, int, bool]], board_redis: Redis
) -> None:
    board_redis.flushall()
    board = Board(board_redis, now=NOW)
    board.rules.install(POLICIES[policy], BANDS, TIERS)
    ours = [waiting_job(n, site=1, user=1) for n in range(1, JOBS + 1)]
    board.place(ours)
    board.place(waiting_job(1000 + n, site=2, user=2) for n in range(2 * JOBS))
    turns, order, flying = [], [], []
    for given_limits, count, ends, to_and_fro in stretches:
        board.update_sites([SiteFacts(1, 1, **given_limits)])
        for _ in range(count):
            board.now = (board.now or 0.0) + 1.0
            board.release()
            for slice_ in take(board):
                turns.append(slice_.site)
                order += [fence.job for fence in slice_.jobs if slice_.site == 1]
                flying.append(slice_.id)
        for slice_id in flying[:ends]:
            board.settle(slice_id, 1.0)
        del flying[:ends]
        if to_and_fro:
            board.rules.change_policy(POLICIES["fifo"], BANDS, TIERS)
            board.rules.change_policy(POLICIES[policy], BANDS, TIERS)

    ahead = lowest = most = 0
    for site in turns:
        ahead += 1 if site == 1 else -1
        lowest = min(lowest, ahead)
        most = max(most, ahead - lowest)
    assert most <= MOST_AHEAD[policy]
    assert order == [job.id for job in ours[: len(order)]], "its line is served in its order, and nothing of it is lost"
    assert board.view.standing(1).pending == {"task_04": JOBS - len(order)}
    assert [board.upkeep.recount(1), board.upkeep.recount(2), board.upkeep.recount_lanes(9)] == [0, 0, 0]
