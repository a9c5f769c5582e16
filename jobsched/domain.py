"""The shared vocabulary: statuses, bands, tiers, errors, and the values that packages exchange.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Status(str, Enum):
    """The status of a job, as its row in SQL has it. :data:`TRANSITIONS` says which may follow."""

    #: It waits for its ``run_at``. The scheduler's wake, or the sweep, moves it to pending.
    SCHEDULED = "scheduled"
    #: It waits on the board, or is in flight to a worker. The start fence moves it to running.
    PENDING = "pending"
    #: A worker runs its task. The finish fence records how it ended. If the lease runs out first, the sweep moves it
    #: back to pending.
    RUNNING = "running"
    #: Its task returned. It stays so.
    COMPLETED = "completed"
    #: Its task raised, or it ran out of attempts. A retry moves it to pending.
    FAILED = "failed"
    #: A client cancelled it while it waited. A retry moves it to pending.
    CANCELLED = "cancelled"

    def __str__(self) -> str:
        return self.value


#: What may follow each status. :mod:`jobsched.ledger.moves`, which changes the status of rows, refuses all other steps.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset({Status.PENDING, Status.CANCELLED}),
    Status.PENDING: frozenset({Status.RUNNING, Status.CANCELLED, Status.SCHEDULED}),
    Status.RUNNING: frozenset({Status.COMPLETED, Status.FAILED, Status.PENDING, Status.SCHEDULED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset({Status.PENDING}),
}

#: A job in one of these may still be changed, cancelled or deleted.
WAITING = (Status.SCHEDULED, Status.PENDING)
#: A job in one of these has ended.
TERMINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class Band:
    """A job's type by its estimated execution time; at run time, a lane.

    ``weight`` is what one pending job of the band adds to the points of its site.
    """

    name: str
    bound_s: float
    weight: int

    @property
    def label(self) -> str:
        """The upper bound for people: ``1ms``, ``10s``, ``5m``, ``2h``."""
        for unit, seconds in (("h", 3600.0), ("m", 60.0), ("s", 1.0)):
            if self.bound_s >= seconds and (self.bound_s / seconds).is_integer():
                return f"{self.bound_s / seconds:g}{unit}"
        return f"{self.bound_s * 1000:g}ms" if self.bound_s < 1 else f"{self.bound_s:g}s"

    @property
    def queue(self) -> str:
        """The name of the lane's RQ queue."""
        return f"band-{self.label}"


#: The least estimate of a job, in seconds. No clock measures less, and ratios to less overflow floating point.
LEAST_EXECUTION_TIME_S = 1e-6


class Bands(tuple[Band, ...]):
    """The bands of an installation, the shortest first; at least one."""

    __slots__ = ()

    @classmethod
    def of(cls, bounds_s: Sequence[float]) -> Bands:
        """Bands ``task_01`` ... for ascending upper bounds in seconds; the quickest weighs most.

        Raises ValueError when the bounds are empty, below LEAST_EXECUTION_TIME_S, or not ascending.
        """
        if not bounds_s or min(bounds_s) < LEAST_EXECUTION_TIME_S or list(bounds_s) != sorted(set(bounds_s)):
            raise ValueError(f"bands need ascending upper bounds in seconds, each at least {LEAST_EXECUTION_TIME_S:f}")
        count = len(bounds_s)
        return cls(Band(f"task_{i + 1:02d}", float(bound), count - i) for i, bound in enumerate(bounds_s))

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each band."""
        return tuple(band.name for band in self)

    @property
    def longest(self) -> Band:
        """The last band: no estimate may be above its bound."""
        return self[-1]

    def named(self, name: str) -> Band | None:
        """The band of that name; None when there is none, since a job may be older than the settings."""
        return next((band for band in self if band.name == name), None)

    def label(self, name: str) -> str:
        """The label of the band of that name; the name itself when there is no such band."""
        band = self.named(name)
        return band.label if band else name

    def holding(self, execution_time: float) -> Band:
        """The first band whose bound holds ``execution_time`` (seconds).

        Raises ExecutionTimeTooLong above the last bound.
        """
        for band in self:
            if execution_time <= band.bound_s:
                return band
        raise ExecutionTimeTooLong(execution_time, self.longest.bound_s)


@dataclass(frozen=True)
class Tier:
    """A user's activity: pending jobs below ``below`` (None: no upper end), worth ``weight`` points."""

    name: str
    below: int | None
    weight: int


def tiers_of(borders: Sequence[int]) -> tuple[Tier, ...]:
    """The three tiers for two ascending borders, counted in pending jobs."""
    if len(borders) != 2 or not 0 < borders[0] < borders[1]:
        raise ValueError("tiers need two ascending counts of pending jobs, each above 0")
    return (Tier("Active", borders[0], 1), Tier("VeryActive", borders[1], 2), Tier("HyperActive", None, 3))


