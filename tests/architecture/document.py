"""The generated parts of docs/architecture.md, each between two comments with its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.architecture import example, rooms

PATH = Path(__file__).parents[2] / "docs" / "architecture.md"
#: What is drawn, by the name in its marks.
PARTS: Mapping[str, Callable[[], str]] = {"rooms": rooms.drawn, "example": example.told}


def redrawn(text: str) -> str:
    """The document, with each part as the code has it now. Raises ValueError where a mark is missing."""
    for name, draw in PARTS.items():
        begin, end = f"<!-- {name}: drawn by make map -->", f"<!-- end of {name} -->"
        before, middle, after = text.partition(begin)
        _, last, rest = after.partition(end)
        if not (middle and last):
            raise ValueError(f"{PATH.name} has no marks for {name}")
        text = f"{before}{begin}\n{draw()}\n{last}{rest}"
    return text
