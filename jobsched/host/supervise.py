"""Keeps programs running: restarts each when it ends, until all are stopped together."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

from jobsched.base import processes
from jobsched.base.restarts import Restarts
from jobsched.domain import JobschedError
from jobsched.host.lines import Lines

#: How long programs may take to end on SIGTERM; the last ones (Redis) have what follows it. Together under 10 s.
PATIENCE_S, LAST_PATIENCE_S = 8.0, 1.0


@dataclass(frozen=True)
class Program:
    """A named command line. A ``last`` one is stopped when all others have ended.

    It reads ``stdin``, and no more, from its standard input; the files of a ``private`` one are for this user only.
    """

    name: str
    argv: tuple[str, ...]
    last: bool = False
    stdin: bytes = field(default=b"", repr=False)
    private: bool = False


class ProcfileError(JobschedError):
    """The Procfile is missing, or holds a line that is not ``name: command``."""


def read_procfile(path: Path) -> tuple[Program, ...]:
    """The programs that the Procfile names, in its order. Raises ProcfileError."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ProcfileError(f"{path}: can not be read: {error.strerror}; run this where the Procfile is") from error
    programs: dict[str, Program] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([A-Za-z0-9_-]+):\s*(.+)", line)
        if not found or found[1] in programs:
            raise ProcfileError(f"{path}, line {number}: must be a new name, a colon and a command, not {line!r}")
        # The shell fills in $PORT and gives its place to the command, which so gets our signals itself.
        programs[found[1]] = Program(found[1], ("/bin/sh", "-c", f"exec {found[2]}"))
    return tuple(programs.values())


@dataclass
class _Kept:
    """A program that is kept running, its process while that lives, and when it is restarted."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    restarts: Restarts = field(default_factory=Restarts)


@dataclass
class _Pipe:
    """The output of one process, on its way into lines."""

    name: str
    file: IO[bytes]
    lines: Lines = field(default_factory=Lines)


@dataclass
class Supervisor:
    """Runs programs with the environment ``env``, and hands each line they say to ``show(name, line)``.

    A context manager, for the main thread: inside, SIGTERM, SIGINT and SIGHUP set ``stopping`` and nothing else (a
    SIGHUP that was ignored, as under nohup, stays so); at its end every process below this one is gone. One thread
    does all, so :meth:`tick` must be called often.
    """

    env: Mapping[str, str]
    show: Callable[[str, str], None]
    stopping: bool = False
    _kept: list[_Kept] = field(default_factory=list)
    _alive: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    _handlers: dict[int, Any] = field(default_factory=dict)

    def __enter__(self) -> Supervisor:
        processes.adopt_orphans()
        self._wake, wake = os.pipe()
        for fd in (self._wake, wake):
            os.set_blocking(fd, False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in processes.stop_signals():
            self._handlers[number] = signal.signal(number, self._stop_soon)
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()
        os.close(signal.set_wakeup_fd(-1))
        os.close(self._wake)
        self._selector.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def start(self, program: Program) -> None:
        """Start ``program`` and keep it running."""
        kept = _Kept(program)
        self._kept.append(kept)
        self._launch(kept)

    def runs(self, program: Program) -> bool:
        """Whether a started ``program`` has a living process now, rather than waiting for its restart."""
        return any(kept.program == program and kept.process for kept in self._kept)

    def run(self, program: Program) -> int:
        """Run ``program`` once, and return its exit code; that of SIGTERM when all is to stop first."""
        process = self._spawn(program)
        while not self.stopping:
            code = self._turn(1.0).get(process.pid)
            if code is not None:
                return code
        return -signal.SIGTERM

    def tick(self, timeout_s: float) -> None:
        """Show what the programs say and restart those that ended; wait at most ``timeout_s`` for either."""
        now = time.monotonic()
        due = [kept.restarts.due_at - now for kept in self._kept if kept.process is None]
        self._turn(max(0.0, min([timeout_s, *due])))
        for kept in self._kept:
            if kept.process is None and kept.restarts.due_at <= time.monotonic() and not self.stopping:
                self._launch(kept)

    def stop(self) -> None:
        """End all programs, those marked last after the others, with every process below them. Takes under 10 s."""
        self.stopping = True
        last = {kept.process.pid for kept in self._kept if kept.program.last and kept.process}
        self._end(spared=last, patience_s=PATIENCE_S)
        self._end(spared=set(), patience_s=LAST_PATIENCE_S)
        self._turn(0.0)

    def _end(self, spared: set[int], patience_s: float) -> None:
        for kept in self._kept:
            if kept.process and kept.process.pid not in spared:
                os.kill(kept.process.pid, signal.SIGTERM)
        give_up = time.monotonic() + patience_s
        while left := processes.descendants(spared):
            if time.monotonic() >= give_up:
                processes.kill(left)
            self._turn(0.1)

    def _turn(self, timeout_s: float) -> dict[int, int]:
        """Wait for output or a signal, show the output, and return the exit codes of who has ended."""
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                os.read(key.fd, 4096)
            else:
                self._read(key)
        ended = processes.reap()
        for pid in ended.keys() & self._alive.keys():
            self._alive.pop(pid).returncode = ended[pid]  # the object can not know that it was reaped
        for kept in self._kept:
            if kept.process and kept.process.pid in ended:
                self._ended(kept, kept.process.pid, ended[kept.process.pid])
        return ended

    def _launch(self, kept: _Kept) -> None:
        kept.restarts.start(time.monotonic())
        kept.process = self._spawn(kept.program)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        process = processes.spawn(program.argv, self.env, stdin=program.stdin, umask=0o077 if program.private else -1)
        self._alive[process.pid] = process
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, _Pipe(program.name, process.stdout))
        return process

    def _ended(self, kept: _Kept, pid: int, code: int) -> None:
        kept.process = None
        processes.kill(processes.of_session(pid))
        if self.stopping:
            return
        kept.restarts.end(time.monotonic())
        self.show(kept.program.name, f"ended with {processes.described(code)}; restarts in {kept.restarts.pause_s:g} s")

    def _read(self, key: selectors.SelectorKey) -> None:
        pipe: _Pipe = key.data
        data = os.read(key.fd, 65536)
        if not data:
            self._selector.unregister(key.fileobj)
            pipe.file.close()
        for line in pipe.lines.feed(data) if data else pipe.lines.end():
            self.show(pipe.name, line)

    def _stop_soon(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True
