"""What an operator sets at run time: the policy, and which lanes are paused. SQL keeps it, the board goes by it.

The writers take a session and belong inside :func:`jobsched.database.writing`; :func:`tell` comes after the commit.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.models import Control
from jobsched.policy import POLICIES, Policy

_POLICY = "policy"
_PAUSED = "paused:"


def policy(session: Session, settings: Settings) -> Policy:
    """The policy that was chosen at run time, else that of the settings."""
    chosen = session.get(Control, _POLICY)
    return POLICIES[chosen.value if chosen and chosen.value in POLICIES else settings.policy]


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


def tell(session: Session, board: Board, settings: Settings) -> None:
    """Bring the board in line: its paused lanes, and its policy, by which all that waits is scored again.

    Raises RedisError, or BoardLost for a board that has to be built first; then building it does the same.
    """
    board.pause_lanes(paused_lanes(session))
    board.go_by(policy(session, settings), settings.bands, settings.tiers)


def _set(session: Session, name: str, value: str | None) -> None:
    row = session.get(Control, name)
    if value is None:
        if row:
            session.delete(row)
    elif row:
        row.value = value
    else:
        session.add(Control(name=name, value=value))
    session.flush()
