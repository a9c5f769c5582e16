"""The state of logging: levels, handlers and filters of all loggers, and what is disabled."""

from __future__ import annotations

import logging
from operator import attrgetter
from typing import Any

from jobsched.work.isolation.kept import Kept

_lists = attrgetter("handlers", "filters")


def loggers() -> Kept:
    """All of it. Loggers that are made later are expected to be as new."""
    named: dict[str, Any] = logging.root.manager.loggerDict
    handlers: list[Any] = vars(logging)["_handlerList"]
    known = [logging.root, *(logger for logger in named.values() if isinstance(logger, logging.Logger))]
    lists = [[held.copy() for held in _lists(logger)] for logger in known]
    before, count = {*known, *named.values()}, len(named)  # also names without a logger, which may get one
    of_root = [(handler, handler.level, handler.formatter) for handler in logging.root.handlers]

    def made() -> list[logging.Logger]:
        return [logger for logger in named.values() if logger not in before and isinstance(logger, logging.Logger)]

    def get() -> tuple[Any, ...]:
        return ([(logger.level, logger.disabled, logger.propagate) for logger in known], len(handlers),
                [*logging.root.handlers, *logging.root.filters],
                [(handler.level, handler.formatter) for handler, _, _ in of_root],
                len(named) > count and any(map(_is_set, made())), logging.root.manager.disable)

    def put_back(kept: tuple[Any, ...]) -> None:
        for logger in made():
            _set(logger, _NEW, [[], []])
        for logger, flags, held in zip(known, kept[0], lists, strict=True):
            _set(logger, flags, held)
        for handler, level, formatter in of_root:
            handler.setLevel(level)
            handler.setFormatter(formatter)
        logging.disable(kept[-1])

    return Kept("logging", get, put_back)


#: The flags of a logger that nobody has set.
_NEW = (logging.NOTSET, False, True)


def _is_set(logger: logging.Logger) -> bool:
    return bool((logger.level, logger.disabled, logger.propagate) != _NEW or logger.handlers or logger.filters)


def _set(logger: logging.Logger, flags: tuple[int, bool, bool], lists: list[list[Any]]) -> None:
    level, logger.disabled, logger.propagate = flags
    logger.setLevel(level)  # which has loggers forget what they know of it
    for held, kept in zip(_lists(logger), lists, strict=True):
        held[:] = kept
