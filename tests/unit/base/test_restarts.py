"""When an ended process is restarted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from jobsched.base.restarts import Restarts


def test_the_first_start_is_due_at_once() -> None:
    assert Restarts().due_at < 0


@pytest.mark.parametrize(("lives_s", "pauses_s"), [
    ([0.0], [0.2]),
    ([1.0] * 7, [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),  # doubled, up to the longest
    ([29.9, 29.9], [0.2, 0.4]),
    ([30.0, 30.0], [0.2, 0.2]),  # each was healthy
    ([1.0, 1.0, 1.0, 60.0, 1.0], [0.2, 0.4, 0.8, 0.2, 0.4]),  # a healthy one begins anew
])
def test_the_pause_doubles_while_processes_end_young(lives_s: Sequence[float], pauses_s: Sequence[float]) -> None:
    restarts, now, paused = Restarts(), 1000.0, []
    for life_s in lives_s:
        restarts.start(now)
        now += life_s
        restarts.end(now)
        paused.append(round(restarts.due_at - now, 9))
        now = restarts.due_at
    assert paused == list(pauses_s)
