"""Logs bugs after which a process goes on, so that they do not look like an unreachable server for ever."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched.base import database_errors, redis_errors
from jobsched.base.database_errors import Kind
from jobsched.domain import JobschedError

#: The most bugs that one process logs. Whoever reads the log has enough to do with these.
MOST = 100
_logged: set[tuple[str, type[BaseException], str, int]] = set()


def is_bug(error: BaseException) -> bool:
    """Whether an error shows a bug in jobsched, or damage that another program has done to jobsched's keys."""
    if isinstance(error, RedisError):
        return not redis_errors.is_trouble(error)
    if isinstance(error, SQLAlchemyError):
        return database_errors.meaning(error).kind not in (Kind.AWAY, Kind.UNFIT)
    return not isinstance(error, JobschedError)


def one_line(error: BaseException) -> str:
    """An error as one line of the log: a sentence about the server that is away or unfit, or else its first line."""
    if redis_errors.is_trouble(error):
        return redis_errors.sentence(error)
    if database_errors.meaning(error).kind in (Kind.AWAY, Kind.UNFIT):
        return database_errors.sentence(error)
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def log_once(log: logging.Logger, what: str, error: BaseException) -> None:
    """Log a bug with its traceback when its file and line raise it for the first time. Ignores all other errors.

    ``what`` completes the sentence "could not ...". Never raises.
    """
    if not is_bug(error):
        return
    bug = (what, type(error), *_origin(error))
    if bug in _logged or len(_logged) >= MOST:
        return
    _logged.add(bug)
    log.error("could not %s; this is told once", what, exc_info=error)


def _origin(error: BaseException) -> tuple[str, int]:
    """The file and the line that raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return ("", 0) if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
