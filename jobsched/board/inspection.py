"""Inspects the keys of the board: sets aside what does not belong there, or reports the board as broken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobsched.base import aside
from jobsched.board.parse import is_id, text
from jobsched.board.soundness import Kind, kind_of
from jobsched.board.store import VALUES, Part, batched, readable

#: Keys whose loss costs nothing that is not soon there again.
_SPARE = ("aims", "turns", "asked", "load", "doorbell", "alive", "lock", "rebuilt", "broken")


@dataclass
class Inspected:
    """What a look over some keys found: how many values it has ``set_aside``, and whom the keys name."""

    set_aside: int = 0
    sites: set[int] = field(default_factory=set)
    users: set[int] = field(default_factory=set)
    #: Sites that have lost a place, and are to be counted again.
    displaced: set[int] = field(default_factory=set)


class Inspection(Part):
    """The looks of a sweep at whatever stands under the board's prefix."""

    @readable
    def look(self, cursor: int, count: int, bands: Sequence[str]) -> tuple[int, Inspected]:
        """Look at about ``count`` keys from a scan cursor (0: the start) on; returns the next cursor and what it found.

        Raises BoardBroken for what can not be set aside.
        """
        found = Inspected()
        scanned: Any = self._redis.scan(cursor, match=self._store.prefix + "*", count=count)
        next_cursor, names = scanned
        now = self._store.now_s()
        for keys in batched(dict.fromkeys(names), 500):
            self._look_at(keys, bands, now, found)
        if found.set_aside:
            aside.counted(self._redis, VALUES, "found by a look over the board", found.set_aside)
        return int(next_cursor), found

    @readable
    def forget_users(self, users: Iterable[int]) -> int:
        """Forget which of ``users``, who are no more, do not count in points; returns how many it were."""
        gone = list(users)
        return int(self._redis.srem(self._key("inactive"), *gone)) if gone else 0

    def values_aside(self) -> int:
        """How many values were taken off the board because they could not be read, or were none of ours, so far."""
        return aside.counts(self._redis).get(VALUES, 0)

    def _look_at(self, keys: Sequence[bytes], bands: Sequence[str], now: float, found: Inspected) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.type(key)
            types = [text(type_) for type_ in pipe.execute()]
        for key, type_ in zip(keys, types, strict=True):
            parts = text(key).removeprefix(self._store.prefix).split(":")
            kind = kind_of(parts, bands)
            if type_ == "none":  # it has gone since
                continue
            if kind is None or (type_ != kind.type and parts[0] in _SPARE):
                found.set_aside += int(self._redis.unlink(key))
            elif type_ != kind.type:
                raise ValueError(f"{':'.join(parts)} is a {type_}, not a {kind.type}")
            else:
                self._look_into(key, parts, kind, now, found)

    def _look_into(self, key: bytes, parts: Sequence[str], kind: Kind, now: float, found: Inspected) -> None:
        match parts:
            case ["points" | "due" | "lane", *_]:
                self._look_at_sites(key, found)
            case ["flight"]:
                self._look_at_flights(key, found)
            case ["inactive"]:
                self._look_at_users(key, found)
            case ["aside" | "asides" | "turns", *_]:
                self._look_at_asides(key, parts, kind, now, found)
            case ["asked", "due"]:
                found.set_aside += int(self._store.run("prune_asked"))
            case ["jobs"] | ["alive" | "lock", *_]:
                return
            case _ if kind.type == "hash":
                self._look_at_fields(key, parts, kind, now, found)
        if parts[0] in ("site", "tiers", "line", "tags"):
            found.sites.add(int(parts[1]))

    def _look_at_asides(self, key: bytes, parts: Sequence[str], kind: Kind, now: float, found: Inspected) -> None:
        if parts[0] == "turns":
            self._look_at_fields(key, parts, kind, now, found)
        pairs = self._redis.smembers(key) if parts[0] == "asides" else {b":".join(key.split(b":")[2:])}
        found.set_aside += sum(int(self._store.run("prune_aside", pair)) for pair in pairs)

    def _look_at_fields(self, key: bytes, parts: Sequence[str], kind: Kind, now: float, found: Inspected) -> None:
        fault = kind.fault({text(name): value for name, value in self._redis.hgetall(key).items()}, now)
        if parts[0] == "slice":  # a record without its flight, or a flight without a record that says whose it is
            found.set_aside += int(self._store.run("drop_slice", parts[1], int(fault is not None)))
        elif parts[0] == "user" and fault is None:
            found.set_aside += int(self._store.run("recount_user", parts[1]))
        elif fault and parts[0] in _SPARE:
            found.set_aside += int(self._redis.unlink(key))
        elif fault:
            raise ValueError(f"in {':'.join(parts)} {fault}")
        elif parts[0] == "asked":
            found.set_aside += int(self._store.run("prune_asked"))

    def _look_at_sites(self, key: bytes, found: Inspected) -> None:
        members: Any = self._redis.zrange(key, 0, -1, withscores=True)
        wrong = [member for member, score in members if not is_id(member) or not abs(score) <= 1e18]
        if wrong:
            found.set_aside += int(self._redis.zrem(key, *wrong))
        found.sites.update(int(member) for member, _ in members if is_id(member))
        found.displaced.update(int(member) for member in wrong if is_id(member))

    def _look_at_flights(self, key: bytes, found: Inspected) -> None:
        slices: Any = self._redis.zrange(key, 0, -1)
        for slice_id in slices:
            if not self._redis.exists(self._key("slice:").encode() + slice_id):
                found.set_aside += int(self._store.run("drop_slice", slice_id, 0))

    def _look_at_users(self, key: bytes, found: Inspected) -> None:
        members = self._redis.smembers(key)
        wrong = [member for member in members if not is_id(member)]
        if wrong:
            found.set_aside += int(self._redis.srem(key, *wrong))
        found.users.update(int(member) for member in members if is_id(member))
