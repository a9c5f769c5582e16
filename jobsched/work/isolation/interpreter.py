"""State that Python keeps for a process: settings, streams, and the names in its own modules."""

from __future__ import annotations

import builtins
import csv
import datetime
import faulthandler
import gc
import json
import logging
import os
import posixpath
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from operator import attrgetter, itemgetter
from types import ModuleType
from typing import Any

from jobsched import tasks
from jobsched.work.isolation.kept import Kept, items_of, make_equal, names_in

#: Modules of which everybody uses functions, and of which tools (freezegun, gevent) put others in their places.
_WATCHED = (os, posixpath, time, datetime, random, json, socket, ssl, signal, threading, subprocess, warnings, logging)


def settings() -> list[Kept]:
    """What goes back, and what a new process has to do, but for names of modules."""
    return [
        Kept("the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
        Kept("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        Kept("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
        Kept("a trace function", sys.gettrace, sys.settrace),
        Kept("a profile function", sys.getprofile, sys.setprofile),
        Kept("the origin tracking of coroutines", sys.get_coroutine_origin_tracking_depth,
             sys.set_coroutine_origin_tracking_depth),
        Kept("the hooks of generators", sys.get_asyncgen_hooks, lambda kept: sys.set_asyncgen_hooks(*kept)),
        Kept("the stack size of threads", threading.stack_size, threading.stack_size),
        Kept("the garbage collector", gc.isenabled, lambda kept: gc.enable() if kept else gc.disable()),
        Kept("the collector's thresholds", gc.get_threshold, lambda kept: gc.set_threshold(*kept)),
        Kept("the collector's debugging", gc.get_debug, gc.set_debug),
        Kept("the limit of csv's fields", csv.field_size_limit, csv.field_size_limit),
        Kept("tracemalloc", tracemalloc.is_tracing, _stop_tracing),
        Kept("faulthandler", faulthandler.is_enabled, _disable_faulthandler),
        Kept("a watchdog", faulthandler.cancel_dump_traceback_later),  # it would kill a neighbour
        *_newer_settings(),
        Kept("the event loop", _event_loop, _set_event_loop),
        Kept("a running event loop", _running_loop),
        Kept("the start method of processes", _start_method, _set_start_method),
        *_streams(),
        *(items_of(held, f"sys.{name}") for name, held in (
            ("path", sys.path), ("argv", sys.argv), ("meta_path", sys.meta_path), ("path_hooks", sys.path_hooks),
            ("warnoptions", sys.warnoptions))),
        items_of(gc.callbacks, "the collector's callbacks"),
        _filters(),
        names_in(tasks.registered(), "the registered tasks"),
    ]


def names() -> list[Kept]:
    """What the names of modules mean. These differ as well as long as another thing does that one of them holds."""
    return [
        names_in(vars(sys), "sys"),
        names_in(vars(builtins), "builtins"),
        *(Kept(module.__name__, _meanings(module, get)) for module, get in _MEANINGS.items()),
        _modules(),
    ]


def _newer_settings() -> list[Kept]:
    """Those that not every Python has."""
    some: list[Kept] = []
    if hasattr(sys, "get_int_max_str_digits"):
        some.append(Kept("the digits of whole numbers", sys.get_int_max_str_digits, sys.set_int_max_str_digits))
    if sys.version_info >= (3, 12):
        monitoring = sys.monitoring
        some.append(Kept("monitoring", lambda: [monitoring.get_tool(number) for number in range(6)]))
    return some


def _stop_tracing(was_on: bool) -> None:
    if not was_on:
        tracemalloc.stop()


def _disable_faulthandler(was_on: bool) -> None:
    if not was_on:
        faulthandler.disable()


def _streams() -> list[Kept]:
    """How the standard streams are; one that is closed is so for good."""
    return [_stream(f"the ways of sys.{name}", stream)
            for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout), ("stderr", sys.stderr))
            if hasattr(stream, "reconfigure")]


def _stream(name: str, stream: Any) -> Kept:
    ways = ("encoding", "errors", "line_buffering", "write_through")
    return Kept(name, lambda: _ways_and_closed(stream),
                lambda kept: stream.reconfigure(**dict(zip(ways, kept, strict=False))))


_ways_and_closed = attrgetter("encoding", "errors", "line_buffering", "write_through", "closed")


def _filters() -> Kept:
    held = warnings.filters

    def put_back(kept: list[Any]) -> None:
        warnings.filters = held
        warnings.resetwarnings()  # which has what was warned of looked up anew
        held[:] = kept  # type: ignore[index]

    return Kept("the filters of warnings", lambda: list(warnings.filters), put_back)


def _event_loop() -> tuple[Any, ...]:
    """Of asyncio's policy, when somebody has asked for one: the loop that it hands out here."""
    events = sys.modules.get("asyncio.events")
    policy = getattr(events, "_event_loop_policy", None)
    local = getattr(policy, "_local", None)
    return policy, dict(vars(local)) if local is not None else None


def _set_event_loop(kept: tuple[Any, ...]) -> None:
    policy, loop = kept
    vars(sys.modules["asyncio.events"])["_event_loop_policy"] = policy  # None: a new one when somebody asks
    if loop is not None:
        make_equal(vars(policy._local), loop)


def _running_loop() -> bool:
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None


def _start_method() -> Any:
    module = sys.modules.get("multiprocessing")
    return module and module.get_start_method(allow_none=True)


def _set_start_method(kept: str | None) -> None:
    sys.modules["multiprocessing"].set_start_method(kept, force=True)


def _names(module: ModuleType) -> list[str]:
    """The names of a module, but for those of constants."""
    return [name for name, value in vars(module).items() if not isinstance(value, (int, float, str, tuple))]


#: How what these names mean is looked up: prepared once, before any fork.
_MEANINGS: dict[ModuleType, Callable[[Any], Any]] = {module: itemgetter(*_names(module)) for module in _WATCHED}


def _meanings(module: ModuleType, get: Callable[[Any], Any]) -> Callable[[], Any]:
    """What a module's names mean. Raises KeyError when one is gone."""
    named = vars(module)
    return lambda: get(named)


def _modules() -> Kept:
    """Whether modules were taken away, or those that we know were exchanged."""
    count, watched = len(sys.modules), [module.__name__ for module in (sys, builtins, *_WATCHED)]
    watched += [task.function.__module__ for task in tasks.registered().values()]
    return Kept("modules", lambda: (list(map(sys.modules.get, watched)), len(sys.modules) < count))
