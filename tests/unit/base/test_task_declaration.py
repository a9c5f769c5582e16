"""``@task`` refuses what would be an error in every job."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from enum import Enum
from typing import Any

import pytest

from jobsched import Run, task, tasks
from jobsched.base.task_declaration import LONGEST_NAME, LONGEST_TIMEOUT_S, BadTask
from jobsched.domain import JobschedError

RUN = Run(job=7, attempt=2, site=1, user=3, execution_time=0.25)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_tasks", dict(tasks._tasks))


def plain(payload: dict[str, Any]) -> int:
    return 1


def no_payload() -> None: ...
def keyword_only(payload: Any, *, dry: bool = False) -> None: ...
def keyword_needed(payload: Any, *, dry: bool) -> None: ...
def default_of_its_own(payload: Any, limit: int = 10) -> int: return limit
def three(payload: Any, run: Run, more: int = 1) -> None: ...
def star(*args: Any) -> None: ...
def star_and_names(payload: Any, **names: Any) -> None: ...
def generator(payload: Any) -> Iterator[int]: yield 1
async def coroutine(payload: Any) -> None: ...
async def async_generator(payload: Any) -> AsyncIterator[int]: yield 1


def run_first(run: Any, payload: Any) -> None: ...
def annotated_first(job: Run, payload: Any) -> None: ...


class Kind:
    def __init__(self, payload: Any) -> None: ...


class Name(str, Enum):
    GOOD = "good"


class Generates:
    def __call__(self, payload: Any) -> Iterator[int]: yield 1


class Methods:
    def method(self, payload: Any) -> None: ...
    def without_payload(self) -> None: ...


class Waits:
    async def __call__(self, payload: Any) -> None: ...


@pytest.mark.parametrize(("function", "why"), [
    (no_payload, "has no parameter for the payload"),
    (keyword_only, "nothing would ever be given to its parameter 'dry'"),
    (keyword_needed, "nothing would ever be given to its parameter 'dry'"),
    (default_of_its_own, "its second parameter, 'limit', has a default, and would get the Run"),
    (three, "nothing would ever be given to its parameter 'more'"),
    (run_first, "its first parameter, 'run', would get the payload"),
    (annotated_first, "its first parameter, 'job', would get the payload"),
    (Methods.method, "its parameter 'self' would get the payload"),
    (Methods.without_payload, "its parameter 'self' would get the payload"),
    (str.upper, "its parameter 'self' would get the payload"),
    (functools.cache(plain), "is cached by what it is given"),
    (functools.partial(functools.lru_cache(plain)), "is cached by what it is given"),
    (star, r"its parameter '\*args' does not say what it takes: .*functools.wraps"),
    (star_and_names, r"its parameter '\*\*names' does not say what it takes"),
    (generator, "is a generator function"),
    (functools.partial(generator), "is a generator function"),
    (Generates(), "is a generator function"),
    (coroutine, "is async"),
    (functools.partial(coroutine), "is async"),
    (async_generator, "is async"),
    (Waits(), "is async"),
    (Kind, "is a class"),
    (functools.partial(Kind), "is a class"),
    (17, "can not be called"),
    (next, "its parameters can not be read|does not say what it takes|nothing would ever be given"),
])
def test_a_function_that_no_job_could_call_is_refused(function: Any, why: str) -> None:
    with pytest.raises(BadTask, match=why):
        task(name="bad")(function)
    assert "bad" not in tasks.names()


@pytest.mark.parametrize(("numbers", "why"), [
    *[({"timeout_s": value}, "timeout_s must be seconds above 0") for value in (
        -1, 0, 0.0, math.nan, math.inf, -math.inf, LONGEST_TIMEOUT_S * 1.001, 10**400, True, "5")],
    *[({"backoff_s": value}, "backoff_s must be finite seconds from 0") for value in (
        -1, -0.5, math.nan, math.inf, True, "5", None)],
    *[({"retries": value}, "retries must be a whole number from 0") for value in (-1, 1.5, 2.0, True, "5", None)],
])
def test_numbers_that_can_not_be_are_refused(numbers: dict[str, Any], why: str) -> None:
    with pytest.raises(BadTask, match=why):
        task(name="bad", **numbers)(plain)
    assert "bad" not in tasks.names()


@pytest.mark.parametrize("name", [
    "", " ", " padded", "padded ", "a\nb", "a\x00b", "\u200b", "\ud800", "x" * (LONGEST_NAME + 1), 5, b"bytes",
])
def test_a_name_that_no_list_can_show_is_refused(name: Any) -> None:
    with pytest.raises(BadTask, match="its name must"):
        task(name=name)(plain)


def test_a_name_out_of_an_enumeration_is_the_text_that_it_is() -> None:
    task(name=Name.GOOD)(plain)

    assert [name for name in tasks.names() if "good" in name] == ["good"]
    assert {type(name) for name in tasks.names()} == {str}


@pytest.mark.parametrize("function", [lambda payload: 1, functools.partial(plain)])
def test_a_function_without_a_name_is_asked_for_one(function: Any) -> None:
    with pytest.raises(BadTask, match=r"it has no name; give it one: @task\(name=\.\.\.\)"):
        task(function)


def test_all_that_is_wrong_is_said_at_once_and_of_which_function() -> None:
    with pytest.raises(BadTask) as raised:
        task(retries=-1, backoff_s=math.nan, timeout_s=0)(generator)

    said = str(raised.value)
    assert said.startswith("tests.unit.base.test_task_declaration.generator can not be a task: ")
    assert [part in said for part in ("generator function", "retries", "backoff_s", "timeout_s")] == [True] * 4
    assert isinstance(raised.value, JobschedError)
    assert isinstance(raised.value, ValueError)


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        return function(*args, **named)
    return wrapper


class Counter:
    def count(self, payload: Any, run: Run) -> str: return run.key
    def __call__(self, payload: Any) -> str: return "called"


def annotated(payload: Any, it: Run | None = None) -> str: return it.key if it else "none"
def by_name(payload: Any, run: Any = None) -> str: return run.key if run else "none"
def only_positional(payload: Any, run: Any, /) -> str: return str(run.key)
def second_only(first: Any, payload: Any) -> Any: return payload


@pytest.mark.parametrize(("function", "returned"), [
    (plain, 1), (_wrapped(plain), 1), (annotated, "7-2"), (_wrapped(annotated), "7-2"), (by_name, "7-2"),
    (only_positional, "7-2"), (Counter().count, "7-2"), (Counter(), "called"), (functools.partial(second_only, 1), {}),
])
def test_what_can_be_called_is_given_the_payload_and_the_run_if_it_wants_it(function: Any, returned: Any) -> None:
    task(name="good", retries=0, backoff_s=0, timeout_s=LONGEST_TIMEOUT_S)(function)

    assert tasks.find("good")({}, RUN) == returned
