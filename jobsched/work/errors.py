"""Describes an error for the ledger: its type, where it was raised, its message and its cause, in bounded size.

Errors of tasks can be strange: their causes can form a circle or never end, and their attributes can run code. None of
that code is called here, and no chain is followed without a bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobsched.domain import JobschedError
from jobsched.work import frames, messages, peeking
from jobsched.work.limits import Overrun, TimeLimitExceeded
from jobsched.work.shorten import shorten

#: The most of an error that is recorded, in bytes of UTF-8.
ERROR_BYTES = 8_192
#: The most of what was raised itself, of the lines that led there, and of each error that led to it.
_HEADLINE_BYTES, _FRAMES_BYTES, _CAUSE_BYTES = 3_072, 2_560, 1_024
#: How many of the errors at each end of the chain of causes, of the errors of groups, and of notes are shown.
_CAUSES, _MEMBERS, _NOTES = 2, 20, 10
#: How far a chain of errors is followed.
_FAR = 1_000

_UNSAID = "(its message could not be made)"


@dataclass(frozen=True)
class Description:
    """An error in words; ``overran``: it was raised because the start was stopped at the bound of its lane."""

    text: str
    overran: bool = False


def describe(raised: BaseException, stops: Sequence[BaseException] = ()) -> Description:
    """Put what a start raised into words. ``stops`` are what it was stopped with, which need not be what it raised.

    An error of ours, also one that stops a start, is its sentence; another its traceback. Takes messages.SAY_S at most.
    """
    stop = next((error for error in _handled(raised) if any(error is one for one in stops)), None)
    if issubclass(type(raised), TimeLimitExceeded | JobschedError):
        (said,) = messages.of([raised])
        text = bare(raised) if said is None else said
    else:
        text = _traceback(raised)
    return Description(shorten(text, ERROR_BYTES), type(stop) is Overrun)


def bare(raised: BaseException) -> str:
    """An error in the words that can be made of its type alone."""
    return f"{peeking.name(type(raised))}: {_UNSAID}"


def _handled(raised: BaseException) -> Iterator[BaseException]:
    """What was raised, and what it holds or came from: to be stopped may break what a task does on its way out.

    asyncio.TaskGroup, for one, raises a group that holds what stopped one of its tasks.
    """
    todo, seen = [raised], set[int]()
    while todo and len(seen) < _FAR:
        error = todo.pop()
        if id(error) not in seen:
            seen.add(id(error))
            yield error
            before = (peeking.cause(error), peeking.context(error))
            todo += [*(one for one in before if one is not None), *peeking.members(error)[:_FAR][::-1]]


@dataclass(frozen=True)
class _Link:
    """One error of a chain of causes; ``words`` lead from the one before it to this one."""

    error: BaseException
    words: str
    members: tuple[tuple[int, BaseException], ...]


def _traceback(raised: BaseException) -> str:
    """As Python prints it: the first cause first, what was raised last."""
    chain, left_out = _chain(raised)
    errors = [error for link in reversed(chain) for error in (link.error, *(member for _, member in link.members))]
    said = {id(error): text for error, text in zip(errors, messages.of(errors), strict=True)}
    *causes, last = chain
    text = _trail(last.error, _FRAMES_BYTES) + _headline(last, said, _HEADLINE_BYTES)
    before: list[str] = []
    for i, link in enumerate(causes):
        words = chain[i + 1].words
        if i == _CAUSES - 1 and left_out:
            words = f"({left_out} more errors, each of which led to the next, are left out.)"
        before += [_trail(link.error, _CAUSE_BYTES), _headline(link, said, _CAUSE_BYTES), f"\n{words}\n\n"]
    room = ERROR_BYTES - len(text.encode())
    return shorten("".join(before), room) + text


def _chain(raised: BaseException) -> tuple[list[_Link], int]:
    """The chain of causes, the first one first, and how many were left out of its middle."""
    chain: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    error: BaseException | None = raised
    while error is not None and id(error) not in seen and len(seen) < _FAR:
        seen.add(id(error))
        before, words = peeking.led_to(error)
        chain.insert(0, (error, words))
        error = before
    left_out = max(0, len(chain) - 2 * _CAUSES - 1)
    if left_out:
        chain[_CAUSES:_CAUSES + left_out] = []
    return [_Link(error, words, _members(error)) for error, words in chain], left_out


def _members(error: BaseException) -> tuple[tuple[int, BaseException], ...]:
    """The first errors of a group and of the groups in it, with how deep they are."""
    found: list[tuple[int, BaseException]] = []
    seen = {id(error)}
    todo = [(1, member) for member in peeking.members(error)[:_MEMBERS]][::-1]
    while todo and len(found) < _MEMBERS:
        depth, member = todo.pop()
        if id(member) not in seen:
            seen.add(id(member))
            found.append((depth, member))
            todo += [(depth + 1, inner) for inner in peeking.members(member)[:_MEMBERS]][::-1]
    return tuple(found)


def _trail(error: BaseException, most: int) -> str:
    lines = frames.lines(peeking.trace(error))
    return shorten(f"Traceback (most recent call last):\n{lines}", most - 1).rstrip("\n") + "\n" if lines else ""


def _headline(link: _Link, said: Mapping[int, str | None], most: int) -> str:
    """The type of an error and what it says, its notes, and the errors that it holds."""
    held = [f"{'  ' * depth}- {_sentence(member, said)}" for depth, member in link.members]
    whole = len(peeking.members(link.error))
    if whole > len(held):
        held.append(f"  ({whole} errors in all)")
    lines = [_sentence(link.error, said), *peeking.notes(link.error)[:_NOTES]]
    room = most - (min(most // 2, len("\n".join(held).encode()) + 1) if held else 0)
    return shorten("\n".join(lines), room - 1) + "\n" + (shorten("\n".join(held), most // 2 - 1) + "\n" if held else "")


def _sentence(error: BaseException, said: Mapping[int, str | None]) -> str:
    text = said[id(error)]
    if text is None:
        return bare(error)
    return f"{peeking.name(type(error))}: {text}" if text else peeking.name(type(error))
