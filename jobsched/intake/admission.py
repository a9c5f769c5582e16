"""Admission: keeps a site's waiting jobs, pending or scheduled, within its ``max_pending``.

The limit is exact with several writers, too: SQLite has one writer at a time, and elsewhere the rows of limited sites
are locked. A job that a worker or the sweep gives back is never refused: it was admitted, and may exceed the limit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobsched.domain import WAITING, FieldError, TooManyPending
from jobsched.ledger import lookup
from jobsched.ledger.models import Job, Site


def admit(session: Session, jobs: Mapping[str, int]) -> None:
    """Raise TooManyPending when new jobs do not fit; ``jobs`` are their sites by the JSON pointers to these.

    Those of sites that have no limit may be left out. Belongs into the transaction that inserts them, before it does.
    Counts at most ``max_pending`` entries of an index for each site that has one.
    """
    wanted: dict[int, list[str]] = {}
    for pointer, site in jobs.items():
        wanted.setdefault(site, []).append(pointer)
    errors, share, full = [], 0.0, []
    for site, most in bounds(session, wanted, lock=True).items():
        if most is None:
            continue
        waiting, more = _waiting(session, site, most), len(wanted[site])
        excess = waiting + more - most
        if excess > 0:
            first = wanted[site][max(0, more - excess)]
            errors.append(FieldError(first, _say(site, most, waiting, more)))
            share = max(share, min(1.0, excess / max(1, waiting)))
            full.append(site)
    if errors:
        raise TooManyPending(errors, share, paused=_is_one_paused(session, full))


def bounds(session: Session, sites: Collection[int], *, lock: bool = False) -> dict[int, int | None]:
    """``max_pending`` of those of ``sites`` that exist; locks them in the order of their ids, if asked to."""
    query = select(Site.id, Site.max_pending)
    if lock:  # not against the foreign keys of others' jobs, which are not to wait for this
        query = query.order_by(Site.id).with_for_update(key_share=True)
    return dict(lookup.among(session, query, Site.id, sites))


def _waiting(session: Session, site: int, most: int) -> int:
    """How many jobs of the site wait; ``most`` + 1 stands for any number above."""
    some = select(Job.id).where(Job.site_id == site, Job.status.in_(WAITING)).limit(most + 1).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _is_one_paused(session: Session, sites: Sequence[int]) -> bool:
    return any(lookup.among(session, select(Site.id).where(Site.paused).limit(1), Site.id, sites))


def _say(site: int, most: int, waiting: int, more: int) -> str:
    room = max(0, most - waiting)
    if more > most:
        return f"site {site} may have {most} jobs waiting (max_pending): {more} at once can never fit; send fewer"
    return f"site {site} may have {most} jobs waiting (max_pending), and has room for {room}; got {more}"
