"""One piece of process state: how to read it, and how to restore it if a job has changed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kept:
    """``get`` tells how it is, by values that compare equal as long as nobody has changed it, and is quick.

    ``put_back`` makes it what it was, given what ``get`` told then, and raises where it can not. Without one, only a
    new process has it as it was.
    """

    name: str
    get: Callable[[], Any]
    put_back: Callable[[Any], object] | None = None


def make_equal(live: dict[Any, Any], kept: dict[Any, Any]) -> None:
    """Have a dict hold again what it held."""
    for name in [name for name in live if name not in kept]:
        del live[name]
    live.update(kept)


def names_in(named: dict[str, Any], name: str) -> Kept:
    """The names of a module, or the like, which go back one by one."""
    held = named.copy()
    return Kept(name, lambda: list(named.values()), lambda _: make_equal(named, held))


def items_of(held: list[Any], name: str) -> Kept:
    """What a list holds that stays where it is."""
    def put_back(kept: list[Any]) -> None:
        held[:] = kept

    return Kept(name, held.copy, put_back)
