"""What an operator sets at run time: the policy, and which lanes are paused. SQL keeps it, the board goes by it.

The writers take a session and belong inside :func:`jobsched.database.writing`; :func:`tell` comes after the commit, and
needs an application context of the ledger.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobsched.board import Board
from jobsched.config import Settings
from jobsched.database import reading
from jobsched.models import Control
from jobsched.policy import POLICIES, Policy

_POLICY = "policy"
_PAUSED = "paused:"


def chosen_policy(session: Session) -> Policy | None:
    """The policy that was chosen at run time; None: the settings say it."""
    row = session.get(Control, _POLICY)
    return POLICIES.get(row.value) if row else None


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


def install(board: Board, settings: Settings) -> None:
    """Give an empty board its rules."""
    chosen, paused = _read()
    board.install(chosen or POLICIES[settings.policy], settings.bands, settings.tiers)
    board.pause_lanes(paused)


def tell(board: Board, settings: Settings) -> int:
    """Bring the board in line: its paused lanes, and its policy, by which all that waits is scored again.

    Returns how many lanes and scores changed. Raises RedisError, or BoardLost for a board that has to be built first;
    then building it does the same.
    """
    chosen, paused = _read()
    return board.pause_lanes(paused) + board.go_by(
        chosen or POLICIES[settings.policy], settings.bands, settings.tiers)


def remind(board: Board, settings: Settings) -> int:
    """As :func:`tell`, for a sweep: where no policy was chosen, the board's stays, for hosts may differ in settings."""
    chosen, paused = _read()
    return board.pause_lanes(paused) + board.go_by(
        chosen or POLICIES[board.rules().policy], settings.bands, settings.tiers)


def _read() -> tuple[Policy | None, set[str]]:
    with reading() as session:
        return chosen_policy(session), paused_lanes(session)


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
