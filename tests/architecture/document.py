"""The generated parts of the documents, each between two comments with its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.architecture import example, rooms, settings

_DOCS = Path(__file__).parents[2] / "docs"
PATH = _DOCS / "architecture.md"
#: What is drawn, by the document and by the name in its marks.
PARTS: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    PATH: {"rooms": rooms.drawn, "example": example.told},
    _DOCS / "operations.md": {"settings": settings.table},
}


def redrawn(path: Path) -> str:
    """The text of a document, with each part as the code has it now. Raises ValueError where a mark is missing."""
    text = path.read_text()
    for name, draw in PARTS[path].items():
        begin, end = f"<!-- {name}: drawn by make map -->", f"<!-- end of {name} -->"
        before, middle, after = text.partition(begin)
        _, last, rest = after.partition(end)
        if not (middle and last):
            raise ValueError(f"{path.name} has no marks for {name}")
        text = f"{before}{begin}\n{draw()}\n{last}{rest}"
    return text
