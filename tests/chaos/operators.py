"""Operators who change limits, pauses and the policy over HTTP while the stack is being broken."""

from __future__ import annotations

import http.client
import random
import time
from collections import Counter
from threading import Event, Thread
from typing import Any, TypeAlias

from jobsched.policy import POLICIES
from tests.chaos.load import SITES, TIMEOUT_S
from tests.chaos.stack import call
from tests.support import BANDS

#: Method, path and body.
Request: TypeAlias = tuple[str, str, Any]

#: Seconds between two changes.
EVERY_S = (0.5, 2.0)
#: Two sites have limits for good, also while the rest of the run is judged.
LASTING: dict[int, dict[str, Any]] = {1: {"max_running": 2}, 2: {"rate_per_s": 20.0, "burst": 5}}


class Operators:
    """A thread that changes something now and then. ``settle`` ends it, with nothing left paused."""

    def __init__(self, port: int, seed: int) -> None:
        self.changes: Counter[str] = Counter()
        self.refused: list[str] = []
        self._port = port
        self._rng = random.Random(f"{seed}:operators")
        self._enough = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        for site, limits in LASTING.items():
            assert self._ask("PATCH", f"/sites/{site}", limits), f"the limits of site {site} were not taken"
        self._thread.start()

    def settle(self, patience_s: float) -> list[str]:
        """Let everything go that is paused, as often as it takes; returns what could not be for ``patience_s``."""
        self._enough.set()
        deadline = time.monotonic() + patience_s
        self._thread.join(patience_s)
        left: list[Request] = [("PATCH", f"/sites/{site}", {"paused": False}) for site in range(1, SITES + 1)]
        left += [("POST", f"/lanes/{band.name}/resume", None) for band in BANDS]
        while left and time.monotonic() < deadline:
            left = [request for request in left if not self._ask(*request)]
            time.sleep(0.1 if left else 0.0)
        return [f"{method} {path} was not answered" for method, path, _ in left] + self.refused

    def _run(self) -> None:
        """What was paused is let go soon, or too much would wait for anything to be under way."""
        paused: list[Request] = []
        while not self._enough.wait(self._rng.uniform(*EVERY_S)):
            if paused and self._rng.random() < 0.6:
                if self._do("resumed", paused[0]):
                    paused.pop(0)
                continue
            what, request, undo = self._change()
            if self._do(what, request) and undo:
                paused.append(undo)

    def _do(self, what: str, request: Request) -> bool:
        done = self._ask(*request)
        self.changes[what if done else "not answered"] += 1
        return done

    def _change(self) -> tuple[str, Request, Request | None]:
        """What to change: by which request, and by which it is undone."""
        rng = self._rng
        site, lane = f"/sites/{rng.randint(1, SITES)}", f"/lanes/{rng.choice(BANDS).name}"
        kind = rng.choices(["site", "lane", "policy", "limits"], [3, 3, 2, 2])[0]
        if kind == "site":
            return "site paused", ("PATCH", site, {"paused": True}), ("PATCH", site, {"paused": False})
        if kind == "lane":
            return "lane paused", ("POST", f"{lane}/pause", None), ("POST", f"{lane}/resume", None)
        if kind == "policy":
            return "another policy", ("PUT", "/policy", {"policy": rng.choice([*POLICIES])}), None
        limits = {"max_running": rng.choice([None, 1, 3]), "rate_per_s": rng.choice([None, 5.0, 50.0]),
                  "burst": rng.choice([1, 10])}
        return "other limits", ("PATCH", f"/sites/{rng.randint(1 + max(LASTING), SITES)}", limits), None

    def _ask(self, method: str, path: str, body: Any) -> bool:
        """Whether it was answered that it was done; an answer that no correct request should get is noted."""
        try:
            status, answer = call(self._port, method, path, body, timeout_s=TIMEOUT_S)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        if 400 <= status < 500:
            self.refused.append(f"{method} {path} {body}: HTTP {status}: {answer}")
        return status == http.client.OK
