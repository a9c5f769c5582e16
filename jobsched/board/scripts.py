"""Registers the scripts in ``lua/``, each with the files that are loaded in front of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from redis import Redis
from redis.commands.core import Script

_LUA = Path(__file__).parent / "lua"
#: What all scripts share, in the order in which it is loaded in front of each.
_PRELUDE = ("keys", "items", "rules", "events", "jobs", "score", "virtual", "limits", "lanes", "counts", "leaving")
_GUESSES = ("numbers", "pace", "guess", "told")
#: What some scripts need beside that. Each file that stands in ``lua/`` itself is a script.
_NEEDS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("take", "hand_on"), ("prelude/flight",)),
    **dict.fromkeys(("place", "settle"), ("prelude/load",)),
    "why": [f"forecast/{part}" for part in (*_GUESSES, "stands")],
    "prune_asked": ("forecast/gone",),
}
#: What of the forecast listens to the events of a script (``lua/prelude/events.lua``). Without it all else is the same.
LISTENERS: Mapping[str, Sequence[str]] = {
    "place": [f"forecast/{part}" for part in (*_GUESSES, "ask", "placed")],
    "renew": [f"forecast/{part}" for part in (*_GUESSES, "gone", "ask", "learn", "started")],
    "settle": [f"forecast/{part}" for part in ("numbers", "pace", "gone", "ended")],
    **dict.fromkeys(("drop", "adopt", "set_aside"), ("forecast/gone",)),
}


def registered(redis: Redis) -> dict[str, Script]:
    """Every script by its name, as a client calls it."""
    return {name: redis.register_script(_source(name, tuple(LISTENERS.get(name, ())))) for name in _names()}


@cache
def _source(name: str, listeners: tuple[str, ...]) -> str:
    """A script as Redis gets it: its file is the body of a function that ``lua/prelude/last.lua`` calls."""
    before = [*(f"prelude/{part}" for part in _PRELUDE), *_NEEDS.get(name, ()), *listeners]
    return "".join([*map(_lua, before), "local function script()\n", _lua(name), "end\n\n", _lua("prelude/last")])


@cache
def _names() -> list[str]:
    return sorted(path.stem for path in _LUA.glob("*.lua"))


@cache
def _lua(part: str) -> str:
    return (_LUA / f"{part}.lua").read_text()
