"""``jobsched demo``: twenty jobs of five sites, from the HTTP request to the recorded completion."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jobsched.domain import TERMINAL, JobschedError
from jobsched.host.embedded import free_port
from jobsched.host.up import child

#: The demo has failed when it has not ended by then, and its stack when it has not.
DEADLINE_S, STOP_S = 300.0, 15.0
#: A job may run this much longer than it said: sleeping, it can not run shorter, but a busy machine wakes it late.
LATE_S = 5.0

SITES = [
    {"name": "Ashgrove Library", "record_capacity": 1},
    {"name": "Bluewater Clinic", "record_capacity": 2},
    {"name": "Copperfield School", "record_capacity": 1},
    {"name": "Dunmore Logistics", "record_capacity": 3},
    {"name": "Eastgate Museum", "record_capacity": 2},
]
USERS = ["Amira", "Bruno", "Chiara", "Dmitri", "Esther"]

#: (user, site, execution time in seconds), users and sites numbered from 1. User 2 submits for sites 1 to 4: the site
#: of a job need not be its user's own.
BATCH = [
    (2, 1, 9.8887), (3, 2, 0.0895), (5, 2, 8.4956), (3, 1, 7.4985), (2, 4, 8.5381),
    (2, 3, 8.4382), (3, 3, 2.3003), (1, 4, 0.3739), (2, 1, 5.1969), (4, 1, 4.8443),
    (1, 1, 4.3946), (3, 1, 7.4142), (2, 4, 1.025), (2, 4, 0.9082), (4, 2, 2.428),
    (2, 2, 2.0037), (1, 4, 3.6222), (3, 3, 8.155), (1, 5, 4.1567), (4, 2, 6.8682),
]


class DemoFailed(JobschedError):
    """Something in the demo was not as it should be; the message says what."""


def main() -> None:
    """Run the demo and print its table. Raises DemoFailed. Leaves nothing running, and no file."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console(highlight=False, soft_wrap=True)
    with TemporaryDirectory(prefix="jobsched-demo-") as home, _stack(Path(home)) as stack:
        console.print(f"A stack of its own serves {stack.url} until the demo ends.")
        submitted = stack.submit()
        console.print(f"{len(SITES)} sites, {len(USERS)} users and {len(submitted)} jobs are submitted.")
        jobs = stack.watch(submitted, console)
        for line in table(jobs):
            console.print(line)
        check(jobs, submitted)
        took = max(_moment(job, "finished_at") for job in jobs) - min(_moment(job, "submitted_at") for job in jobs)
        console.print(f"All {len(jobs)} jobs are completed, each exactly once: "
                      f"{sum(job['run_time'] for job in jobs):.1f} s of work in {took:.1f} s.")


