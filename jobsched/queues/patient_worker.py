"""An RQ worker that survives outages of Redis: it waits, logs one line about the reason, and goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import InvalidJobOperation
from sqlalchemy.exc import SQLAlchemyError

from jobsched.base import database_errors, redis_errors
from jobsched.base.database_errors import Kind
from jobsched.domain import BoardLost

log = logging.getLogger(__name__)

T = TypeVar("T")

#: The pause before a worker that Redis does not serve asks again, in seconds.
RETRY_S = 1.0
#: RQ's own pause doubles from a second up to this.
MOST_RETRY_S = 5.0


class PatientWorker(Worker):
    """RQ's worker ends at any error of Redis that is not met while it waits for work; this one does not.

    What it could not tell RQ is lost with no harm: the ledger is in SQL, and a slice that it could not run comes back
    by its lease.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_connection_wait_time = MOST_RETRY_S
        for name in ("rq.worker", "rq.job"):
            logging.getLogger(name).addFilter(_one_line)

    def register_birth(self) -> None:
        _until_it_works("register", super().register_birth)

    def subscribe(self) -> None:
        _until_it_works("listen for commands", super().subscribe)

    def dequeue_job_and_maintain_ttl(self, *args: Any, **kwargs: Any) -> Any:
        ask = super().dequeue_job_and_maintain_ttl
        return _until_it_works("ask for work", lambda: ask(*args, **kwargs))

    def set_state(self, *args: Any, **kwargs: Any) -> None:
        with if_redis_serves("say what it does"):
            super().set_state(*args, **kwargs)

    def check_for_suspension(self, *args: Any, **kwargs: Any) -> None:
        with if_redis_serves("ask whether it is suspended"):
            super().check_for_suspension(*args, **kwargs)

    def run_maintenance_tasks(self) -> None:
        with if_redis_serves("tidy RQ's registries up"):
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]

    def register_death(self) -> None:
        with if_redis_serves("say that it ends"):
            super().register_death()  # type: ignore[no-untyped-call]

    def prepare_job_execution(self, *args: Any, **kwargs: Any) -> None:
        with if_redis_serves("say that it begins"):  # the start fence is in SQL
            super().prepare_job_execution(*args, **kwargs)

    def handle_execution_ended(self, *args: Any, **kwargs: Any) -> None:
        with if_redis_serves("say that it has ended"):
            super().handle_execution_ended(*args, **kwargs)

    def handle_job_success(self, *args: Any, **kwargs: Any) -> None:
        with if_redis_serves("tell RQ of a success"):
            super().handle_job_success(*args, **kwargs)

    def handle_job_failure(self, *args: Any, **kwargs: Any) -> None:
        with if_redis_serves("tell RQ of a failure"):
            super().handle_job_failure(*args, **kwargs)

    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        if said := _trouble(exc_info[1]):
            log.warning("slice %s was cut off: %s", job.id, said)
            return
        super().handle_exception(job, *exc_info)


@contextmanager
def if_redis_serves(what: str) -> Iterator[None]:
    """Go on without, and say so in one line, where Redis is away, full, refuses or was wiped; raise other errors."""
    try:
        yield
    except (RedisError, InvalidJobOperation) as error:
        if (said := _trouble(error)) is None:
            raise
        log.warning("the worker could not %s: %s", what, said)


def _until_it_works(what: str, call: Callable[[], T]) -> T:
    """What ``call`` returns, called again until Redis serves. A signal that ends the worker does so here as well."""
    while True:
        with if_redis_serves(what):
            return call()
        time.sleep(RETRY_S)


def _trouble(error: BaseException) -> str | None:
    """What is wrong with a server, in one line; None where none is to blame for the error."""
    if redis_errors.is_trouble(error):
        return redis_errors.sentence(error)
    if isinstance(error, InvalidJobOperation):
        return "RQ's record of it is gone, as after a FLUSHALL"
    if isinstance(error, BoardLost):
        return str(error)
    if isinstance(error, SQLAlchemyError) and database_errors.meaning(error).kind in (Kind.AWAY, Kind.UNFIT):
        return database_errors.sentence(error)
    return None


class _OneLine(logging.Filter):
    """Says an error of a server in a line, where RQ would print its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is not None and (said := _trouble(error)):
            record.msg, record.args = f"{record.getMessage()} ({said})", ()
            record.exc_info = record.exc_text = None
        return True


_one_line = _OneLine()
