"""The baselines do what their names say, by hand-made cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsched.simulate import baselines
from jobsched.simulate.engine import Trace
from jobsched.simulate.workloads import Arrival, Workload, workload
from tests.support import BANDS, TIERS


def jobs(*rows: tuple[float, int, float], workers: int = 1) -> Workload:
    """A workload of (arrival, site, length)."""
    return workload("case", workers, [Arrival(at, site, site, length, length) for at, site, length in rows])


def every(load: Workload) -> list[Trace]:
    return [
        baselines.one_queue(load), baselines.queue_a_band(load, BANDS),
        baselines.drain_the_top_site(load, BANDS, TIERS), baselines.round_robin(load),
        baselines.shortest_remaining(load),
    ]


def test_one_queue_serves_in_the_order_of_arrival() -> None:
    trace = baselines.one_queue(jobs((0, 1, 5), (1, 2, 1), (2, 3, 1), workers=2))

    assert list(trace.start) == [0, 1, 2]
    assert list(trace.finish) == [5, 2, 3]


def test_a_queue_a_band_keeps_short_jobs_from_long_ones() -> None:
    # 5 bands, 2 workers: the shorter three bands have one, the longer two the other
    trace = baselines.queue_a_band(jobs((0, 1, 5), (0, 1, 0.5), (0, 1, 0.05), workers=2), BANDS)

    assert sorted(zip(trace.start, trace.finish, strict=True)) == [(0, 0.05), (0, 0.5), (0.5, 5.5)]


def test_draining_the_top_site_serves_all_that_it_has_before_others() -> None:
    # Site 2 has more jobs when the worker is free, so that its three go first; site 1's second one waits for them
    trace = baselines.drain_the_top_site(
        jobs((0, 1, 1), (0.1, 1, 1), (0.2, 2, 1), (0.3, 2, 1), (0.4, 2, 1)), BANDS, TIERS)

    assert list(trace.start) == [0, 4, 1, 2, 3]


def test_round_robin_gives_each_site_one_job_in_turn() -> None:
    trace = baselines.round_robin(jobs((0, 1, 1), (0.1, 1, 1), (0.2, 1, 1), (0.3, 2, 1), (0.4, 2, 1)))

    assert list(trace.start) == [0, 1, 3, 2, 4]


def test_shortest_remaining_preempts_the_longest() -> None:
    trace = baselines.shortest_remaining(jobs((0, 1, 10), (1, 2, 2), (2, 3, 0.5)))

    assert list(trace.start) == [0, 1, 2]
    assert list(trace.finish) == [12.5, 3.5, 2.5]
    assert sorted(trace.runs()) == [(0, 0, 1), (0, 3.5, 12.5), (1, 1, 2), (1, 2.5, 3.5), (2, 2, 2.5)]


def test_shortest_remaining_uses_all_workers() -> None:
    trace = baselines.shortest_remaining(jobs((0, 1, 4), (0, 2, 3), (1, 3, 1), workers=2))

    assert sorted(trace.finish) == [2, 3, 5]  # the 4 s job has run for 1 s when it gives way, for 1 s


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 4), st.floats(0.01, 5)), min_size=1, max_size=40),
       st.integers(1, 4))
def test_every_baseline_runs_every_job_whole_and_no_worker_twice_at_once(rows: list[tuple[float, int, float]],
                                                                        workers: int) -> None:
    load = jobs(*rows, workers=workers)
    for trace in every(load):
        ran = [0.0] * len(load)
        events = []
        for job, begin, end in trace.runs():
            assert load.at[job] <= begin <= end <= trace.finish[job]
            ran[job] += end - begin
            events += [(begin, 1), (end, -1)]
        busy = 0
        for _, change in sorted(events, key=lambda event: (event[0], event[1])):
            busy += change
            assert busy <= workers
        assert ran == pytest.approx(list(load.length))


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 4), st.floats(0.01, 5)), min_size=1, max_size=40))
def test_on_one_worker_shortest_remaining_has_least_mean_delay(rows: list[tuple[float, int, float]]) -> None:
    load = jobs(*rows)
    *others, best = [sum(trace.finish) for trace in every(load)]

    assert best <= min(others) + 1e-6
