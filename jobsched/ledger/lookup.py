"""Reads rows by their ids: one row, or any number in statements of bounded size."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from jobsched.domain import NotFound
from jobsched.ledger.models import Job, Site, UserRecord

R = TypeVar("R", Site, UserRecord, Job)

#: The most ids in one statement, because databases limit a statement's parameters.
MOST_IDS = 1000


def find(session: Session, model: type[R], id_: int, *, lock: bool = False) -> R:
    """The row with this id; with ``lock``, locked until the transaction ends. Raises NotFound."""
    row = session.get(model, id_, with_for_update=lock or None)
    if row is None:
        raise NotFound(model.noun, id_)
    return row


def among(session: Session, query: Any, column: InstrumentedAttribute[int], ids: Collection[int]) -> Iterator[Any]:
    """The rows of ``query`` whose ``column`` holds one of ``ids``, by one statement for every MOST_IDS, ascending."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), MOST_IDS):
        yield from session.execute(query.where(column.in_(ordered[start : start + MOST_IDS])))


def existing(session: Session, model: type[R], ids: Collection[int]) -> set[int]:
    """Those of ``ids`` that have a row."""
    return {id_ for id_, in among(session, select(model.id), model.id, ids)}


def names(session: Session, model: type[Site] | type[UserRecord], ids: Collection[int]) -> dict[int, str]:
    """The names of sites or user records by their ids. Ids without a row are left out."""
    return dict(among(session, select(model.id, model.name), model.id, ids))
