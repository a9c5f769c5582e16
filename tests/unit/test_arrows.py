"""Imports run one way: web -> submit -> board, dispatcher -> board, runner -> tasks and board."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import jobsched

ROOT = Path(jobsched.__file__).parent
FILES = {
    ".".join(("jobsched", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
#: A key of the board, or the beginning of one; not a message of the program's.
KEY = re.compile(r"jobsched(-\d+)?:(?!\s)")
#: What each part must not reach, neither itself nor by what it imports.
UNREACHABLE = {
    "web": ("dispatcher", "runner", "workers", "crew", "loop"),
    "submit": ("web", "dispatcher", "runner", "workers", "crew"),
    "dispatcher": ("tasks", "runner", "web", "submit"),
    "repair": ("tasks", "runner", "web", "submit", "dispatcher"),
    "runner": ("web", "dispatcher", "submit", "repair"),
    "tasks": ("board", "ledger", "models", "runner", "web"),
    "ledger": ("board", "web"),
    "board": ("models", "ledger", "database", "config"),
}


@cache
def imported(name: str) -> set[str]:
    """The project's modules that a module's file names in an import, wherever in it."""
    return {found for node in ast.walk(ast.parse(FILES[name].read_text())) for found in _named(node)}


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in FILES)
    elif isinstance(node, ast.ImportFrom) and node.module in FILES:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in FILES else node.module


@cache
def reached(name: str) -> set[str]:
    """The project's modules that an import of one reaches, not through the front door of the whole package."""
    seen: set[str] = set()
    todo = {name}
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= imported(module) - seen - {"jobsched"}
    return seen - {name}


@pytest.mark.parametrize("part", UNREACHABLE)
def test_no_part_reaches_back(part: str) -> None:
    forbidden = [f"jobsched.{name}" for name in UNREACHABLE[part]]
    for module in (name for name in FILES if f"{name}.".startswith(f"jobsched.{part}.")):
        back = {name for name in reached(module) if any(f"{name}.".startswith(f"{bad}.") for bad in forbidden)}
        assert not back, f"{module} reaches {sorted(back)}"


def test_the_domain_imports_nothing_of_the_project() -> None:
    assert imported("jobsched.domain") == set()


def test_the_policy_imports_the_domain_only() -> None:
    assert imported("jobsched.policy") == {"jobsched.domain"}


@pytest.mark.parametrize("module", ["domain", "policy", "staffing.plan"])
def test_the_core_neither_reads_a_clock_nor_does_input_and_output(module: str) -> None:
    tree = ast.parse(FILES[f"jobsched.{module}"].read_text())
    outside = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    outside |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in outside} <= {
        "__future__", "collections", "dataclasses", "enum", "functools", "itertools", "jobsched", "math", "typing",
        "unicodedata",
    }


def test_no_imports_go_round_in_a_circle() -> None:
    # The front door imports the web inside a function, so that a worker need not pay for it.
    round_trips = {name for name in FILES if name != "jobsched" and name in _onwards(name)}
    inside_the_web = {name for name in round_trips if name.startswith("jobsched.web")}
    assert round_trips - inside_the_web == set()


def _onwards(name: str) -> set[str]:
    return {module for first in imported(name) - {"jobsched"} for module in {first} | reached(first)}


def test_only_the_board_names_its_keys() -> None:
    naming = {
        name for name, path in FILES.items() for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and KEY.match(node.value)
    }
    assert naming == {"jobsched.board.scripts"}


def test_the_dispatcher_names_the_runner_by_a_string_only() -> None:
    assert "jobsched.runner.run_slice" in FILES["jobsched.queues.jobs"].read_text()
    assert "jobsched.work.runner" not in reached("jobsched.queues.lanes")
