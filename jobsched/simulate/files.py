"""Reads a workload from a file of JSON lines, one job in each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobsched.domain import LEAST_EXECUTION_TIME_S, Bands
from jobsched.simulate.workloads import Arrival, BadWorkload, Workload, workload

#: A job may take so many times the last band's bound; a longer one is a mistake, and would take hours to simulate.
MOST_BOUNDS = 100
#: The latest ``at``, some three years: far above it, a float cannot distinguish the start of a short job from its end.
LATEST_S = 1e8
#: Sites and users are whole numbers of 64 bits, as in the ledger.
MOST_ID = 2**63 - 1

_FIELDS = ("at", "execution_time", "length", "site", "user")
#: How many characters of a wrong value a message shows.
_MOST_SHOWN = 40


def from_file(path: Path, workers: int, bands: Bands) -> Workload:
    """The jobs of a JSON-lines file, one object in each line, in any order; blank lines are skipped.

    An object has ``at``, in seconds from the start, up to LATEST_S; ``execution_time`` in seconds, up to the last
    band's bound; ``site`` and ``user``, whole numbers; and ``length`` if it differs from the execution time, the
    seconds that the job really takes, up to MOST_BOUNDS times that bound.

    Raises BadWorkload, naming the line and the field, also when there are no jobs.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise BadWorkload(f"{path} can not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadWorkload(f"{path} can not be read: it is not text in UTF-8") from error
    arrivals = list(_arrivals(path, lines, bands.longest.bound_s))
    if not arrivals:
        raise BadWorkload(f"no jobs in {path}")
    return workload(path.stem, workers, arrivals)


def _arrivals(path: Path, lines: Sequence[str], bound_s: float) -> Iterator[Arrival]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _arrival(_row(line), bound_s)
            except _BadLine as fault:
                raise BadWorkload(f"{path} line {number}: {fault}") from fault


class _BadLine(Exception):
    """A line that is not a job; the message says why."""


def _row(line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _BadLine("is not JSON") from error
    if not isinstance(row, dict):
        raise _BadLine(f"must be an object with {', '.join(_FIELDS)}; got {_shown(row)}")
    for name in row:
        if name not in _FIELDS:
            raise _BadLine(f"there is no field {_shown(name)}, only {', '.join(_FIELDS)}")
    for name in _FIELDS:
        if name not in row and name != "length":
            raise _BadLine(f"{name} is missing")
    return row


def _arrival(row: Mapping[str, Any], bound_s: float) -> Arrival:
    estimate = _size(row, "execution_time", bound_s, "the last band ends there")
    length = estimate
    if "length" in row:
        length = _size(row, "length", MOST_BOUNDS * bound_s, f"{MOST_BOUNDS} times the last band")
    at = _seconds(row, "at", lambda value: 0 <= value <= LATEST_S, f"seconds from the start, 0 to {LATEST_S:,.0f}")
    return Arrival(at, _id(row, "site"), _id(row, "user"), length, estimate)


def _size(row: Mapping[str, Any], name: str, most_s: float, why: str) -> float:
    return _seconds(row, name, lambda value: LEAST_EXECUTION_TIME_S <= value <= most_s,
                    f"seconds, {LEAST_EXECUTION_TIME_S:f} to {most_s:g} ({why})")


def _id(row: Mapping[str, Any], name: str) -> int:
    value = row[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_ID:
        raise _BadLine(f"{name} must be a whole number of 64 bits from 0; got {_shown(value)}")
    return value


def _seconds(row: Mapping[str, Any], name: str, fits: Callable[[float], bool], says: str) -> float:
    value = row[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not fits(value):
        raise _BadLine(f"{name} must be {says}; got {_shown(value)}")
    return float(value)


def _shown(value: Any) -> str:
    try:
        shown = json.dumps(value)
    except ValueError:  # a whole number of thousands of digits
        return "a huge number"
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
