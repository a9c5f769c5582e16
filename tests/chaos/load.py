"""The load: clients that submit over HTTP, repeat unanswered requests, and remember the answers."""

from __future__ import annotations

import http.client
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from threading import Event, Lock, Thread
from typing import Any

from tests.chaos.stack import call

SITES, USERS, CLIENTS = 6, 12, 6
#: A client rests for so many seconds between two requests.
REST_S = (0.1, 0.4)
#: Clients hold back while so many jobs have not ended.
MOST_UNFINISHED = 30
#: How long a client waits for an answer before it asks again.
TIMEOUT_S = 8.0
#: Shares of the jobs by how long they run, in seconds.
LENGTHS = ((0.35, 0.001, 0.01), (0.30, 0.01, 0.1), (0.20, 0.1, 0.6), (0.15, 1.0, 2.0))
#: Always raise: more attempts than any job has.
ALWAYS = 99


@dataclass
class Request:
    """One POST under one key, and everything that was answered to it."""

    key: str
    jobs: list[dict[str, Any]]
    is_batch: bool
    tries: int = 0
    #: The ids of each answer, in order.
    answers: list[list[Any]] = field(default_factory=list)
    answered_at: float | None = None


class Clients:
    """Threads that submit. ``send`` makes one request known, and returns the ids of its jobs; raises OSError."""

    def __init__(self, seed: int, unfinished: Callable[[], int], send: Callable[[Request], list[Any]]) -> None:
        self.requests: list[Request] = []
        self.refused: list[str] = []
        self.errors: Counter[str] = Counter()
        self._unfinished = unfinished
        self._send = send
        self._lock = Lock()
        self._enough, self._give_up = Event(), Event()
        self._threads = [
            Thread(target=self._run, args=(number, random.Random(f"{seed}:client:{number}")), daemon=True)
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, patience_s: float) -> None:
        """Submit nothing new; what is not answered is repeated for up to ``patience_s`` more."""
        self._enough.set()
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._give_up.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 5)

    def _run(self, number: int, rng: random.Random) -> None:
        count = 0
        while not self._enough.wait(rng.uniform(*REST_S)):
            if self._unfinished() < MOST_UNFINISHED:
                count += 1
                self._submit(_request(f"{number}-{count}-{rng.getrandbits(32):08x}", rng), rng)

    def _submit(self, request: Request, rng: random.Random) -> None:
        """Ask until there is an answer; and sometimes once more, as a client does that lost it."""
        with self._lock:
            self.requests.append(request)
        once_more = rng.random() < 0.1
        while not self._give_up.is_set():
            request.tries += 1
            try:
                ids = self._send(request)
            except Refused as refused:
                self.refused.append(f"{request.key}: {refused}")
                return
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self._lock:
                    self.errors[type(error).__name__ if not isinstance(error, Away) else str(error)] += 1
                self._give_up.wait(0.3)
                continue
            request.answers.append(ids)
            request.answered_at = request.answered_at or time.time()
            if not once_more:
                return
            once_more = False


class Refused(Exception):
    """An answer that no correct request should get."""


class Away(OSError):
    """An answer that asks to come again."""


def over_http(port: int) -> Callable[[Request], list[int]]:
    """Submit to the web, under the request's key."""

    def send(request: Request) -> list[int]:
        body = request.jobs if request.is_batch else request.jobs[0]
        status, answer = call(port, "POST", "/jobs", body, key=request.key, timeout_s=TIMEOUT_S)
        if status >= 500:
            raise Away(f"HTTP {status}")
        if status != http.client.CREATED:
            raise Refused(f"HTTP {status}: {answer}")
        return [job["id"] for job in (answer if request.is_batch else [answer])]

    return send


def make_customers(port: int) -> None:
    """The sites and users of the load."""
    sites = [{"name": f"site {n}", "record_capacity": 1 + n % 3} for n in range(SITES)]
    status, answer = call(port, "POST", "/sites", sites)
    assert status == http.client.CREATED, answer
    users = [{"name": f"user {n}", "site": answer[n % SITES]["id"]} for n in range(USERS)]
    status, answer = call(port, "POST", "/user-records", users)
    assert status == http.client.CREATED, answer


def submit_quick(port: int, count: int) -> None:
    """So many short jobs at once, none of which raises. Needs a stack that nothing is wrong with."""
    jobs = [{"user": 1 + n % USERS, "site": 1 + n * n % SITES, "execution_time": 0.001 * 9 ** (n % 3), "task": "chaos",
             "payload": {"key": "at rest", "n": n, "seconds": 0.0, "fail_until": 0}} for n in range(count)]
    status, answer = call(port, "POST", "/jobs", jobs)
    assert status == http.client.CREATED, answer


def _request(key: str, rng: random.Random) -> Request:
    kind = rng.choices(["single", "batch", "delayed"], [6, 3, 2])[0]
    count = rng.randint(2, 8) if kind == "batch" else 1
    jobs = [_job(key, n, rng) for n in range(count)]
    if kind == "delayed":
        moment = datetime.now(timezone.utc) + timedelta(seconds=rng.uniform(1, 8))
        jobs[0]["run_at"] = moment.isoformat()
    return Request(key, jobs, kind == "batch")


def _job(key: str, number: int, rng: random.Random) -> dict[str, Any]:
    _, least, most = rng.choices(LENGTHS, [share for share, *_ in LENGTHS])[0]
    seconds = round(rng.uniform(least, most), 4)
    task, fail_until = rng.choices(
        [("chaos", 0), ("chaos", ALWAYS), ("chaos_retried", 1), ("chaos_retried", 2)], [88, 5, 4, 3])[0]
    return {
        "user": rng.randint(1, USERS), "site": rng.randint(1, SITES), "execution_time": seconds, "task": task,
        "payload": {"key": key, "n": number, "seconds": seconds, "fail_until": fail_until},
    }
