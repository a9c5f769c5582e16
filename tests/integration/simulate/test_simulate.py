"""The simulator: the real board, on a real Redis and on fakeredis, with workers and a clock that are virtual."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from jobsched.board import Board
from jobsched.cli import main
from jobsched.config import Settings
from jobsched.domain import Bands
from jobsched.policy import POLICIES
from jobsched.simulate import baselines, server
from jobsched.simulate.engine import Deferring, House, Simulation, Trace
from jobsched.simulate.history import from_ledger
from jobsched.simulate.workloads import Arrival, BadWorkload, Workload, workload
from jobsched.staffing.plan import Slot, slots
from tests.support import BANDS, TIERS, make_job, make_user, waiting_job

ONE_LANE = Bands.of([10.0])
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def simulate(redis: Redis, load: Workload, policy: str = "balanced", bands: Bands = BANDS,
             crew: Sequence[Slot] | None = None, budget_s: float = 0.1) -> Trace:
    redis.flushall()
    house = House(bands, TIERS, tuple(crew or slots(load.workers, bands)), budget_s)
    return Simulation(redis, load, house, POLICIES[policy]).run()


def mixed(seed: int, jobs: int, workers: int) -> Workload:
    rng = Random(seed)
    return workload("mixed", workers, [
        Arrival(rng.uniform(0, jobs / 40), rng.randint(1, 6), rng.randint(1, 9), size, size)
        for size in (0.0002 * 10 ** (4 * rng.random()) for _ in range(jobs))
    ])


# The engine


def test_fifo_in_one_lane_without_slices_is_one_queue(board_redis: Redis) -> None:
    load = mixed(1, 150, workers=3)

    trace = simulate(board_redis, load, "fifo", ONE_LANE, budget_s=1e-9)

    # A job in a lane's queue can not be overtaken, and the lane's order is that of arrival: both serve alike
    assert list(trace.start) == pytest.approx(list(baselines.one_queue(load).start))


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_job_runs_once_and_no_worker_runs_two(redis: Redis, policy: str) -> None:
    load = mixed(2, 250, workers=4)

    trace = simulate(redis, load, policy)

    events = []
    for number, begin, end in trace.runs():
        assert begin >= load.at[number]
        assert end - begin == pytest.approx(load.length[number])
        events += [(begin, 1), (end, -1)]
    busy = most = 0
    for _, change in sorted(events):
        busy += change
        most = max(most, busy)
    assert most <= 4
    assert all(lane.waiting == lane.flying == 0 for lane in Board(redis).view.lanes())


def test_a_worker_that_keeps_clear_runs_no_long_job(redis: Redis) -> None:
    load = workload("long", 2, [Arrival(0.0, 1, 1, 5.0, 5.0)] * 4 + [Arrival(1.0, 2, 2, 0.001, 0.001)])

    trace = simulate(redis, load)

    assert sorted(trace.start)[:2] == [0.0, 1.0]  # one long job runs, and the short one does not wait
    assert sorted(trace.finish)[-1] == 20.0


def test_jobs_of_a_slice_run_one_after_the_other(redis: Redis) -> None:
    load = workload("slice", 1, [Arrival(0.0, 1, 1, 0.02, 0.02)] * 5)

    trace = simulate(redis, load)

    assert sorted(trace.start) == pytest.approx([0, 0.02, 0.04, 0.06, 0.08])


def test_a_site_is_charged_what_it_used_not_what_it_said(redis: Redis) -> None:
    # Both keep the one worker busy; site 1 says 10 ms, and takes 100
    rows = [Arrival(0.0, 1, 1, 0.1, 0.01)] * 60 + [Arrival(0.0, 2, 2, 0.01, 0.01)] * 600
    load = workload("lie", 1, rows)

    trace = simulate(redis, load, "fair", Bands.of([0.01]), budget_s=0.01)

    used = [sum(end - begin for number, begin, end in trace.runs() if load.site[number] == site and end <= 6)
            for site in (1, 2)]
    # 15 slices wait in the lane's queue, and were cut before what site 1 said was known to be wrong
    assert used[0] == pytest.approx(used[1], abs=15 / 2 * 0.1)


def test_deferred_scripts_are_sent_in_their_order_with_the_next_command(board_redis: Redis) -> None:
    deferring = Deferring(board_redis)
    board = Board(deferring)
    board.rules.install(POLICIES["balanced"], BANDS, TIERS)
    board.place([waiting_job(1, execution_time=0.05)])
    assert board.take("task_03", 1, budget_s=1, lease_s=9)

    deferring.deferring = True
    board.place([waiting_job(2, execution_time=0.05)])
    assert not Board(board_redis).upkeep.known([2])
    deferring.deferring = False

    assert [slice_.jobs[0].job for slice_ in board.take("task_03", 1, budget_s=1, lease_s=9)] == [2]
    deferring.close()


def test_progress_tells_of_every_job(redis: Redis) -> None:
    told: list[int] = []
    load = workload("many", 4, [Arrival(0.01 * i, 1, 1, 0.03, 0.03) for i in range(1500)])
    house = House(BANDS, TIERS, tuple(slots(4, BANDS)), 0.1)
    redis.flushall()

    Simulation(redis, load, house, POLICIES["fair"]).run(told.append)

    assert sum(told) == 1500
    assert len(told) >= 2


# The servers


def test_its_own_redis_serves_and_is_gone_after() -> None:
    with server.real() as redis:
        assert redis.ping()
        assert redis.config_get("appendonly") == {"appendonly": "no"}
        pid = redis.info("server")["process_id"]

    assert not Path(f"/proc/{pid}").exists()


# The ledger


@only_sqlite
def test_history_is_what_the_ledger_recorded_between_two_times(ledger: Flask, settings: Settings) -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
    user = make_user()
    rows: list[dict[str, Any]] = [
        {"submitted_at": noon - timedelta(seconds=1)},
        {"submitted_at": noon, "run_time": 0.25},
        {"submitted_at": noon + timedelta(seconds=2)},
        {"submitted_at": noon - timedelta(days=1), "run_at": noon + timedelta(seconds=3)},
        {"submitted_at": noon + timedelta(seconds=60)},
    ]
    for row in rows:
        make_job(user, execution_time=0.5, band="task_04", **row)

    load = from_ledger(settings, noon, noon + timedelta(seconds=60), workers=2)

    assert (list(load.at), list(load.length), list(load.estimate)) == ([0, 2, 3], [0.25, 0.5, 0.5], [0.5] * 3)
    assert set(load.user) == {user.id}
    with pytest.raises(BadWorkload, match="no jobs"):
        from_ledger(settings, noon + timedelta(days=9), noon + timedelta(days=10), workers=2)


# The command


def run(*args: str) -> Any:
    return CliRunner().invoke(main, ["simulate", *args], catch_exceptions=False)


@pytest.mark.parametrize("redis_kind", ["real", "fake"])
def test_the_command_prints_a_row_for_each_policy(redis_kind: str) -> None:
    result = run("flood", "--jobs", "60", "--policy", "balanced", "--policy", "fifo", "--json", "--redis", redis_kind)

    rows = json.loads(result.stdout)
    assert [row["policy"] for row in rows] == ["balanced", "fifo", "one queue", "queue a band", "drain the top site",
                                               "round robin", "srpt"]
    for row in rows:
        assert {"mean_slowdown", "p50_slowdown", "p99_slowdown", "max_slowdown", "quiet_mean_slowdown",
                "quiet_p99_slowdown", "mean_wait_s", "jain_1s", "max_passed_over_s", "bands"} <= set(row)
        assert row["jobs"] == 120
        assert row["mean_slowdown"] >= 1


def test_every_run_that_has_marks_is_done_and_each_mark_is_told() -> None:
    result = run("marks", "--jobs", "40")

    for case in ("flood", "heavy", "pareto-1.0", "pareto-1.5", "lognormal", "split", "lie-short", "lie-long, one lane"):
        assert case in result.stdout
    for what in ("Jain's index", "p99 of slowdown", "load per worker", "extra service of the site"):
        assert what in result.stdout
    assert result.exit_code == (1 if " NO " in result.stdout else 0)


def test_both_kinds_of_redis_give_the_same_figures() -> None:
    rows = [json.loads(run("heavy", "--jobs", "40", "--policy", "balanced", "--no-baselines", "--json", "--redis",
                           kind).stdout) for kind in ("real", "fake")]

    assert rows[0] == rows[1]


def test_the_tables_name_every_policy_and_the_page_needs_no_network(tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    result = run("demo", "--html", str(page))

    for name in (*POLICIES, "one queue", "srpt"):
        assert name in result.stdout
        assert name in page.read_text()
    assert "<svg" in page.read_text()
    assert "src=" not in page.read_text()
    assert page.read_text().replace("http://www.w3.org/2000/svg", "").count("http") == 0


def test_the_page_keeps_what_was_run_apart_from_what_a_table_shows(tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    run("demo", "--policy", "fifo", "--no-baselines", "--html", str(page))

    assert "</h2><p>workers: " in page.read_text()
    assert "</p><p>slowdown (1 is: never waited) and fairness</p><table>" in page.read_text()


def test_where_nobody_sees_bars_each_policy_is_told_as_it_begins() -> None:
    result = run("demo", "--policy", "fifo", "--policy", "fair", "--json")

    assert result.stderr.splitlines() == ["demo: 20 jobs, fifo", "demo: 20 jobs, fair", "demo: 20 jobs, baselines"]


@pytest.mark.parametrize(("args", "says"), [
    (["tsunami"], "no workload 'tsunami'"),
    (["flood", "--load", "2"], "runs off"),
    (["nothing.jsonl"], "nothing.jsonl"),
])
def test_what_can_not_be_simulated_is_told_in_a_sentence(args: list[str], says: str) -> None:
    result = run(*args)

    assert result.exit_code == 1
    assert says in result.stderr


# Order under load


@given(st.integers(1, 10**6), st.sampled_from(["balanced", "fair", "priority", "shortest", "fifo"]))
@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_workers_do_not_idle_while_a_lane_that_they_serve_has_work(redis: Redis, seed: int, policy: str) -> None:
    load = replace(mixed(seed, 120, workers=1), workers=1)

    trace = simulate(redis, load, policy)

    busy = sum(load.length)
    idle = max(trace.finish) - busy
    assert idle <= max(load.at) + 1e-9


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_no_lane_starves_behind_another_that_was_flooded(redis: Redis, policy: str) -> None:
    rng = Random(3)
    flood = [Arrival(0.0, 1, 1, 0.09, 0.09)] * 250
    long = [Arrival(rng.uniform(0, 50), rng.randint(2, 8), 2, 0.08, 0.08) for _ in range(250)]
    short = [Arrival(float(at), 9 + at % 2, 3, 0.008, 0.008) for at in range(5, 50) for _ in range(25)]
    load = workload("flood", 1, [*flood, *long, *short])

    trace = simulate(redis, load, policy)

    # All of that keeps the worker busy for 50 s, the longer jobs alone for 42 s; each lane gets its turns.
    assert max(trace.start[job] - load.at[job] for job in range(len(load)) if load.length[job] == 0.008) < 5