def table(jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line a job, in order of dispatch, under a line that names the columns."""
    line = "{:>4}  {:<18}  {:<6}  {:<7}  {:>6}  {:>8}  {:>8}  {}"
    yield line.format("job", "site", "user", "band", "points", "waited", "ran", "status")
    for job in sorted(jobs, key=lambda job: (job["dispatched_at"], job["id"])):
        waited = _moment(job, "started_at") - _moment(job, "submitted_at")
        yield line.format(job["id"], job["site_name"], job["user_name"], job["band"], job["points"],
                          f"{waited:.2f} s", f"{job['run_time']:.2f} s", job["status"])


def check(jobs: Sequence[Mapping[str, Any]], submitted: Mapping[int, float]) -> None:
    """Raise DemoFailed unless ``jobs`` are those submitted (id: execution time), each completed exactly once."""
    faults = [] if sorted(job["id"] for job in jobs) == sorted(submitted) else ["the jobs are not those submitted"]
    for job in jobs:
        if job["status"] != "completed" or job["attempt"] != 1:
            faults.append(f"job {job['id']} is {job['status']} after {job['attempt']} starts: {job['error']}")
        elif not 0 <= job["run_time"] - submitted.get(job["id"], 0) + 0.001 <= LATE_S:
            faults.append(f"job {job['id']} ran {job['run_time']} s, not the {submitted.get(job['id'])} s it said")
    if faults:
        raise DemoFailed("; ".join(faults))


@dataclass(frozen=True)
class _Client:
    """The stack as the demo sees it: by HTTP, and by its log."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    give_up: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def submit(self) -> dict[int, float]:
        """Create the sites and the users, post the batch; returns the jobs' ids with their execution times."""
        sites = [site["id"] for site in self._post("/sites", SITES)]
        homes = zip(sites, USERS, strict=True)
        users = [user["id"] for user in self._post("/user-records", [{"site": s, "name": name} for s, name in homes])]
        jobs = self._post("/jobs", [{"user": users[user - 1], "site": sites[site - 1], "execution_time": seconds}
                                    for user, site, seconds in BATCH])
        return {job["id"]: seconds for job, (_, _, seconds) in zip(jobs, BATCH, strict=True)}

    def watch(self, submitted: Mapping[int, float], console: Console) -> list[dict[str, Any]]:
        """Show the progress until all jobs have ended, and return them. Raises DemoFailed at the deadline."""
        progress = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                            console=console, disable=not console.is_terminal)
        with progress:
            bar = progress.add_task("running", total=len(submitted))
            said = time.monotonic()
            while True:
                jobs = self._jobs()
                unfinished = [job for job in jobs if job["status"] not in TERMINAL]
                progress.update(bar, completed=len(jobs) - len(unfinished))
                if not unfinished:
                    return jobs
                if not console.is_terminal and time.monotonic() - said >= 5:
                    said = time.monotonic()
                    console.print(f"{len(jobs) - len(unfinished)} of {len(submitted)} jobs have ended")
                self.pause("unfinished: " + ", ".join(f"job {job['id']} ({job['status']})" for job in unfinished))

    def pause(self, unfinished: str) -> None:
        """Wait a little. Raises DemoFailed when the stack is gone, or the deadline is past."""
        if self.process.poll() is not None:
            raise self.failed(f"the stack ended with exit code {self.process.returncode}")
        if time.monotonic() > self.give_up:
            raise self.failed(f"gave up after {DEADLINE_S:g} s; {unfinished}")
        time.sleep(0.2)

    def failed(self, reason: str) -> DemoFailed:
        """The reason, with the end of the stack's log."""
        tail = self.log.read_text(errors="replace").splitlines()[-25:]
        return DemoFailed("\n".join([reason, "The end of the stack's log:", *tail]))

    def is_ready(self) -> bool:
        """Whether jobs that are submitted now will run: a dispatcher and a worker are alive."""
        try:
            return self._call("GET", "/readyz")[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def _post(self, path: str, body: object) -> list[dict[str, Any]]:
        status, _, answer = self._call("POST", path, body)
        if status != http.client.CREATED:
            raise self.failed(f"POST {path} answered {status}: {answer}")
        created: list[dict[str, Any]] = json.loads(answer)
        return created

    def _jobs(self) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = []
        path: str | None = "/jobs?limit=100"
        while path:
            status, link, answer = self._call("GET", path)
            if status != http.client.OK:
                raise self.failed(f"GET {path} answered {status}: {answer}")
            jobs += json.loads(answer)
            following = re.search(r'<(?:http://[^/>]+)?([^>]+)>; rel="?next"?', link)
            path = following[1] if following else None
        return jobs

    def _call(self, method: str, path: str, body: object = None) -> tuple[int, str, str]:
        """The status, the Link header and the body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.getheader("Link", ""), response.read().decode()
        finally:
            connection.close()


@contextmanager
def _stack(home: Path) -> Iterator[_Client]:
    """A stack in ``home`` that serves during the block, and is gone after it."""
    port, log = free_port(), home / "stack.log"
    with child({"JOBSCHED_HOME": str(home / "home"), "PORT": str(port)}, log, stop_s=STOP_S) as process:
        try:
            client = _Client(process, port, log, time.monotonic() + DEADLINE_S)
            while not client.is_ready():
                client.pause("the stack is not ready")
            yield client
        finally:  # a second Ctrl-C does not keep the stack from being ended
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _moment(job: Mapping[str, Any], field: str) -> float:
    return datetime.fromisoformat(job[field].replace("Z", "+00:00")).timestamp()
