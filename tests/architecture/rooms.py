"""The rooms of jobsched, and which may import which.

A room is a package in ``jobsched/``, or a module beside the packages.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import jobsched

ROOT = Path(jobsched.__file__).parent

#: What all rooms may import; these import nothing of the rooms.
WORDS = frozenset({"domain", "policy", "config", "tasks", "base"})
#: What a room may import beside the words, in the order of a job's path.
MAY_IMPORT: Mapping[str, frozenset[str]] = {room: frozenset(others.split()) for room, others in {
    "intake": "ledger board queues",
    "ledger": "",
    "board": "",
    "dispatch": "intake ledger board queues",
    "queues": "ledger board",
    "work": "ledger board queues staffing",
    "staffing": "board",
    "forecast": "board",
    "web": "intake ledger board queues staffing forecast work",
    "host": "ledger queues work",
    "simulate": "ledger board queues staffing host",
}.items()}
#: The words themselves: what each may import of the others.
AMONG_WORDS: Mapping[str, frozenset[str]] = {word: frozenset(others.split()) for word, others in {
    "domain": "",
    "policy": "domain",
    "base": "domain",
    "config": "domain policy base",
    "tasks": "domain base",
}.items()}
#: Modules that only lead into the rooms: the package itself, the commands, and names that are stored in Redis.
DOORS = frozenset({"", "__main__", "cli", "runner", "lanes"})


@cache
def files() -> Mapping[str, Path]:
    """Each module of jobsched by its name, which begins with ``jobsched``."""
    return {
        ".".join(("jobsched", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
    }


def room_of(module: str) -> str:
    """``board`` for ``jobsched.board.core``, ``domain`` for ``jobsched.domain``, nothing for ``jobsched``."""
    return ".".join(module.split(".")[1:2])


@cache
def imported(module: str) -> frozenset[str]:
    """The project's modules that a module imports, at the top or inside a function."""
    tree = ast.parse(files()[module].read_text())
    return frozenset(found for node in ast.walk(tree) for found in _named(node))


@cache
def reached(module: str) -> frozenset[str]:
    """The project's modules that importing one of them loads."""
    seen: set[str] = set()
    todo = {module}
    while todo:
        next_one = todo.pop()
        seen.add(next_one)
        todo |= imported(next_one) - seen
    return frozenset(seen - {module})


@cache
def libraries(module: str) -> frozenset[str]:
    """The top-level names of the other libraries that a module imports."""
    tree = ast.parse(files()[module].read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return frozenset(name.partition(".")[0] for name in names) - {"jobsched"}


def arrows() -> Mapping[str, frozenset[str]]:
    """The rooms that each room imports in the code."""
    found: dict[str, set[str]] = {room_of(module): set() for module in files()}
    for module in files():
        found[room_of(module)] |= set(map(room_of, imported(module)))
    return {room: frozenset(others - {room}) for room, others in found.items()}


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    docstring = ast.get_docstring(ast.parse(files()[f"jobsched.{room}"].read_text())) or ""
    return re.split(r"(?<=\.)\s", docstring.replace("``", "`"), maxsplit=1)[0].replace("\n", " ")


def drawn() -> str:
    """The rooms as a diagram and as a table: what each is for, and which others it imports."""
    now = arrows()
    lines = ["```mermaid", "graph TD"]
    for room in MAY_IMPORT:
        lines += [f"  {room} --> {other}" for other in sorted(_nearest(room, now))]
    lines += ["```", "", "Arrows that follow from others are left out.", "",
              "| package | what it is for | imports, beside the shared modules |", "|---|---|---|"]
    for room in MAY_IMPORT:
        others = [other for other in MAY_IMPORT if other in now[room]]
        lines.append(f"| `{room}/` | {purpose(room)} | {', '.join(others) or 'nothing'} |")
    lines += ["", "| shared | what it is for | imports |", "|---|---|---|"]
    for word in AMONG_WORDS:
        name = f"{word}/" if (ROOT / word).is_dir() else f"{word}.py"
        lines.append(f"| `{name}` | {purpose(word)} | {', '.join(sorted(now[word])) or 'nothing'} |")
    return "\n".join(lines)


def _named(node: ast.AST) -> Iterator[str]:
    known = files()
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom) and node.module in known:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in known else node.module


def _nearest(room: str, now: Mapping[str, frozenset[str]]) -> set[str]:
    """The rooms that a room imports, without those that another of them imports too."""
    direct = now[room] & set(MAY_IMPORT)
    return {other for other in direct if not any(other in _beyond(third, now) for third in direct - {other})}


def _beyond(room: str, now: Mapping[str, frozenset[str]]) -> set[str]:
    further = now[room] & set(MAY_IMPORT)
    return set(further).union(*(_beyond(other, now) for other in further))
