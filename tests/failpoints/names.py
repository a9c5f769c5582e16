"""The failpoints of jobsched, read from its code."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

CODE = Path(__file__).parents[2] / "jobsched"


@dataclass(frozen=True)
class Call:
    """One call of ``failpoint`` in the code; ``name`` is None where it is not a constant."""

    name: str | None
    effect: str
    where: str


def calls(code: Path = CODE) -> list[Call]:
    """Every call of ``failpoint`` below a folder."""
    return [
        _call(node, path)
        for path in sorted(code.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _callee(node) == "failpoint"
    ]


def names() -> list[str]:
    """The names of all failpoints, sorted."""
    return sorted(call.name for call in calls() if call.name is not None)


def _callee(node: ast.Call) -> str | None:
    return getattr(node.func, "id", None) or getattr(node.func, "attr", None)


def _call(node: ast.Call, path: Path) -> Call:
    name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    effects = [keyword.value.value for keyword in node.keywords if isinstance(keyword.value, ast.Constant)]
    return Call(name if isinstance(name, str) else None, str(effects[0]) if effects else "redis",
                f"{path.relative_to(CODE.parent)}:{node.lineno}")
