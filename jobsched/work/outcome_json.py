"""Encodes the outcome of a start as JSON for the notes of its process; the reader checks it closely."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from json import dumps, loads  # a task may put something else in their places
from typing import Any

from jobsched.domain import TRANSITIONS, Status
from jobsched.ledger.moves import Outcome


@dataclass(frozen=True)
class Remains:
    """What is known of a start whose task has come to its end, until there is an outcome.

    ``bare`` is its error in the words that can be made of its type alone; it is empty where the task has ``returned``.
    """

    started_at: datetime
    finished_at: datetime
    run_time: float
    may_repeat: bool
    returned: bool
    bare: str


def pack(noted: Outcome | Remains) -> bytes:
    """Such a thing as bytes. Its result must be what JSON holds."""
    values = (getattr(noted, field.name) for field in fields(noted))
    return dumps([v.isoformat() if isinstance(v, datetime) else v for v in values]).encode()


def outcome(packed: bytes) -> Outcome:
    """The outcome that was packed. Raises ValueError when that can not have been one."""
    read = Outcome(*_values(Outcome, packed))
    retries, moves_on = read.run_at is not None, read.band is not None
    if retries != (read.status is Status.SCHEDULED) or moves_on != (read.status is Status.PENDING):
        raise ValueError(f"nothing ends as {read.status} with {read.run_at} and {read.band}")
    return read


def remains(packed: bytes) -> Remains:
    """The remains that were packed. Raises ValueError when that can not have been any."""
    return Remains(*_values(Remains, packed))


def _values(kind: type[Outcome | Remains], packed: bytes) -> list[Any]:
    names = [field.name for field in fields(kind)]
    try:
        values = loads(packed)
    except RecursionError:
        raise ValueError("it nests too deep") from None
    if type(values) is not list or len(values) != len(names):
        raise ValueError(f"it is no list of {len(names)} values")
    return [_READ[name](value) for name, value in zip(names, values, strict=True)]


def _of(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"a {type(value).__name__} where there should be a {kind.__name__}")
        return value

    return read


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_of(str)(value))
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment


def _seconds(value: Any) -> float:
    if not (type(value) is float and math.isfinite(value) and value >= 0):
        raise ValueError("a time that is none")
    return value


def _status(value: Any) -> Status:
    status = Status(_of(str)(value))
    if status not in TRANSITIONS[Status.RUNNING]:
        raise ValueError(f"no start ends as {status}")
    return status


_READ: Mapping[str, Callable[[Any], Any]] = {
    "job": _of(int), "attempt": _of(int), "status": _status, "started_at": _moment, "finished_at": _moment,
    "run_time": _seconds, "result": lambda value: value, "error": _or_none(_of(str)), "run_at": _or_none(_moment),
    "band": _or_none(_of(str)), "counts": _of(bool), "may_repeat": _of(bool), "returned": _of(bool), "bare": _of(str),
}
