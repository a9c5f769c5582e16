"""What a job leaves in its process does not reach the next job, which finds what it would find alone."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from jobsched.ledger.models import Job
from tests.engine import draft
from tests.integration.work.runner_fixtures import Run
from tests.integration.work.runner_fixtures import board as board
from tests.integration.work.runner_fixtures import run as run
from tests.integration.work.runner_fixtures import runner_here as runner_here
from tests.integration.work.runner_fixtures import settings as settings
from tests.leaking_tasks import GO_BACK, NEED_A_NEW_PROCESS, ROOT_ONLY

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

TASKS = "tests.engine_tasks,tests.leaking_tasks,tests.looking_tasks,tests.random_tasks"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do that")
#: What shows only later.
LATER = ["an alarm", "a timer of CPU time", "a watchdog"]
#: What keeps the next one from being stopped.
DEAF = ["SIGALRM ignored", "signals blocked", "a handler of SIGALRM"]


@pytest.fixture
def variables() -> dict[str, str]:
    """What the environment sets for the runner: to look at everything may take its time."""
    return {"JOBSCHED_TASKS": TASKS, "JOBSCHED_OVERRUN": "allow"}


@pytest.mark.parametrize("leaks", [GO_BACK, NEED_A_NEW_PROCESS, pytest.param(ROOT_ONLY, marks=as_root)],
                         ids=["goes back", "needs a new process", "root alone can leave it"])
def test_the_next_job_finds_what_it_finds_alone(run: Run, leaks: Mapping[str, object]) -> None:
    (alone,) = run(draft("look_around"))
    seen = {}
    for what in leaks:
        left, after = run(draft("leave_behind", what=what), draft("look_around"))
        ended = [(row.status, row.attempt, row.error) for row in (left, after)]
        seen[what] = differences(alone, after) if ended == [("completed", 1, None)] * 2 else ended

    assert {what: reached for what, reached in seen.items() if reached} == {}


def differences(alone: Job, after: Job) -> dict[str, tuple[object, object]]:
    assert isinstance(alone.result, dict)
    assert isinstance(after.result, dict)
    return {name: (found, after.result[name]) for name, found in alone.result.items()
            if name != "pid" and after.result[name] != found}


@pytest.mark.parametrize("what", ["another umask", "SIGTERM ignored", "a time zone", "descriptor 1 closed"])
def test_what_goes_back_costs_no_process(run: Run, what: str) -> None:
    rows = run(draft("which_process"), draft("leave_behind", what=what), draft("which_process"))

    assert len({row.result for row in rows}) == 1


def test_only_the_job_after_what_can_not_go_back_has_a_new_process(run: Run) -> None:
    here = draft("which_process")
    before, left, after, last = run(here, draft("leave_behind", what="a thread"), here, here)

    assert before.result == left.result != after.result == last.result


@pytest.mark.parametrize("what", LATER)
def test_what_a_job_has_set_for_later_does_not_hit_the_next(run: Run, what: str) -> None:
    left, after = run(draft("leave_behind", what=what), draft("work_on", seconds=1.2))

    assert [(row.status, row.attempt, row.error) for row in (left, after)] == [("completed", 1, None)] * 2


@pytest.mark.parametrize("what", DEAF)
def test_the_next_job_is_stopped_at_its_limit(run: Run, what: str) -> None:
    _, endless, last = run(draft("leave_behind", what=what), draft("endless"), draft(back=1))

    assert (endless.status, endless.error) == ("failed", "took longer than its limit of 0.2 s")
    assert (last.status, last.attempt) == ("completed", 1)


@pytest.mark.parametrize("leaver", ["the one before raises", "the one before overruns"])
def test_what_a_job_leaves_that_does_not_end_well_goes_back_as_well(run: Run, leaver: str) -> None:
    (alone,) = run(draft("look_around"))
    _, after = run(draft("leave_and_fail", then=leaver), draft("look_around"))

    assert differences(alone, after) == {}


@pytest.mark.parametrize("source", ["random", "module", "class", "closure", "seeded", "numpy", "numpy's generator",
                                    "numpy's spawned", "uuid", "secrets", "tempfile", "ssl"])
def test_no_two_processes_have_the_same_random_numbers(run: Run, source: str) -> None:
    if "numpy" in source:
        pytest.importorskip("numpy")
    rows = [row for _ in range(3) for row in run(draft("draw", source=source))]

    assert {row.status for row in rows} == {"completed"}
    assert len({str(row.result) for row in rows}) == len(rows)


@pytest.mark.parametrize("source", ["random", "numpy"])
def test_what_a_job_does_with_the_shared_random_numbers_ends_with_it(run: Run, source: str) -> None:
    if source == "numpy":
        pytest.importorskip("numpy")
    draws = [run(draft("seed", source=source), draft("draw", source=source))[1] for _ in range(2)]

    assert draws[0].result != draws[1].result


def test_a_task_that_seeds_has_the_same_numbers_each_time(run: Run) -> None:
    first, second = run(draft("seed", source="random"), draft("seed", source="random"))

    assert first.result == second.result
