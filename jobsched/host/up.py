"""``jobsched up``: the whole stack on one machine, with an embedded Redis unless REDIS_URL is set."""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobsched.base import home, processes
from jobsched.config import Settings, without_settings
from jobsched.domain import JobschedError
from jobsched.host import embedded, unloadable
from jobsched.host.console import Console
from jobsched.host.supervise import Program, Supervisor, read_procfile
from jobsched.work.loading import load_and_try_tasks

#: How long the embedded Redis may take to read its file, and the web to answer, before the start has failed.
REDIS_START_S, WEB_START_S = 120.0, 60.0
LOOPBACK = ("127.0.0.1", "localhost")


class CannotStart(JobschedError):
    """The stack can not start here; the message says why and what would help."""


#: The programs of the stack where no Procfile names others.
PROGRAMS = tuple(
    Program(name, (sys.executable, "-m", "jobsched", name)) for name in ("web", "dispatcher", "worker", "scheduler")
)


def up(environ: Mapping[str, str], procfile: Path | None = None) -> None:
    """Run the stack until SIGTERM or SIGINT. No process outlives the call.

    The programs are those of ``procfile``, without one our own.

    ``environ`` holds the settings. It is handed on to the programs together with what it left open: the REDIS_URL of
    the embedded server, and the SECRET_KEY that the home keeps.

    Raises ConfigError, and CannotStart and other JobschedErrors when it can not come to serve.
    """
    settings = load_and_try_tasks(environ)
    refuse_foreign_host(settings.host)
    programs = read_procfile(procfile) if procfile else PROGRAMS
    with home.hold(settings.home), _redis(environ, settings) as redis:
        refuse_taken_port(settings.host, settings.port)
        env = complete(environ, settings, redis.url if redis else settings.redis_url)
        console = Console(sys.stdout.fileno() if sys.stdout else os.open(os.devnull, os.O_WRONLY))
        if procfile:
            console.line(f"the programs are those of {procfile}")
        width = max(len(program.name) for program in programs)
        with (
            Supervisor(env, lambda name, line: console.line(f"{name:<{width}} | {line}")) as supervisor,
            home.announced(settings.home, f"http://{settings.host}:{settings.port}/", env["REDIS_URL"]),
        ):
            _Stack(settings, env, supervisor, console).serve(programs, redis)


@contextmanager
def _redis(environ: Mapping[str, str], settings: Settings) -> Iterator[embedded.EmbeddedRedis | None]:
    """The plan of the embedded Redis, whose socket's folder is gone after the block; None where REDIS_URL names one."""
    if environ.get("REDIS_URL", "").strip():
        yield None
        return
    directory = settings.home / "redis"
    with home.raising_cannot_use(settings.home):
        directory.mkdir(mode=0o700, exist_ok=True)
        redis = embedded.prepare(directory, home.secret(directory / "password", settings.home))
    try:
        yield redis
    finally:
        redis.forget()


