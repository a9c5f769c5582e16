"""Ends the forks that a task makes of its process before they can continue the worker's own work."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from jobsched.base import output

_exit, _pid = os._exit, os.getpid  # a task may have put something else in their places


def call(code: Callable[..., Any], *arguments: Any) -> Any:
    """What a task's ``code`` returns or raises in this process. Where it comes back in a fork, that ends at once."""
    ours = _pid()
    try:
        result = code(*arguments)
    except BaseException as raised:
        if _pid() != ours:
            _leave(raised)
        raise
    if _pid() != ours:
        _leave(None)
    return result


def exit_now(status: int) -> NoReturn:
    """End this process without cleaning up after others, but with what was printed."""
    with suppress(BaseException):
        output.flush()
    _exit(status)


def _leave(raised: BaseException | None) -> NoReturn:
    """End a process that a task has forked, as Python ends one, but without anything that is to be done at our exit."""
    code: object = 0
    if isinstance(raised, SystemExit):
        code = 0 if raised.code is None else raised.code
        if not isinstance(code, int):
            with suppress(Exception):
                print(code, file=sys.stderr)
            code = 1
    elif raised is not None:
        with suppress(Exception):
            traceback.print_exception(raised)
        code = 1
    exit_now(int(code) & 0xFF)  # type: ignore[call-overload]
