"""Whatever an operator does to a site, at whatever moment: what the site gets is bounded as if he had left it alone."""

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

limits = st.builds(
    dict, max_running=st.sampled_from([None, None, 1, 2]), rate_per_s=st.sampled_from([None, None, 0.5, 3.0]),
    burst=st.sampled_from([1, 3]), paused=st.booleans())
served = st.tuples(st.just("serve"), st.integers(1, 4))
limited = st.tuples(st.just("limit"), limits)
ended = st.tuples(st.just("settle"), st.integers(0, 5))
changed = st.tuples(st.just("go_by"), st.none())
steps = st.lists(st.one_of(served, served, served, limited, limited, ended, changed), min_size=5, max_size=40)


@pytest.mark.parametrize("policy", sorted(MOST_AHEAD))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_a_site_whose_limits_change_all_the_time_gets_no_more_than_its_share(
    policy: str, steps: list[tuple[str, Any]], board_redis: Redis
) -> None:
    board_redis.flushall()
    board = Board(board_redis, now=NOW)
    board.install(POLICIES[policy], BANDS, TIERS)
    ours = [waiting_job(n, site=1, user=1) for n in range(1, JOBS + 1)]
    board.place(ours)
    board.place(waiting_job(1000 + n, site=2, user=2) for n in range(2 * JOBS))
    turns, order, flying = [], [], []
    for what, value in steps:
        if what == "serve":
            for _ in range(value):
                board.now = (board.now or 0.0) + 1.0
                board.release()
                for slice_ in take(board):
                    turns.append(slice_.site)
                    order += [fence.job for fence in slice_.jobs if slice_.site == 1]
                    flying.append(slice_.id)
        elif what == "limit":
            board.tell_sites([SiteFacts(1, 1, **value)])
        elif what == "settle" and flying:
            board.settle(flying.pop(value % len(flying)), 1.0)
        elif what == "go_by":  # there and back, half way through a pass or not
            board.go_by(POLICIES["fifo"], BANDS, TIERS)
            board.go_by(POLICIES[policy], BANDS, TIERS)

    ahead = lowest = most = 0
    for site in turns:
        ahead += 1 if site == 1 else -1
        lowest = min(lowest, ahead)
        most = max(most, ahead - lowest)
    assert most <= MOST_AHEAD[policy]
    assert order == [job.id for job in ours[: len(order)]], "its line is served in its order, and nothing of it is lost"
    assert board.standing(1).pending == {"task_04": JOBS - len(order)}
    assert [board.recount(1), board.recount(2), board.recount_lanes(9)] == [0, 0, 0]
