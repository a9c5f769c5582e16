"""Loads the settings and the tasks that they name, and reports the faults of both together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping

from jobsched import config, tasks
from jobsched.base import processes
from jobsched.domain import ConfigError
from jobsched.queues import seal
from jobsched.work import secret_variables

#: How long modules of tasks may take to be imported, in seconds.
IMPORT_S = 120.0
#: What the process that tries the import says first in a line: the module that comes next, and a fault.
_NEXT, _FAULT = "next ", "fault "
#: And what it says last: a module may end it, also with the exit code of success.
_DONE = "done"


def load_with_tasks(environ: Mapping[str, str] | None = None) -> config.Settings:
    """The settings of ``environ`` (default: the process's own), with the modules of tasks imported here.

    Raises ConfigError.
    """
    env = os.environ if environ is None else environ
    return _load(env, lambda: tasks.load(config.task_modules(env)))


def load_for_tasks() -> config.Settings:
    """The settings of this process, which is to run tasks; their modules are imported here.

    What tasks should not get is read first, and gone from the environment before the first module is imported.
    Raises ConfigError; settings with a fault make no home.
    """
    env = dict(os.environ)
    return _load(env, lambda: _import_bare(env, config.task_modules(env)), sound=seal.ours)


def load_and_try_tasks(environ: Mapping[str, str]) -> config.Settings:
    """The settings of ``environ``; the modules of tasks are imported by a process that ends with that, as in a worker.

    For a supervisor, in which no code of tasks should run. Raises ConfigError.
    """
    return _load(environ, lambda: _try(environ))


def _load(environ: Mapping[str, str], imports: Callable[[], object],
          sound: Callable[[], object] = lambda: None) -> config.Settings:
    """The settings, and ``imports``; what ``sound`` does in between may leave things: only settings without a fault."""
    faults: list[str] = []
    try:
        settings = config.load(environ)
        sound()
    except ConfigError as error:
        faults += error.faults
    try:
        imports()
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return settings


def _import_bare(environ: Mapping[str, str], modules: Iterable[str]) -> None:
    """Import modules of tasks without the secrets that ``environ``, this process's at its start, keeps from tasks."""
    kept = config.task_env(environ)
    secret_variables.remove(secret_variables.withheld(environ, kept))
    try:
        tasks.load(modules)
    except ConfigError as error:
        raise ConfigError([secret_variables.explained(fault, kept) for fault in error.faults]) from error


def _try(environ: Mapping[str, str]) -> None:
    if not config.task_modules(environ):
        return
    parent = os.getpid()
    with subprocess.Popen(
        [sys.executable, "-m", "jobsched.work.loading"], env=dict(environ), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, preexec_fn=lambda: processes.die_with_parent(parent),
    ) as process:
        try:
            said = process.communicate(timeout=IMPORT_S)[0].decode(errors="replace").splitlines()
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[0].decode(errors="replace").splitlines()
            raise ConfigError([f"{_name(said)} is not imported within {IMPORT_S:g} s"]) from None
    faults = [line.removeprefix(_FAULT) for line in said if line.startswith(_FAULT)]
    if said[-1:] != [_DONE]:
        faults.append(f"{_name(said)} ends the process that imports it, with {processes.described(process.returncode)}")
    if faults:
        raise ConfigError(faults)


def _name(said: list[str]) -> str:
    """The module that was imported when the process said no more."""
    named = [line.removeprefix(_NEXT) for line in said if line.startswith(_NEXT)]
    return f"JOBSCHED_TASKS={named[-1]!r}:" if named else "JOBSCHED_TASKS:"


def _answer() -> None:
    """Import the modules of tasks, and say on standard output, which is ours alone from here on, how that went."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace", buffering=1) as answer:
        os.dup2(2, 1)
        env = dict(os.environ)
        for module in config.task_modules(env):
            print(f"{_NEXT}{module}", file=answer)
            try:
                _import_bare(env, [module])
            except ConfigError as error:
                print(f"{_FAULT}{error}", file=answer)
        print(_DONE, file=answer)
        answer.flush()
        os._exit(0)  # whatever the modules have started


if __name__ == "__main__":
    _answer()
