"""State that a job leaves in its process is restored, or a new process follows. Each test runs in a fork."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from json import dumps, loads
from typing import Any

import pytest

from jobsched.work.isolation.surroundings import Surroundings
from tests import leaking_tasks, looking_tasks
from tests.leaking_tasks import GO_BACK, NEED_A_NEW_PROCESS, ROOT_ONLY

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do that")


def in_a_fork(work: Callable[[], Any]) -> Any:
    """What ``work`` returns in a process of its own, as JSON has it."""
    read, write = os.pipe()
    os.set_inheritable(write, False)
    high = os.dup2(write, 1500, inheritable=False)  # out of reach of a task that closes everything
    os.close(write)
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgrp()
            signal.signal(signal.SIGALRM, lambda *_: None)  # as in the process of tasks
            os.write(high, dumps(work()).encode())
        except BaseException:
            os.write(high, dumps({"raised": traceback.format_exc()}).encode())
        finally:
            os._exit(0)
    os.close(high)
    with os.fdopen(read, "rb") as said:
        told = said.read()
    os.waitpid(pid, 0)
    result = loads(told)
    assert "raised" not in result, result["raised"]
    return result


def leave_and_put_back(what: str) -> list[Any]:
    """Whether all is as it was, what a task found before, and what it finds now."""
    before: dict[str, Any] = {}
    now: dict[str, Any] = {}
    surroundings = Surroundings()
    surroundings.run(lambda: before.update(looking_tasks.look_around({})))
    assert surroundings.put_back()
    surroundings.run(lambda: leaking_tasks.leave_behind({"what": what}))
    back = surroundings.put_back()
    if back:
        surroundings.run(lambda: now.update(looking_tasks.look_around({})))
    return [back, before, now]


@pytest.mark.parametrize("what", GO_BACK)
def test_what_goes_back_is_as_it_was(what: str) -> None:
    back, before, now = in_a_fork(lambda: leave_and_put_back(what))

    assert back
    assert {name: now[name] for name in before if now[name] != before[name]} == {}


@pytest.mark.parametrize("what", [*NEED_A_NEW_PROCESS, *(pytest.param(what, marks=as_root) for what in ROOT_ONLY)])
def test_what_does_not_go_back_asks_for_a_new_process(what: str) -> None:
    back, *_ = in_a_fork(lambda: leave_and_put_back(what))

    assert not back
