"""`make chaos` selects faults by name."""

from __future__ import annotations

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.options import parse
from tests.chaos.troubles import TROUBLES


def test_every_fault_is_asked_for_unless_some_are_named() -> None:
    asked = parse([])
    assert asked.faults == KINDS
    assert not asked.is_choice
    assert "FAULTS" not in asked.again()


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_can_be_asked_for_alone(name: str) -> None:
    asked = parse(["--faults", name])
    assert asked.faults == (name,)
    assert asked.is_choice
    assert asked.again().endswith(f"FAULTS={name}")


def test_trouble_stands_for_the_faults_of_all_servers() -> None:
    assert parse(["--faults", "kill,trouble"]).faults == ("kill", *TROUBLES)


def test_an_unknown_fault_is_refused_with_the_names_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--faults", "kill,earthquake"])
    said = capsys.readouterr().err
    assert "earthquake" in said
    assert all(name in said for name in KINDS)
