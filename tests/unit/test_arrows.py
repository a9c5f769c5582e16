"""Which package imports which: the code, checked against the table in tests/architecture/rooms.py."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture import document
from tests.architecture.rooms import (
    AMONG_WORDS,
    DOORS,
    MAY_IMPORT,
    ROOT,
    WORDS,
    arrows,
    files,
    imported,
    libraries,
    reached,
    room_of,
)

#: A key of the board, or the beginning of one; not a message of the program's.
KEY = re.compile(r"jobsched(-\d+)?:(?!\s)")
#: Libraries that few rooms touch.
ONLY_IN = {"rq": {"queues", "work"}, "rq_scheduler": {"queues"}, "alembic": {"ledger"}, "gunicorn": {"host"}}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_what_the_table_says_and_no_line_of_it_is_idle(room: str) -> None:
    assert arrows()[room] - WORDS == MAY_IMPORT[room]


@pytest.mark.parametrize("word", AMONG_WORDS)
def test_the_words_import_no_room(word: str) -> None:
    assert arrows()[word] == AMONG_WORDS[word]


def test_the_table_knows_every_room() -> None:
    assert set(arrows()) == set(MAY_IMPORT) | set(AMONG_WORDS) | DOORS


def test_nothing_comes_in_by_a_door_but_the_doors() -> None:
    entered = {room: others & DOORS for room, others in arrows().items() if room not in DOORS}
    assert {room: others for room, others in entered.items() if others} == {}


def test_no_imports_go_round_in_a_circle() -> None:
    assert {module for module in files() if module in _onwards(module)} == set()


@pytest.mark.parametrize(("part", "later"), [("http", "api"), ("http", "pages"), ("schemas", "api"), ("api", "pages")])
def test_inside_the_web_no_arrow_goes_back(part: str, later: str) -> None:
    found = {other for module in files() if module.startswith(f"jobsched.web.{part}.") for other in imported(module)}
    assert {other for other in found if other.startswith(f"jobsched.web.{later}.")} == set()


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_touched_where_it_belongs(library: str) -> None:
    assert {room_of(module) for module in files() if library in libraries(module)} <= ONLY_IN[library]


@pytest.mark.parametrize("module", ["domain", "policy", "staffing.plan"])
def test_the_core_neither_reads_a_clock_nor_does_input_and_output(module: str) -> None:
    assert libraries(f"jobsched.{module}") <= {
        "__future__", "collections", "dataclasses", "enum", "functools", "itertools", "math", "typing", "unicodedata"}


def test_a_dispatcher_never_comes_upon_the_code_of_tasks() -> None:
    for module in ("jobsched.dispatch.dispatcher", "jobsched.dispatch.repair"):
        assert {room_of(other) for other in reached(module)} & {"tasks", "work", "web"} == set()


def test_only_the_board_names_its_keys() -> None:
    naming = {
        name for name, path in files().items() for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and KEY.match(node.value)
    }
    assert naming == {"jobsched.board.store"}


def test_a_job_that_is_there_is_rewritten_by_the_ledger_alone() -> None:
    """So a status changes in ledger/moves.py; the first one comes with the insert."""
    write = re.compile(r"\bupdate\(Job\)|\bjob\.status = ")
    writing = {room_of(name) for name, path in files().items() if write.search(path.read_text())}
    assert writing == {"ledger"}


def test_the_dispatcher_names_the_runner_by_a_string_only() -> None:
    assert "jobsched.runner.run_slice" in files()["jobsched.queues.jobs"].read_text()
    assert "jobsched.work.runner" not in reached("jobsched.queues.lanes")


@pytest.mark.parametrize("path", document.PARTS, ids=lambda path: path.name)
def test_a_document_shows_the_code_as_it_is(path: Path) -> None:
    assert document.redrawn(path) == path.read_text(), "run make map"


def test_the_functions_that_the_document_names_are_where_it_says() -> None:
    named = re.findall(r"`([a-z_/]+\.(?:py|lua))` `(\w+)`", document.PATH.read_text())
    assert len(named) >= 9
    missing = [f"{name} in {path}" for path, name in named
               if not re.search(rf"(def|class|function) {name}\b|^{name}\b", (ROOT / path).read_text(), re.MULTILINE)]
    assert missing == []


def test_the_files_that_the_document_names_are_there() -> None:
    text = re.sub(r"```.*?```", "", document.PATH.read_text(), flags=re.DOTALL)
    paths = re.findall(r"`([a-z_./]+(?:/|\.(?:py|lua|html)))`", text)
    places = (ROOT, ROOT.parent)
    assert [path for path in paths if not any((place / path).exists() for place in places)] == []


def _onwards(module: str) -> set[str]:
    return {other for first in imported(module) for other in {first} | reached(first)}
