"""Work that follows a commit runs once, after the commit, and only if there was one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from jobsched.ledger.database import after_commit, reading, writing
from jobsched.ledger.models import Site

pytestmark = pytest.mark.usefixtures("ledger")


def write(*calls: Callable[[], object], last: Callable[[Session], object] = lambda _: None) -> None:
    """A transaction that writes a site, is followed by ``calls``, and does ``last`` at its end."""
    with writing() as session:
        for call in calls:
            after_commit(session, call)
        session.add(Site(id=1, name="one"))
        session.flush()
        last(session)


def is_committed() -> bool:
    with reading() as session:
        return session.get(Site, 1) is not None


def test_calls_come_after_the_commit_in_their_order() -> None:
    seen: list[Any] = []
    write(lambda: seen.append(is_committed()), lambda: seen.append("second"), last=lambda _: seen.append("last"))
    assert seen == ["last", True, "second"]


def test_nothing_follows_what_is_rolled_back() -> None:
    with pytest.raises(ZeroDivisionError):
        write(pytest.fail, last=lambda _: 1 / 0)
    assert not is_committed()


def test_nothing_follows_a_commit_that_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        write(pytest.fail, last=lambda session: event.listen(session, "before_commit", lambda _: 1 / 0))
    assert not is_committed()


def test_what_a_call_raises_is_raised_and_the_commit_stays() -> None:
    with pytest.raises(ZeroDivisionError):
        write(lambda: 1 / 0)
    assert is_committed()


def test_a_session_that_is_only_for_reading_takes_no_calls() -> None:
    with reading() as session, pytest.raises(KeyError):
        after_commit(session, pytest.fail)
