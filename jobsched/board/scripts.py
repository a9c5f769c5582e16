"""Registers the scripts in ``lua/``, each with the files that are loaded in front of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from redis import Redis
from redis.commands.core import Script

_LUA = Path(__file__).parent / "lua"
#: What all scripts share, in the order in which it is loaded in front of each.
_SHARED = ("keys", "rules", "events", "jobs", "score", "virtual", "limits", "lanes", "counts", "leaving")
_GUESSES = ("numbers", "pace", "guess", "told")
#: Each script, and what it needs beside that.
_SCRIPTS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("set_aside", "adopt", "drop", "site", "user", "release", "pause", "ranking", "rescore_jobs",
                     "rescore_sites", "rescore_done", "recount", "recount_user", "recount_lanes", "future", "ground",
                     "unaside", "renew"), ()),
    **dict.fromkeys(("take", "hand_on"), ("shared/flight",)),
    **dict.fromkeys(("place", "settle"), ("shared/load",)),
    "forecast/why": [f"forecast/{part}" for part in (*_GUESSES, "stands")],
    "forecast/unasked": ("forecast/gone",),
}
#: What of the forecast listens to the events of a script (``lua/shared/events.lua``). Without it all else is the same.
LISTENERS: Mapping[str, Sequence[str]] = {
    "place": [f"forecast/{part}" for part in (*_GUESSES, "ask", "placed")],
    "renew": [f"forecast/{part}" for part in (*_GUESSES, "gone", "ask", "learn", "started")],
    "settle": [f"forecast/{part}" for part in ("numbers", "pace", "gone", "ended")],
    **dict.fromkeys(("drop", "adopt", "set_aside"), ("forecast/gone",)),
}


def registered(redis: Redis) -> dict[str, Script]:
    """Every script by its name, as a client calls it."""
    return {name: redis.register_script(_source(name, tuple(LISTENERS.get(name, ())))) for name in _SCRIPTS}


@cache
def _source(name: str, listeners: tuple[str, ...]) -> str:
    """A script as Redis gets it: its file is the body of a function that ``lua/shared/last.lua`` calls."""
    before = [*(f"shared/{part}" for part in _SHARED), *_SCRIPTS[name], *listeners]
    return "".join([*map(_lua, before), "local function script()\n", _lua(name), "end\n\n", _lua("shared/last")])


@cache
def _lua(part: str) -> str:
    return (_LUA / f"{part}.lua").read_text()
