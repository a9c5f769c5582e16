"""Every fault of the catalog can be planted; `make mutants` checks that the tests notice it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutants.catalog import MUTANTS, Mutant
from tests.mutants.plant import ROOT

each = pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])


@each
def test_the_text_that_a_fault_replaces_is_in_the_code_once(mutant: Mutant) -> None:
    assert [(ROOT / change.path).read_text().count(change.old) for change in mutant.changes] == [
        1 for _ in mutant.changes
    ]


@each
def test_the_code_with_a_fault_can_be_read_by_python(mutant: Mutant) -> None:
    """Else any test would notice it."""
    for path in {change.path for change in mutant.changes if change.path.endswith(".py")}:
        text = (ROOT / path).read_text()
        for change in mutant.changes:
            text = text.replace(change.old, change.new) if change.path == path else text
        compile(text, path, "exec")


@each
def test_the_tests_that_are_to_notice_a_fault_are_there(mutant: Mutant) -> None:
    for test in mutant.tests:
        path, _, function = test.partition("::")
        text = (ROOT / path).read_text()
        assert f"def {function.partition('[')[0]}" in text


def test_every_fault_has_a_name_of_its_own() -> None:
    assert [name for name, n in Counter(mutant.name for mutant in MUTANTS).items() if n > 1] == []
