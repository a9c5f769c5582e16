"""Reseeds random number generators after a fork, so that no two processes draw the same numbers."""

from __future__ import annotations

import gc
import random
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any

#: Bits of a seed, as numpy takes it as well.
_BITS = 32

_seeds = random.Random()
_found: tuple[Any, ...] = ()


@lru_cache(maxsize=1)
def find(tasks: tuple[str, ...]) -> None:
    """Find all generators of random numbers that there are when these ``tasks`` are registered, whoever holds them.

    Takes some 20 ms, once for the same tasks: for a worker, which forks later.
    """
    global _found
    numpy = sys.modules.get("numpy.random")
    kinds = (random.Random, *([numpy.BitGenerator] if numpy is not None else []))
    _found = tuple(found for found in gc.get_objects() if issubclass(type(found), kinds))


def reseed() -> None:
    """Give each generator that was found a state of its own, from the system's randomness. To be called in a fork."""
    for source in (_seeds, *_found):
        with suppress(Exception):  # of a class that is not as its base is: it stays as it is
            if isinstance(source, random.Random):
                random.Random.seed(source)
            else:
                source.__setstate__(type(source)().__reduce__()[2])


def mix() -> None:
    """Have what one job did with the random numbers that all modules share (``random.seed(1)``) end with it."""
    random.seed(_seeds.getrandbits(_BITS))
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed(_seeds.getrandbits(_BITS))
