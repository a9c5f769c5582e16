"""A board at rest: nothing waits, nothing flies, so a recount from SQL finds only zeros."""

from __future__ import annotations

from redis import Redis
from sqlalchemy import select

from jobsched.board import Board
from jobsched.database import reading
from jobsched.domain import BoardLost
from jobsched.models import Site, UserRecord
from tests.promise.stage import SITES

#: What may stand there nevertheless: rules, facts, virtual times, who is alive. Counts are looked at besides.
_STANDS = ("rules", "lanes", "slices", "doorbell", "inactive", "site:", "alive:", "lock:")


def strays(redis: Redis) -> list[str]:
    """What stands on the board, or is counted there, although nothing waits and nothing flies."""
    keys = [str(key, "utf-8") for key in redis.keys("jobsched:*")]
    found = [key for key in keys if not key.removeprefix("jobsched:").startswith(_STANDS)]
    for key in ("jobsched:lanes", *(f"jobsched:site:{site}" for site in SITES)):
        counts = {str(field, "utf-8"): value for field, value in redis.hgetall(key).items()}
        found += [f"{key} {field} is {int(value)}" for field, value in counts.items()
                  if field.startswith(("waiting:", "flying:", "running", "tiers")) and int(value)]
    return found


def wrong_facts(board: Board) -> list[str]:
    """Where the board's facts of sites and users differ from SQL."""
    with reading() as session:
        sites = {site.id: site.record_capacity for site in session.scalars(select(Site))}
        inactive = set(session.scalars(select(UserRecord.id).where(UserRecord.is_active.is_(False))))
    try:
        told = {site: board.standing(site).record_capacity for site in sites}
    except BoardLost as lost:
        return [str(lost)]
    known = {int(user) for user in board.redis.smembers("jobsched:inactive")}
    found = [f"the board holds users {known} to be inactive, not {inactive}"] if known != inactive else []
    return found + ([f"the board has record capacities {told}, not {sites}"] if told != sites else [])
