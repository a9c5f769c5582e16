"""A board at rest: nothing waits and nothing is in flight, so a recount from SQL finds only zeros."""

from __future__ import annotations

from redis import Redis
from sqlalchemy import select

from jobsched.board import PREFIX, Board
from jobsched.domain import BoardLost, SiteFacts
from jobsched.intake import controls
from jobsched.ledger.database import reading
from jobsched.ledger.models import SITE_FACTS, UserRecord
from tests.promise.stage import SITES

#: What may stand there nevertheless: rules, facts, virtual times, who is alive. Counts are looked at besides.
_STANDS = ("rules", "lanes", "slices", "doorbell", "inactive", "site:", "alive:", "lock:", "due", "load:", "aims",
           "rebuilt")
#: What the board keeps of a site, as :func:`_told` has it.
_FACTS = ["capacity", "weight", "max_running", "rate", "burst", "paused"]


def strays(redis: Redis) -> list[str]:
    """What stands on the board, or is counted there, although nothing waits and nothing flies."""
    keys = [str(key, "utf-8", "replace") for key in redis.keys(f"{PREFIX}*")]
    found = [key for key in keys if not key.removeprefix(f"{PREFIX}").startswith(_STANDS)]
    for key in (f"{PREFIX}lanes", *(f"{PREFIX}site:{site}" for site in SITES)):
        counts = {str(field, "utf-8", "replace"): value for field, value in redis.hgetall(key).items()}
        found += [f"{key} {field} is {int(value)}" for field, value in counts.items()
                  if field.startswith(("waiting:", "flying:", "work:", "running", "held", "tiers")) and int(value)]
    return found


def wrong_facts(redis: Redis) -> list[str]:
    """Where the board's facts of sites and users differ from SQL, and what operators have set."""
    with reading() as session:
        sites = {row.id: _told(SiteFacts(*row)) for row in session.execute(select(*SITE_FACTS))}
        inactive = set(session.scalars(select(UserRecord.id).where(UserRecord.is_active.is_(False))))
        policy, paused = controls.chosen_policy(session), controls.paused_lanes(session)
    board = Board(redis)
    try:
        rules, lanes = board.rules.read(), board.view.lanes()
    except BoardLost as lost:
        return [str(lost)]
    told = {site: [str(value or b"", "utf-8") for value in redis.hmget(f"{PREFIX}site:{site}", _FACTS)]
            for site in sites}
    known = {int(user) for user in redis.smembers(f"{PREFIX}inactive")}
    return [
        f"the board has {what} {found}, not {right}" for what, found, right in (
            ("facts of sites", told, sites), ("inactive users", known, inactive),
            ("paused lanes", {lane.band for lane in lanes if lane.paused}, paused),
            ("the policy", rules.policy, policy.name if policy else rules.policy),
            ("to be scored again", rules.rescoring, None),
        ) if found != right
    ]


def _told(site: SiteFacts) -> list[str]:
    limits = ["" if limit is None else repr(limit) for limit in (site.max_running, site.rate_per_s)]
    return [str(site.record_capacity), repr(site.weight), *limits, str(site.burst), str(int(site.paused))]
