"""Encodes a task's result as JSON for the ledger, in pieces, so that an oversized result stops at the limit.

A result may be of the task's own classes, whose code then runs: the caller limits its time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from json import loads  # a task may put something else in its place
from json.encoder import encode_basestring
from typing import Any

from jobsched.domain import MOST_NESTING, JobschedError
from jobsched.tasks import RESULT_BYTES
from jobsched.work import peeking

#: The most bits of a whole number: Python may be told to read no more than 640 digits.
MOST_BITS = 2_048


class BadResult(JobschedError):
    """A task returned what can not be recorded."""


def recordable(result: Any) -> Any:
    """The result as JSON gives it back. Raises BadResult, or what the result's own classes raise.

    As ever with JSON a tuple comes back as a list, a key that is a number, a truth value or None as its text, and
    what is of a class derived from str, int, float, dict or list as one of these.
    """
    pieces, size = bytearray(), 0
    for piece in _pieces(result, 0):
        if len(piece) > RESULT_BYTES - size:
            raise BadResult(f"a task must return at most {RESULT_BYTES} bytes of JSON; got more")
        size += len(piece)
        pieces += piece
    return loads(pieces)


def _pieces(value: Any, depth: int) -> Iterator[bytes]:
    kinds = peeking.ancestors(type(value))
    if dict in kinds:
        yield from _joined(b"{", _pairs(value, _below(depth)), b"}")
    elif list in kinds or tuple in kinds:
        below = _below(depth)
        yield from _joined(b"[", (_pieces(item, below) for item in value), b"]")
    else:
        yield _scalar(value, kinds)


def _joined(opening: bytes, items: Iterable[Iterator[bytes]], closing: bytes) -> Iterator[bytes]:
    yield opening
    for i, item in enumerate(items):
        if i:
            yield b","
        yield from item
    yield closing


def _pairs(value: dict[Any, Any], depth: int) -> Iterator[Iterator[bytes]]:
    seen: set[bytes] = set()
    for key, item in value.items():
        name = _key(key)
        if name in seen:
            raise BadResult(f"a task must return JSON without two keys that read alike; got two {_shown(name)}")
        seen.add(name)
        yield _pair(name, item, depth)


def _pair(name: bytes, item: Any, depth: int) -> Iterator[bytes]:
    yield name + b":"
    yield from _pieces(item, depth)


def _key(key: Any) -> bytes:
    kinds = peeking.ancestors(type(key))
    name = _scalar(key, kinds)
    return name if str in kinds else b'"' + name + b'"'


def _scalar(value: Any, kinds: tuple[type, ...]) -> bytes:
    for constant, text in _CONSTANTS:
        if value is constant:
            return text
    for kind, encode in _SCALARS.items():
        if kind in kinds:
            return encode(value)
    raise _unfit(f"a value of type {peeking.name(type(value))} is not that")


def _text(value: str) -> bytes:
    if str.__len__(value) > RESULT_BYTES:
        raise BadResult(f"a task must return at most {RESULT_BYTES} bytes of JSON; got more")
    try:
        return encode_basestring(value).encode()
    except UnicodeEncodeError:
        raise _unfit("half of a surrogate pair is no text") from None


def _integer(value: int) -> bytes:
    if int.bit_length(value) > MOST_BITS:
        raise _unfit(f"a whole number of more than {MOST_BITS:,} bits is not that")
    return int.__repr__(value).encode()


def _number(value: float) -> bytes:
    if not math.isfinite(value):
        raise _unfit(f"{float.__repr__(value)} is no number in it")
    return float.__repr__(value).encode()


_CONSTANTS = ((None, b"null"), (True, b"true"), (False, b"false"))
_SCALARS: dict[type, Callable[[Any], bytes]] = {str: _text, int: _integer, float: _number}


def _below(depth: int) -> int:
    if depth == MOST_NESTING:
        raise BadResult(f"a task must return JSON that nests at most {MOST_NESTING} levels")
    return depth + 1


def _unfit(why: str) -> BadResult:
    return BadResult(f"a task must return what JSON can hold: {why}")


def _shown(name: bytes) -> str:
    return name.decode()[:100]