def tier_of(pending: int, tiers: Sequence[Tier]) -> Tier:
    """The tier of a user with ``pending`` pending jobs."""
    return next(tier for tier in tiers if tier.below is None or pending < tier.below)


@dataclass(frozen=True)
class Fence:
    """One start of one job. A write whose ``attempt`` is not the row's any more changes nothing."""

    job: int
    attempt: int


@dataclass(frozen=True)
class WaitingJob:
    """What the board knows of a waiting job. ``enqueued_at`` is in seconds since the Unix epoch."""

    id: int
    site: int
    user: int
    band: str
    execution_time: float
    attempt: int
    enqueued_at: float


@dataclass(frozen=True)
class SiteFacts:
    """What the board knows of a site beside its waiting jobs. A limit that is None does not apply.

    ``weight`` is its share of the workers' time. ``max_running`` bounds its jobs in flight. ``rate_per_s`` bounds how
    many of its jobs are dispatched in a second, after a ``burst`` at once. A ``paused`` site is not served.
    """

    id: int
    record_capacity: int
    weight: float = 1.0
    max_running: int | None = None
    rate_per_s: float | None = None
    burst: int = 1
    paused: bool = False


@dataclass(frozen=True)
class Slice:
    """What one dispatch hands to a worker: jobs of one site in one lane, in the order in which they run.

    ``points`` are those that the site had at its dispatch. ``dispatched_at`` is in seconds since the Unix epoch.
    """

    id: str
    site: int
    band: str
    points: int
    dispatched_at: float
    jobs: tuple[Fence, ...]


@dataclass(frozen=True)
class FieldError:
    """One fault in a request: a JSON pointer (RFC 6901) to the value, and a sentence that says what would be right."""

    pointer: str
    detail: str


#: Categories of characters that show nothing by themselves: controls, formats, separators, and marks without a base.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "Mn", "Me"})
#: Characters of other categories that show nothing either: fillers of Hangul, the empty pattern of Braille, a musical
#: symbol without a head, and the code points that Unicode reserves for characters without a shape (property
#: Default_Ignorable_Code_Point of the Unicode Character Database).
_INVISIBLE = frozenset({0x115F, 0x1160, 0x2065, 0x2800, 0x3164, 0xFFA0, 0x1D159, *range(0xFFF0, 0xFFF9),
                        *range(0xE0000, 0xE1000)})


def is_visible(character: str) -> bool:
    """Whether a reader sees anything of a character that stands alone. An unassigned character counts as visible."""
    return ord(character) not in _INVISIBLE and unicodedata.category(character) not in _INVISIBLE_CATEGORIES


#: How deep the JSON of a request, or of a task's result, may nest.
MOST_NESTING = 20


def is_deeper_than(limit: int, value: Any) -> bool:
    """Whether a JSON value nests more than ``limit`` arrays and objects."""
    level: list[Any] = [value]
    for _ in range(limit):
        level = [child for item in level for child in _children(item)]
    return any(isinstance(item, dict | list) for item in level)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class JobschedError(Exception):
    """The root of everything jobsched raises on purpose."""


class Invalid(JobschedError):
    """A request with wrong values; nothing was changed."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{e.pointer}: {e.detail}" for e in errors))
        self.errors = tuple(errors)


class ExecutionTimeTooLong(JobschedError):
    """An execution time above the last band's bound."""

    def __init__(self, execution_time: float, bound_s: float) -> None:
        super().__init__(f"must be at most {bound_s:g} s, the bound of the last band; got {execution_time}")
        self.execution_time = execution_time
        self.bound_s = bound_s


class NotFound(JobschedError):
    """No such site, user record or job."""

    def __init__(self, kind: str, id_: int) -> None:
        super().__init__(f"no {kind} {id_}")
        self.kind, self.id = kind, id_


class Conflict(JobschedError):
    """The site, user record or job is in a state that does not allow the request."""


class TooManyPending(JobschedError):
    """The new jobs would exceed the ``max_pending`` of their sites; nothing was changed.

    ``share`` is the part of the waiting jobs, 0 to 1, that must leave before the new ones fit. ``paused``: one of these
    sites is paused, so that none of its jobs leaves before an operator resumes it.
    """

    def __init__(self, errors: Sequence[FieldError], share: float, *, paused: bool = False) -> None:
        super().__init__("; ".join(error.detail for error in errors))
        self.errors = tuple(errors)
        self.share = share
        self.paused = paused


class BoardLost(JobschedError):
    """The board has lost its keys (FLUSHALL, a restart without data), and must be rebuilt from SQL."""


class BoardBroken(BoardLost):
    """A value on the board can not be read: another program has written it, or damaged it. As good as lost."""


class ConfigError(JobschedError):
    """Settings in the environment that can not be used; ``faults`` has a sentence for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)
