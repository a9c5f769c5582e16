"""A runner in the test's own process, for the modules to import whose tests run slices.

Not for a conftest: other modules have settings and boards of their own. ``import board as board`` tells the linter that
the name is meant to be there, though nothing but a test's argument names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

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
def run(settings: Settings, board: Board) -> Run:
    """Submit jobs, take them as one slice, run it, and return their rows."""
    return lambda *wishes: run_as_slice(settings, board, "task_01", wishes, budget_s=10)


def run_as_slice(settings: Settings, board: Board, band: str, wishes: Iterable[JobDraft], *, budget_s: float
                 ) -> list[Job]:
    """The same in any lane."""
    ids = post(settings, board, *wishes)
    (slice_,) = cut(board, band, budget_s=budget_s)
    assert [fence.job for fence in slice_.jobs] == ids
    run_slice(*as_arguments(slice_))
    return [job(id_) for id_ in ids]


@pytest.fixture(autouse=True)
def runner_here(ledger: object, settings: Settings) -> Iterator[None]:
    """What a worker holds, and two sites with a user each."""
    people(sites=2)
    with runtime():
        yield