@contextmanager
def child(settings: Mapping[str, str], log: Path, *, stop_s: float,
          cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs :func:`up` with our own programs for the block.

    It has ``settings`` and none of ours, works in ``cwd`` (without one, where we do), and what it says is in ``log``.
    At the end it is told to stop, and killed when it has not within ``stop_s`` seconds. Must be called from the main
    thread, as :func:`jobsched.base.processes.spawn`. Raises OSError when the log can not be written.
    """
    with log.open("wb") as output:
        env = {**without_settings(os.environ), **settings}
        argv = [sys.executable, "-m", "jobsched", "up", "--no-procfile"]
        process = processes.spawn(argv, env, cwd=cwd, output=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def refuse_foreign_host(host: str) -> None:
    """Raise CannotStart unless ``host`` is the loopback."""
    if host not in LOOPBACK:
        raise CannotStart(
            f"HOST={host!r}: must be 127.0.0.1 or localhost, because there are no access keys yet: whoever can reach "
            "the port could submit work"
        )


def refuse_taken_port(host: str, port: int) -> None:
    """Raise CannotStart when something listens on ``port`` already, or we may not listen there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            raise CannotStart(
                f"PORT={port}: can not listen on {host}:{port}: {error.strerror}. "
                "Stop what listens there, or choose another port, as in: PORT=8080 make run"
            ) from error


def complete(environ: Mapping[str, str], settings: Settings, redis_url: str) -> dict[str, str]:
    """The environment of the programs: ``environ``, and what it leaves to the stack."""
    return {
        **environ,
        "JOBSCHED_HOME": str(settings.home),
        "REDIS_URL": redis_url,
        "DATABASE_URL": settings.database_url,
        "SECRET_KEY": environ.get("SECRET_KEY", "").strip() or home.secret_key(settings.home),
        "HOST": settings.host,
        "PORT": str(settings.port),
        # Of this interpreter's environment: its python, gunicorn and rq.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }


@dataclass(frozen=True)
class _Stack:
    settings: Settings
    env: Mapping[str, str]
    supervisor: Supervisor
    console: Console

    def serve(self, programs: tuple[Program, ...], redis: embedded.EmbeddedRedis | None) -> None:
        program = Program("redis", redis.argv, last=True, stdin=redis.config, private=True) if redis else None
        if redis and program:
            self._start_redis(redis, program)
        self._migrate()
        for named in programs:
            if not self.supervisor.stopping:
                self.supervisor.start(named)
        if any(named.name == "web" for named in programs):
            self._await_web()
        while not self.supervisor.stopping:
            self._tick(1.0)
            if redis and program and not self.supervisor.runs(program):
                self._look_after_redis(redis, program)
        self.console.line("jobsched stops")

    def _start_redis(self, redis: embedded.EmbeddedRedis, program: Program) -> None:
        self.supervisor.start(program)
        give_up = time.monotonic() + REDIS_START_S
        while not self.supervisor.stopping and not embedded.answers(redis.url):
            ended = not self.supervisor.runs(program) and not self._set_aside_data(redis, program)
            if ended or time.monotonic() > give_up:
                raise CannotStart(f"the embedded Redis does not answer; the end of {redis.log}:\n{_tail(redis.log)}")
            self._tick(0.05)

    def _look_after_redis(self, redis: embedded.EmbeddedRedis, program: Program) -> None:
        """Have a Redis that has ended while all runs come back also where its data has become unreadable."""
        try:
            self._set_aside_data(redis, program)
        except unloadable.CannotSetAside as error:
            self.console.line(str(error))
            self._await_restart(program)

    def _set_aside_data(self, redis: embedded.EmbeddedRedis, program: Program) -> bool:
        """Where a Redis has ended since its data does not load: set that aside, and wait until it is started again.

        Returns whether it was so. The board is then built from SQL, as after any loss of Redis.
        """
        why = unloadable.complaint(redis.log)
        asides = unloadable.set_aside(redis.directory) if why else []
        if not asides:
            return False
        names = " and ".join(str(path) for path in asides)
        self.console.line(f"warning: Redis can not load what it wrote ({why}): that is kept as {names}, "
                          "and Redis starts empty; the board is built anew from the database")
        self._await_restart(program)
        return True

    def _await_restart(self, program: Program) -> None:
        while not self.supervisor.stopping and not self.supervisor.runs(program):
            self._tick(0.05)

    def _migrate(self) -> None:
        if self.supervisor.stopping:
            return
        code = self.supervisor.run(Program("migrate", (sys.executable, "-m", "jobsched", "migrate")))
        if code and not self.supervisor.stopping:
            raise CannotStart("the database could not be migrated; the lines above say why")

    def _await_web(self) -> None:
        give_up = time.monotonic() + WEB_START_S
        while not self.supervisor.stopping:
            if _is_healthy(self.settings.host, self.settings.port):
                self._greet()
                return
            if time.monotonic() > give_up:
                raise CannotStart(f"the web did not answer within {WEB_START_S:g} s; the lines above may say why")
            self._tick(0.1)

    def _greet(self) -> None:
        self.console.line(f"jobsched serves http://{self.settings.host}:{self.settings.port}/ (Ctrl-C ends it)")
        command = shlex.join([sys.executable, "-m", "jobsched", "info"])
        self.console.line(f"queues and workers: JOBSCHED_HOME={shlex.quote(str(self.settings.home))} {command}")

    def _tick(self, timeout_s: float) -> None:
        self.supervisor.tick(timeout_s)
        self.console.flush()


def _is_healthy(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tail(path: Path, lines: int = 10) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(nothing)"
