"""Renews a slice's lease while its tasks run in another process, and notifies that process if the lease is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Lock, Thread
from types import TracebackType

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from jobsched.base import bugs
from jobsched.domain import BoardLost
from jobsched.work.limits import AFTERMATH_GRACE_S

log = logging.getLogger(__name__)

#: Held by our threads while they work, and by the worker when it forks: a lock that another thread holds at that moment
#: would be held for ever in the child.
QUIET = Lock()


class Lease:
    """Keeps a lease alive from a thread while the block runs.

    ``renew`` extends it and says whether it is still ours; when it is not, ``lost`` is set. ``watch`` is called several
    times a second with whether it is lost: it stops what has to be stopped.
    """

    def __init__(self, renew: Callable[[], bool], every_s: float, watch: Callable[[bool], None]) -> None:
        self.lost = False
        self._renew = renew
        self._every_s = every_s
        self._watch = watch
        self._done = Event()
        self._thread = Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        beat = min(self._every_s / 2, AFTERMATH_GRACE_S / 2)
        renew_at = 0.0
        while True:
            now = time.monotonic()
            if not self.lost and now >= renew_at:
                renew_at = now + self._every_s
                with QUIET:
                    self._ask()
            self._look()
            if self._done.wait(beat):
                return

    def _ask(self) -> None:
        try:
            self.lost = not self._renew()
        except (RedisError, BoardLost, SQLAlchemyError) as error:
            log.warning("could not renew the lease: %s", bugs.one_line(error))
        except Exception:  # the thread goes on: nobody else would stop a task that is stuck
            log.exception("could not renew the lease")

    def _look(self) -> None:
        try:
            self._watch(self.lost)
        except Exception:  # as above
            log.exception("could not watch the tasks")
