"""Every failpoint fires in three ways, on both databases; afterwards the guarantees hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from jobsched.base import failpoints
from jobsched.config import Settings
from tests.failpoints import names
from tests.failpoints.scenarios import SCENARIOS, Scenario
from tests.failpoints.system import go_on, system
from tests.promise.stage import Stage

CASES = [(scenario, failpoint) for scenario in SCENARIOS for failpoint in scenario.failpoints]


@pytest.mark.parametrize("way", failpoints.WAYS)
@pytest.mark.parametrize(("scenario", "failpoint"), CASES, ids=[f"{s.name}-{name}" for s, name in CASES])
def test_the_promise_holds_after_a_fault_at(
    scenario: Scenario, failpoint: str, way: str, stage: Stage, web_on: Callable[[Settings], Flask], tmp_path: Path
) -> None:
    with system(stage, web_on(stage.settings), f"{failpoint}={way}@{tmp_path / 'fired'}", tmp_path) as ours:
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
