"""The values that the board returns: how full its lanes are, where sites and jobs stand, how much arrives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LaneLoad:
    """What a lane has seen lately. Times are measured worker-seconds; None: nothing has ended yet."""

    arrivals_per_s: float
    mean_s: float | None
    mean_square_s2: float | None

    @property
    def load(self) -> float | None:
        """Worker-seconds of work that come in a second: how many workers it keeps busy."""
        return None if self.mean_s is None else self.arrivals_per_s * self.mean_s


#: The load of a lane that has seen nothing.
UNSEEN = LaneLoad(0.0, None, None)


@dataclass(frozen=True)
class Lane:
    """A lane: how full it is, in jobs and in work, and what it has seen lately.

    ``sites`` may be served now, if it is not ``paused``. Its sites have had ``virtual_s`` by weight: its virtual time.
    ``backlog_s`` is the work that waits, in estimated worker-seconds, and ``held_s`` that of sites that are held.
    """

    band: str
    sites: int = 0
    waiting: int = 0
    flying: int = 0
    paused: bool = False
    virtual_s: float = 0.0
    backlog_s: float = 0.0
    held_s: float = 0.0
    load: LaneLoad = UNSEEN

    @property
    def is_open(self) -> bool:
        """Whether something of it may be served now."""
        return self.sites > 0 and not self.paused


@dataclass(frozen=True)
class SiteStanding:
    """A site on the board. ``pending`` and ``places`` (1 is next) are by band; a site that does not wait has none.

    ``hold`` says what keeps it out of the lanes: ``paused``, ``max_running`` or ``rate``.
    """

    id: int
    points: int
    tiers: int
    record_capacity: int
    running: int
    place: int | None
    pending: Mapping[str, int]
    places: Mapping[str, int]
    hold: str | None = None


@dataclass(frozen=True)
class Ranked:
    """One row of a lane's order: the site, its score, and the parts that add up to it."""

    site: int
    score: float
    waiting: int
    points: int
    boost: float
    share: float
    age: float
    size: float


@dataclass(frozen=True)
class Flying:
    """A job that was handed to a worker's queue, in a slice of a lane.

    Half of such jobs start within ``half_s`` seconds, nine of ten within ``most_s``; None once the slice has started.
    """

    slice: str
    band: str
    started: bool
    half_s: float | None
    most_s: float | None


@dataclass(frozen=True)
class Aside:
    """A job that a worker has set aside, since it does not know its task."""

    site: int
    band: str


@dataclass(frozen=True)
class Waiting:
    """A job on its line. Places count from 1, the next; ``site_place`` is None for a site that is held.

    ``boost``, ``share``, ``age`` and ``size`` add up to the site's score; ``virtual`` of its share and ``ages`` of its
    age are what a site that begins to wait now has as well. The site is held when it is ``paused``, when as many of its
    jobs are ``running`` as may, or until ``due``, when its rate lets it go (epoch seconds). Workers have ``flying``
    jobs of the lane; ``crew`` is how many workers listen to it, None where no dispatcher has said it. Half of such jobs
    start within ``half_s`` seconds, nine of ten within ``most_s``; None where nothing would start the job as it is.
    """

    site: int
    band: str
    place: int
    length: int
    site_place: int | None
    sites: int
    policy: str
    points: int
    boost: float
    share: float
    age: float
    size: float
    virtual: float
    ages: float
    running: int
    max_running: int | None
    paused: bool
    due: float | None
    lane_paused: bool
    flying: int
    crew: int | None
    half_s: float | None
    most_s: float | None
