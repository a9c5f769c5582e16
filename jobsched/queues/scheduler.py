"""The scheduler process: looks for due wakes until it is told to stop. Any number may run at once."""

from __future__ import annotations

import time
from contextlib import suppress

from redis.exceptions import RedisError

from jobsched.base.connections import connect
from jobsched.base.loop import run_forever
from jobsched.config import Settings
from jobsched.queues import seal, wakes


def main(settings: Settings) -> None:
    """Run rq-scheduler until SIGTERM or SIGINT."""
    seal.ours()
    ours = wakes.scheduler(connect(settings.redis_url))
    run_forever(ours.tick, time.sleep)
    with suppress(RedisError):
        ours.rest()
