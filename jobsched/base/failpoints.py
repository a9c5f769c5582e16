"""Named points between two effects where a test can make a process fail. Unarmed, one costs a dict lookup.

``JOBSCHED_FAILPOINTS`` arms them: ``NAME=WAY@MARKER``, several with commas. Each fires once over all processes: in the
process that can create the file MARKER. The ways:

- ``die``: the process is killed, as by ``kill -9``.
- ``raise``: FailpointError, as by a bug.
- ``lost``: the error that a client sees when the command ran and its reply was lost.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError

WAYS = ("die", "raise", "lost")


class FailpointError(Exception):
    """The error that a failpoint raises."""


def failpoint(name: str, *, effect: str = "redis") -> None:
    """A point just after an ``effect`` on ``redis`` or ``sql``. Does nothing unless it is armed."""
    if _armed:
        _fire(name, effect)


def arm(spec: str) -> None:
    """Arm the failpoints that ``spec`` names, in the form of JOBSCHED_FAILPOINTS, and no others. Raises ValueError."""
    _armed.clear()
    _armed.update(_parse(spec))


def _parse(spec: str) -> dict[str, tuple[str, Path]]:
    armed = {}
    for item in filter(None, spec.split(",")):
        name, _, rest = item.partition("=")
        way, _, marker = rest.partition("@")
        if way not in WAYS or not marker:
            raise ValueError(f"JOBSCHED_FAILPOINTS: {item!r} is not NAME=WAY@MARKER with a way of {', '.join(WAYS)}")
        armed[name] = (way, Path(marker))
    return armed


def _fire(name: str, effect: str) -> None:
    way, marker = _armed.get(name, (None, None))
    if way is None or marker is None:
        return
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    if way == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "raise":
        raise FailpointError(name)
    if effect == "sql":
        raise OperationalError(name, None, FailpointError("the reply was lost"))
    raise RedisConnectionError(f"{name}: the reply was lost")


_armed = _parse(os.environ.get("JOBSCHED_FAILPOINTS", ""))
