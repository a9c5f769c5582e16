"""Controls that an operator sets at run time: the policy, and which lanes are paused. SQL stores them.

The writers take a session of :func:`setting`, which applies to the board what they have set, once it is committed.
Needs an application context of the ledger.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobsched.base import bugs
from jobsched.base.connections import connect
from jobsched.base.failpoints import failpoint
from jobsched.board import Board, Rules, layout
from jobsched.config import Settings
from jobsched.domain import BoardLost
from jobsched.ledger.database import after_commit, ledger_app, reading, writing
from jobsched.ledger.models import Control, db
from jobsched.policy import POLICIES, Policy

log = logging.getLogger(__name__)

_POLICY = "policy"
_PAUSED = "paused:"


@dataclass(frozen=True)
class InForce:
    """The policy that is gone by, and whether it was chosen at run time."""

    policy: Policy
    chosen: bool


def chosen_policy(session: Session) -> Policy | None:
    """The policy that was chosen at run time; None: the settings say it."""
    name = session.scalar(select(Control.value).where(Control.name == _POLICY))
    return None if name is None else POLICIES.get(name)


def choose_policy(session: Session, name: str | None) -> None:
    """Go by the policy of that name from now on; None: by that of the settings. Raises KeyError for an unknown one."""
    _set(session, _POLICY, None if name is None else POLICIES[name].name)


def paused_lanes(session: Session) -> set[str]:
    """The bands whose lanes are paused, by name."""
    names = session.scalars(select(Control.name).where(Control.name.startswith(_PAUSED)))
    return {name.removeprefix(_PAUSED) for name in names}


def pause_lane(session: Session, band: str, *, paused: bool) -> None:
    """Stop or let go a lane. What runs in it goes on."""
    _set(session, _PAUSED + band, "yes" if paused else None)


@contextmanager
def setting(board: Board, settings: Settings) -> Iterator[Session]:
    """A transaction that sets controls. After its commit the block raises what :func:`apply` does."""
    with writing() as session:
        after_commit(session, partial(apply, board, settings))
        yield session


def install(board: Board, settings: Settings) -> None:
    """Give an empty board its rules."""
    chosen, paused = _read()
    board.rules.install(chosen or POLICIES[settings.policy], settings.bands, settings.tiers, chosen=chosen is not None)
    board.rules.pause_lanes(paused)


def apply(board: Board, settings: Settings) -> int:
    """Apply the controls to the board: pause and resume its lanes, and score all waiting jobs by the policy.

    Returns how many lanes and scores changed. Raises RedisError, or BoardLost for a board that must be built first;
    building it applies the controls as well.
    """
    failpoint("controls.committed", effect="sql")
    chosen, paused = _read()
    changed = board.rules.pause_lanes(paused)
    failpoint("controls.lanes_told")
    return changed + _change_policy(board, chosen, POLICIES[settings.policy], settings)


def reapply(board: Board, settings: Settings) -> int:
    """Like :func:`apply`, for a sweep. If no policy is chosen, the board keeps its own: hosts may differ in settings.

    The board does not keep a policy that was chosen and then taken back. A board with other bands or tiers keeps its
    policy in any case.
    """
    rules = board.rules.read()  # before SQL: otherwise a choice made in between looks like one that was taken back
    chosen, paused = _read()
    changed = board.rules.pause_lanes(paused)
    if rules.layout != layout(settings.bands, settings.tiers):
        return changed
    return changed + _change_policy(board, chosen, _kept(rules, settings), settings)


def in_force(board: Board, settings: Settings) -> InForce:
    """Where none was chosen the board's, for hosts may differ in settings; while it does not answer, that of ours."""
    chosen, _ = _read()
    if chosen:
        return InForce(chosen, True)
    try:
        return InForce(_kept(board.rules.read(), settings), False)
    except (RedisError, BoardLost) as error:
        bugs.log_once(log, "read the board's policy", error)
        return InForce(POLICIES[settings.policy], False)


def main(settings: Settings, name: str | None, *, change: bool) -> tuple[InForce, bool]:
    """For the command line: the policy in force, after a ``change`` to ``name`` as in :func:`choose_policy`.

    Also returns whether the board has it; if not, the next sweep applies it.
    """
    is_applied = True
    with ledger_app(settings).app_context(), connect(settings.redis_url) as redis:
        board = Board(redis)
        if change:
            try:
                with setting(board, settings) as session:
                    choose_policy(session, name)
            except (RedisError, BoardLost) as error:
                if bugs.is_bug(error):
                    raise
                is_applied = False
        now = in_force(board, settings)
        db.engine.dispose()
        return now, is_applied


def _read() -> tuple[Policy | None, set[str]]:
    with reading() as session:
        return chosen_policy(session), paused_lanes(session)


def _change_policy(board: Board, chosen: Policy | None, otherwise: Policy, settings: Settings) -> int:
    return board.rules.change_policy(chosen or otherwise, settings.bands, settings.tiers, chosen=chosen is not None)


def _kept(rules: Rules, settings: Settings) -> Policy:
    """The board's policy where none is chosen; that of the settings for one that was, or that we do not know."""
    ours = POLICIES[settings.policy]
    return ours if rules.chosen else POLICIES.get(rules.policy, ours)


def _set(session: Session, name: str, value: str | None) -> None:
    if value is None:
        session.execute(delete(Control).where(Control.name == name))
        return
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    row = dialect.insert(Control).values(name=name, value=value)  # two operators may set the same at once
    session.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
