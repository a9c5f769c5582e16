"""Every border between two effects, in three ways, on both databases: afterwards the promise holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobsched import failpoints
from jobsched.config import load
from tests.failpoints import names
from tests.failpoints.scenarios import SCENARIOS, Scenario
from tests.failpoints.system import ENVIRONMENT, Stage, go_on, system
from tests.servers import PostgresServer, RedisServer

CASES = [(scenario, failpoint) for scenario in SCENARIOS for failpoint in scenario.failpoints]


@pytest.fixture(scope="module")
def sqlite_stage(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("failpoints")
    yield from _stage(f"sqlite:///{home / 'jobsched.db'}", redis_server, home)


@pytest.fixture(scope="module")
def postgresql_stage(
    redis_server: RedisServer, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    postgres.administer("CREATE DATABASE failpoints")
    yield from _stage(postgres.url("failpoints"), redis_server, tmp_path_factory.mktemp("failpoints"))
    postgres.administer("DROP DATABASE failpoints WITH (FORCE)")


def _stage(database_url: str, redis_server: RedisServer, home: Path) -> Iterator[Stage]:
    stage = Stage.build(load({
        **ENVIRONMENT, "JOBSCHED_HOME": str(home), "DATABASE_URL": database_url, "REDIS_URL": redis_server.url,
        "SECRET_KEY": "only-for-tests",
    }))
    yield stage
    stage.close()


@pytest.mark.parametrize("way", failpoints.WAYS)
@pytest.mark.parametrize(("scenario", "failpoint"), CASES, ids=[f"{s.name}-{name}" for s, name in CASES])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_promise_holds_after_a_fault_at(
    scenario: Scenario, failpoint: str, way: str, database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    stage: Stage = request.getfixturevalue(f"{database}_stage")
    with system(stage, f"{failpoint}={way}@{tmp_path / 'fired'}", tmp_path) as ours:
        scenario.play(ours)
        assert ours.fired, f"{scenario.name} did not come to {failpoint}"
        broken = go_on(ours)
        assert not broken, "\n".join([*broken, "", (tmp_path / "log").read_text()])


def test_every_failpoint_has_a_constant_name_of_its_own() -> None:
    calls = names.calls()
    assert [call.where for call in calls if call.name is None] == []
    assert [name for name, n in Counter(call.name for call in calls).items() if n > 1] == []


def test_every_failpoint_is_walked() -> None:
    assert {failpoint for _, failpoint in CASES} == set(names.names())


def test_every_failpoint_follows_an_effect_whose_reply_can_be_lost() -> None:
    assert {call.effect for call in names.calls()} == {"redis", "sql"}
