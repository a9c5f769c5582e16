"""Defines a sound board: the type of each kind of key, and the values it may hold. Pure.

A number that can be counted again from the lines (points, counts, scores) is not judged here; a recount mends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobsched.board.parse import is_id, is_number, is_whole, number, text

#: More seconds of work than any site or lane has ever had, and less than where adding a millisecond is lost.
MOST_S = 1e12
#: A multiplier that is learnt stays within e to the power of this, up or down.
MOST_LOG = 50.0
#: A moment that is further ahead than this was not written by a clock, in seconds.
FAR_S = 1e6

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of key: its Redis type, and what is wrong with the content of one (None: nothing) at a time ``now``."""

    type: str
    fault: Callable[[Fields, float], str | None] = lambda _fields, _now: None


def of_numbers(fields: Fields, _now: float) -> str | None:
    """Every field holds seconds of work."""
    return _first(fields, lambda _, value: is_seconds(value))


def of_counts(fields: Fields, _now: float) -> str | None:
    """Every field holds a count."""
    return _first(fields, lambda _, value: is_whole(value))


def of_rules(fields: Fields, now: float) -> str | None:
    """The numbers of the formula."""
    def sound(name: str, value: Any) -> bool:
        if name in ("share", "age", "size", "points_cap", "top_tier") or name.endswith((":boost", ":points")):
            return is_number(value)
        if name == "tiers":
            return re.fullmatch(r"([0-9]+:[0-9]+ ?)*", text(value)) is not None
        return name != "made_at" or is_moment(value, now)

    return _first(fields, sound)


def of_lanes(fields: Fields, _now: float) -> str | None:
    """Counts, sums, and virtual times."""
    return _first(fields, lambda name, value: is_seconds(value) if name.startswith("v:") else is_number(value))


def of_site(fields: Fields, now: float) -> str | None:
    """A site's facts, tags and counts."""
    def sound(name: str, value: Any) -> bool:
        if name in ("max_running", "rate") and not value:  # no limit
            return True
        if name in ("weight", "rate"):
            return is_number(value) and number(value) > 0
        if name in ("capacity", "max_running", "burst", "paused", "tiers", "running"):
            return is_whole(value)
        if name == "tat":
            return is_number(value)
        if name.startswith(("tag:", "joined:")):
            return is_seconds(value)
        if name.startswith(("work:", "held_work:")):
            return is_number(value)
        return not name.startswith("pace:") or is_pace(value, now)

    return _first(fields, sound)


def of_slice(fields: Fields, now: float) -> str | None:
    """What is in flight: a record that a worker or the sweep can go by."""
    missing = [name for name in ("site", "band", "jobs", "seconds", "finish") if name not in fields]
    if missing:
        return f"no {missing[0]}"

    def sound(name: str, value: Any) -> bool:
        if name == "jobs":
            return all(is_id(job) for job in text(value).split(" "))
        if name in ("seconds", "finish"):
            return is_seconds(value)
        return is_id(value) if name == "site" else name != "taken" or is_moment(value, now)

    return _first(fields, sound)


def of_load(fields: Fields, now: float) -> str | None:
    """What was measured in a lane."""
    return _first(fields, lambda name, value: is_moment(value, now) if name in ("at", "since") else
                  is_number(value) and number(value) >= 0)


def of_aims(fields: Fields, now: float) -> str | None:
    """What was learnt of guesses, and of paces."""
    def sound(name: str, value: Any) -> bool:
        if name.endswith(":pace"):
            return is_pace(value, now)
        if name.endswith(":slice"):
            return is_seconds(value) and number(value) >= 0
        if ":asked:" in name:
            return is_moment(value, now)
        return is_number(value) and (":n:" in name or abs(number(value)) <= MOST_LOG)

    return _first(fields, sound)


def of_asked(fields: Fields, now: float) -> str | None:
    """What some jobs were told: when, the raw guess, its kind."""
    def sound(job: str, value: Any) -> bool:
        parts = text(value).split(" ")
        return (is_id(job) and 3 <= len(parts) <= 4 and is_moment(parts[0], now) and is_number(parts[1])
                and number(parts[1]) > 0)

    return _first(fields, sound)


#: By what comes before the first colon of a key, and how many names follow.
KINDS: Mapping[tuple[str, int], Kind] = {
    ("rules", 0): Kind("hash", of_rules), ("lanes", 0): Kind("hash", of_lanes), ("jobs", 0): Kind("hash"),
    ("flight", 0): Kind("zset"), ("points", 0): Kind("zset"), ("due", 0): Kind("zset"), ("lane", 1): Kind("zset"),
    ("line", 2): Kind("zset"), ("tags", 2): Kind("hash", of_numbers), ("site", 1): Kind("hash", of_site),
    ("tiers", 1): Kind("hash", of_counts), ("user", 1): Kind("hash", of_counts), ("slice", 1): Kind("hash", of_slice),
    ("inactive", 0): Kind("set"), ("slices", 0): Kind("string"), ("doorbell", 0): Kind("list"),
    ("load", 1): Kind("hash", of_load), ("aims", 0): Kind("hash", of_aims), ("asked", 0): Kind("hash", of_asked),
    ("asked", 1): Kind("zset"), ("alive", 1): Kind("zset"), ("lock", 1): Kind("string"), ("broken", 0): Kind("string"),
    ("rebuilt", 0): Kind("string"), ("probe", 0): Kind("string"),
    ("aside", 0): Kind("hash"), ("asides", 0): Kind("set"), ("aside", 1): Kind("zset"),
    ("turns", 1): Kind("hash", of_numbers),
}


def kind_of(parts: Sequence[str], bands: Sequence[str]) -> Kind | None:
    """The kind of a key, by its name without the prefix, at its colons; None for one that no board has."""
    if parts[0] in ("aside", "turns") and len(parts) > 1:  # a lane and a task, whose name may hold colons
        return KINDS.get((parts[0], 1)) if ":".join(parts[1:]).partition(" ")[0] in bands else None
    if tuple(parts) == ("alive", "tasks"):
        return Kind("hash")
    kind = KINDS.get((parts[0], len(parts) - 1))
    ids = {"line": parts[1:2], "tags": parts[1:2], "site": parts[1:], "tiers": parts[1:], "user": parts[1:]}
    lanes = {"lane": parts[1:], "load": parts[1:], "line": parts[2:], "tags": parts[2:]}
    if kind is None or not all(is_id(id_) for id_ in ids.get(parts[0], ())):
        return None
    return kind if all(band in bands for band in lanes.get(parts[0], ())) else None


def is_seconds(value: Any) -> bool:
    """Whether a value is work in seconds, or a virtual time, of any site or lane."""
    return is_number(value) and abs(number(value)) <= MOST_S


def is_moment(value: Any, now: float) -> bool:
    """Whether a clock may have written it."""
    return is_number(value) and number(value) <= now + FAR_S


def is_pace(value: Any, now: float) -> bool:
    """Whether it is a pace, as ``lua/forecast/pace.lua`` packs one."""
    parts = text(value).split(" ")
    return (len(parts) == 3 and (parts[0] == "-" or is_moment(parts[0], now))
            and all(is_seconds(part) and number(part) >= 0 for part in parts[1:]))


def _first(fields: Fields, sound: Callable[[str, Any], bool]) -> str | None:
    return next((f"{name[:50]} is {text(value)[:50]!r}" for name, value in fields.items() if not sound(name, value)),
                None)
