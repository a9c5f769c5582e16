"""Tasks that draw random numbers from every kind of generator that a module may have."""

from __future__ import annotations

import random
import secrets
import ssl
import tempfile
import uuid
from collections.abc import Callable
from typing import Any

from jobsched import task

try:
    import numpy as np
except ImportError:  # not among what the tests need
    np = None  # type: ignore[assignment]

_ours = random.Random()
_seeded = random.Random(7)


class Shop:
    """Has one as a class may have it."""

    numbers = random.Random()


def _kept() -> Callable[[], float]:
    numbers = random.Random()
    return numbers.random


_closure = _kept()
_SOURCES: dict[str, Callable[[], Any]] = {
    "random": random.random, "module": _ours.random, "seeded": _seeded.random,
    "class": lambda: Shop.numbers.random(), "closure": lambda: _closure(),
    "uuid": lambda: [str(uuid.uuid4()), str(uuid.uuid1())], "secrets": lambda: secrets.token_hex(8),
    "tempfile": lambda: next(tempfile._get_candidate_names()),  # type: ignore[attr-defined]
    "ssl": lambda: ssl.RAND_bytes(8).hex(),
}
if np is not None:
    _generator, _old = np.random.default_rng(), np.random.RandomState(7)
    _SOURCES |= {
        "numpy": lambda: np.random.rand(3).tolist(),
        "numpy's generator": lambda: [_generator.random(), _old.rand()],
        "numpy's spawned": lambda: _generator.spawn(1)[0].random(),
    }


@task
def draw(payload: dict[str, Any]) -> Any:
    """Numbers of the payload's ``source``."""
    return _SOURCES[payload["source"]]()


@task
def seed(payload: dict[str, Any]) -> Any:
    """Seed what all modules share, and draw from it."""
    (random if payload["source"] == "random" else np.random).seed(7)
    return draw(payload)
