"""A runner in the test's own process, for the modules to import whose tests run slices.

Not for a conftest: other modules have settings and boards of their own. ``import board as board`` tells the linter that
the name is meant to be there, though nothing but a test's argument names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings, load
from jobsched.intake.drafts import JobDraft
from jobsched.ledger.models import Job
from jobsched.work.runner import run_slice
from tests.engine import as_arguments, cut, environment, job, people, post, runtime
from tests.support import install

Run = Callable[..., list[Job]]


@pytest.fixture
def settings(settings: Settings, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the runner reads from the environment; the module's fixture ``variables`` is what it sets there."""
    for name, value in environment(settings, **variables).items():
        monkeypatch.setenv(name, value)
    return load()


@pytest.fixture
def board(redis: Redis) -> Board:
    """The runner's board, on a real Redis."""
    return install(Board(redis), "balanced")


@pytest.fixture
def run(settings: Settings, board: Board) -> Callable[..., list[Job]]:
    """Submit jobs, take them as one slice, run it, and return their rows."""

    def submit_and_run(*wishes: JobDraft) -> list[Job]:
        ids = post(settings, board, *wishes)
        (slice_,) = cut(board, "task_01", budget_s=10)
        assert [fence.job for fence in slice_.jobs] == ids
        run_slice(*as_arguments(slice_))
        return [job(id_) for id_ in ids]

    return submit_and_run


@pytest.fixture(autouse=True)
def runner_here(ledger: object, settings: Settings) -> Iterator[None]:
    """What a worker holds, and two sites with a user each."""
    people(sites=2)
    with runtime():
        yield
