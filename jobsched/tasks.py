"""The registry of tasks: the functions that jobs can name.

    from jobsched import task

    @task
    def resize(payload, run):
        ...
        return {"width": 640}

Modules that register tasks are named in ``JOBSCHED_TASKS``; the web process and the workers import them at start.
"""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event
from typing import Any, overload

from jobsched.base.addresses import without_passwords
from jobsched.base.task_declaration import BadTask, wants_run
from jobsched.domain import ConfigError, JobschedError

#: A task returns what JSON can hold, at most this many bytes of it.
RESULT_BYTES = 16_384
#: Characters of what an import raised that are shown.
MOST_TOLD = 500

Function = Callable[..., Any]


@dataclass(frozen=True)
class Run:
    """The start that a task belongs to. (job, attempt) never comes twice: use ``key`` to make effects idempotent."""

    job: int
    attempt: int
    site: int
    user: int
    execution_time: float
    _unrepeatable: Event = field(default_factory=Event, init=False, repr=False, compare=False)

    @property
    def key(self) -> str:
        """The idempotency key of this start."""
        return f"{self.job}-{self.attempt}"

    def must_not_repeat(self) -> None:
        """Say that work begins that should not be done twice: from here on an overrun counts as an attempt.

        A job that overruns after this, with no attempt left, fails instead of going into the next lane.
        """
        self._unrepeatable.set()

    @property
    def may_repeat(self) -> bool:
        """Whether :meth:`must_not_repeat` has not been called."""
        return not self._unrepeatable.is_set()


@dataclass(frozen=True)
class Task:
    """A registered function. ``retries`` and ``backoff_s`` are for starts that raise; ``timeout_s`` bounds a start."""

    name: str
    function: Function
    wants_run: bool
    retries: int
    backoff_s: float
    timeout_s: float | None

    def __call__(self, payload: dict[str, Any], run: Run) -> Any:
        return self.function(payload, run) if self.wants_run else self.function(payload)

    def delay_before_retry(self, attempt: int) -> float | None:
        """Seconds until the next start after the ``attempt``-th raised, doubling each time; None when none is left."""
        return self.backoff_s * 2.0 ** (attempt - 1) if attempt <= self.retries else None


class UnknownTask(JobschedError):
    """No task of that name is registered in this process."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no task {name!r}; registered are: {', '.join(names())}")
        self.name = name


_tasks: dict[str, Task] = {}


@overload
def task(function: Function, /) -> Function: ...


@overload
def task(
    *, name: str | None = None, retries: int = 0, backoff_s: float = 1.0, timeout_s: float | None = None
) -> Callable[[Function], Function]: ...


def task(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    retries: int = 0,
    backoff_s: float = 1.0,
    timeout_s: float | None = None,
) -> Function | Callable[[Function], Function]:
    """Register a function as a task, under its own name unless ``name`` is given.

    The function takes the payload (a dict), and, when it has a second parameter, the :class:`Run`. A second parameter
    with a default is taken for the Run only when it is named ``run`` or annotated as one. What the function returns
    becomes the job's result and must be JSON. It may run more than once after a crash; its completion is recorded once.

    Unless ``JOBSCHED_OVERRUN`` is ``allow``, it is stopped when it outlasts the bound of its job's band, by an
    exception that ``except Exception`` does not catch. With ``demote`` it starts anew in the next lane, and the stop is
    not counted as an attempt unless :meth:`Run.must_not_repeat` was called before; in the last lane it goes on. With
    ``fail`` its job has failed, in any lane and without retries. One that goes on nevertheless has until ``timeout_s``.

    :param retries: further starts after one that raises; none by default. Starts that overran do not count.
    :param backoff_s: seconds before the first retry; doubles with each.
    :param timeout_s: the longest one start may take; default ten times its band's bound, and at least 30 s. Where it is
        shorter than the bound, it comes first.
    :raises BadTask: (a ValueError) with all that is wrong: a name that another function has, numbers that can not be,
        parameters to which nothing would be given, or what is not for them, a generator, an async or a cached function.
    """

    def register(function: Function) -> Function:
        label: Any = getattr(function, "__name__", None) if name is None else name
        numbers = {"retries": retries, "backoff_s": backoff_s, "timeout_s": timeout_s}
        takes_run = wants_run(function, label, numbers, Run)
        label = str.__str__(label)  # also of a member of an enumeration
        if label in _tasks and _tasks[label].function is not function:
            raise BadTask(function, [f"two tasks are named {label!r}"])
        _tasks[label] = Task(label, function, takes_run, retries, backoff_s, timeout_s)
        return function

    return register if function is None else register(function)


def find(name: str) -> Task:
    """The task of that name. Raises UnknownTask."""
    try:
        return _tasks[name]
    except KeyError:
        raise UnknownTask(name) from None


def names() -> list[str]:
    """The names of all registered tasks, sorted."""
    return sorted(_tasks)


def registered() -> dict[str, Task]:
    """The registry itself: all tasks by name."""
    return _tasks


def load(modules: Iterable[str]) -> None:
    """Import the modules that register tasks. Raises ConfigError with a sentence for each that can not be imported."""
    faults = []
    for module in modules:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            faults.append(f"JOBSCHED_TASKS={module!r}: can not be imported: {_told(error)}")
    if faults:
        raise ConfigError(faults)


def _told(error: BaseException) -> str:
    """What ended an import, in a line, with the place in the code where that was."""
    said = " ".join("".join(traceback.format_exception_only(error)).split())
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if frame.filename != __file__ and "importlib" not in frame.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{without_passwords(said[:MOST_TOLD])}{where}"


@task
def sleep(payload: dict[str, Any], run: Run) -> None:
    """Sleep for the job's execution time, be it said or estimated."""
    time.sleep(run.execution_time)
