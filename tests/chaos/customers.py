"""Deletes sites with their users and jobs while the stack is being broken."""

from __future__ import annotations

import http.client
import random
import time
from threading import Event, Thread
from typing import Any

from tests.chaos.load import TIMEOUT_S
from tests.chaos.stack import call
from tests.chaos.world import Begun, Trouble, World

#: How long a site stands before it is deleted, and how long the deletion is tried, in seconds.
STANDS_S, TRIED_S = (0.0, 2.0), 8.0
#: How many jobs it has.
JOBS = 12


def _deleted(world: World, rng: random.Random) -> Begun:
    """Nobody is told of its jobs, so that none of them counts as lost; those that stay have to end."""
    if world.port is None:
        return Begun(None, TRIED_S)
    port, name, stands_s, enough = world.port, f"goes {rng.getrandbits(40):x}", rng.uniform(*STANDS_S), Event()
    thread = Thread(target=lambda: _come_and_go(port, name, stands_s, enough), daemon=True)
    thread.start()

    def end() -> None:
        enough.set()
        thread.join(4 * TIMEOUT_S)

    return Begun("site deleted", TRIED_S, end)


def _come_and_go(port: int, name: str, stands_s: float, enough: Event) -> None:
    site = _asked(port, "POST", "/sites", {"name": name})
    user = site and _asked(port, "POST", "/user-records", {"name": name, "site": site["id"]})
    if not site or not user:
        return
    jobs = [{"user": user["id"], "site": site["id"], "execution_time": 0.01, "task": "chaos",
             "payload": {"key": name, "n": n, "seconds": 0.01, "fail_until": 0}} for n in range(JOBS)]
    if jobs_made := _asked(port, "POST", "/jobs", jobs):
        assert len(jobs_made) == JOBS
    enough.wait(stands_s)
    while not enough.is_set() and _asked(port, "DELETE", f"/sites/{site['id']}", None) is None:
        time.sleep(0.2)


def _asked(port: int, method: str, path: str, body: Any) -> Any:
    """What was answered, ``{}`` where that is nothing or that there is no such site; None when it was not done."""
    try:
        status, answer = call(port, method, path, body, timeout_s=TIMEOUT_S)
    except ValueError:
        return {}  # 204 has no JSON
    except (OSError, http.client.HTTPException):
        return None
    if method == "DELETE" and status == http.client.NOT_FOUND:
        return {}
    return answer if status < 300 else None


CUSTOMERS = {"site-deleted": Trouble(1, _deleted, lambda world: None)}
