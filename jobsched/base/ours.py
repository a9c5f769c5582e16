"""Logs bugs after which a process goes on, so that they do not look like an unreachable server for ever."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched.base import database_errors, redis_errors
from jobsched.base.database_errors import Kind
from jobsched.domain import JobschedError

#: Faults that one process tells; who has as many knows enough.
MOST = 100
_told: set[tuple[str, type[BaseException], str, int]] = set()


def is_ours(error: BaseException) -> bool:
    """Whether an error is a fault of this program, or of what something else has written to our keys."""
    if isinstance(error, RedisError):
        return not redis_errors.is_trouble(error)
    if isinstance(error, SQLAlchemyError):
        return database_errors.meaning(error).kind not in (Kind.AWAY, Kind.UNFIT)
    return not isinstance(error, JobschedError)


def said(error: BaseException) -> str:
    """An error as one line of the log: of a server that is away or unfit in our words, else with its first line."""
    if redis_errors.is_trouble(error):
        return redis_errors.sentence(error)
    if database_errors.meaning(error).kind in (Kind.AWAY, Kind.UNFIT):
        return database_errors.sentence(error)
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def tell_once(log: logging.Logger, what: str, error: BaseException) -> None:
    """Log an error that is ours with its traceback, the first time that it comes from where it does; else nothing.

    ``what`` goes on from "could not". Never raises.
    """
    if not is_ours(error):
        return
    fault = (what, type(error), *_origin(error))
    if fault in _told or len(_told) >= MOST:
        return
    _told.add(fault)
    log.error("could not %s; this is told once", what, exc_info=error)


def _origin(error: BaseException) -> tuple[str, int]:
    """The file and the line that an error comes from."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return ("", 0) if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
