"""A runner in the test's own process, for the modules to import whose tests run slices.

Not for a conftest: other modules have settings and boards of their own. ``import board as board`` tells the linter that
the name is meant to be there, though nothing but a test's argument names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from redis import Redis

from jobsched.board import Board
from jobsched.config import Settings, load
from tests.engine import environment, people, runtime
from tests.support import install


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


@pytest.fixture(autouse=True)
def runner_here(ledger: object, settings: Settings) -> Iterator[None]:
    """What a worker holds, and two sites with a user each."""
    people(sites=2)
    with runtime():
        yield
