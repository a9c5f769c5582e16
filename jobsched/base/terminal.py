"""The terminal on which commands print their tables."""

from __future__ import annotations

from rich.console import Console


def console(width: int) -> Console:
    """The standard output: as wide as its terminal, and ``width`` columns where it is none."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=width)
