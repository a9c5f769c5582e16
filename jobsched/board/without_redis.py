"""Continues without the board where SQL also has what the board would be told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from jobsched.base import bugs, redis_errors
from jobsched.domain import BoardLost

log = logging.getLogger(__name__)


@contextmanager
def if_redis_answers(what: str) -> Iterator[None]:
    """Go on when Redis is away or has lost the board: SQL has it all, and the sweep catches up.

    ``what`` goes on from "could not", in the log.
    """
    try:
        yield
    except (RedisError, BoardLost) as error:
        why = redis_errors.sentence(error) if isinstance(error, RedisError) else error
        log.warning("could not %s, the sweep will: %s", what, why)
        bugs.log_once(log, what, error)
