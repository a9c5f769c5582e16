"""The order in which a lane's sites go, as people read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobsched.board import Ranked
from jobsched.domain import Band


@dataclass(frozen=True)
class LaneRanking:
    """The first of a lane's ``sites``, in the order they go: as the board has them, and as they are ``shown``."""

    band: Band
    sites: int
    on_board: tuple[Ranked, ...]
    shown: tuple[Ranked, ...]

    @property
    def digits(self) -> int:
        """The number of decimals at which its scores differ."""
        most = max(abs(part) for row in self.shown for part in (row.boost, row.share, row.age, row.size))
        return next((digits for digits, least in ((0, 1000), (1, 100), (2, 1), (3, 0.1)) if most >= least), 4)


def relative(ranking: Sequence[Ranked], ages: float) -> tuple[Ranked, ...]:
    """A ranking without what all its sites have alike, for scores are only compared within a lane.

    The board counts shares from when it was built, and ages from 1970: the distances that matter drown in both. Here
    ``share`` counts from the least served of these sites, and ``age`` from now. ``ages`` is the policy's weight of age
    times now, in seconds since the Unix epoch.
    """
    least_served = max(row.share for row in ranking)

    def shifted(row: Ranked) -> Ranked:
        share = row.share - least_served
        # A head that has just left its line has no age: it is as good as now.
        age = row.age + ages if row.age else 0.0
        return replace(row, score=row.boost + share + age + row.size, share=share, age=age)

    return tuple(map(shifted, ranking))
