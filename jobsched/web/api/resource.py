"""The shape of the three collections, from which :mod:`jobsched.web.api.crud` makes routes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import Select
from sqlalchemy.orm import Session

from jobsched.board import Board
from jobsched.domain import FieldError
from jobsched.web.schemas import ListQuery

Draft = TypeVar("Draft", bound=BaseModel)
Query = TypeVar("Query", bound=ListQuery)


class Resource(ABC, Generic[Draft, Query]):
    """One collection. Its methods raise the errors of :mod:`jobsched.domain`; sessions are their callers'.

    A method that writes runs inside one transaction of :func:`jobsched.ledger.database.writing`, and has that tell the
    board after its commit. That never fails because Redis does.
    """

    #: The path of the collection, and the name of its endpoints.
    path: ClassVar[str]
    list_page: ClassVar[str]
    item_page: ClassVar[str]
    #: Whether a site may have too many of them (429).
    bounded: ClassVar[bool] = False
    model: ClassVar[Any]
    #: What one of a list is, and what one alone is.
    item: ClassVar[Any]
    detail: ClassVar[Any]
    draft: type[Draft]
    query: type[Query]

    @abstractmethod
    def rows(self, query: Query) -> Select[Any]:
        """The rows that a query asks for. Raises Invalid."""

    @abstractmethod
    def faults(self, session: Session, drafts: Mapping[str, Draft]) -> list[FieldError]:
        """What is wrong with drafts that only the ledger knows, by the JSON pointers to them."""

    @abstractmethod
    def insert(self, session: Session, drafts: Mapping[str, Draft]) -> Sequence[Any]:
        """Insert all drafts, or raise Invalid; returns their rows in the same order."""

    @abstractmethod
    def show(self, session: Session, rows: Sequence[Any], board: Board | None = None) -> Sequence[Mapping[str, Any]]:
        """The rows as JSON; without a board from SQL alone."""

    @abstractmethod
    def show_one(self, session: Session, id_: int, board: Board | None = None) -> Mapping[str, Any]:
        """One row as JSON, with all that belongs to it. Raises NotFound."""

    @abstractmethod
    def fields(self, session: Session, id_: int) -> dict[str, Any]:
        """What a draft of the row as it is would hold; locks the row. Raises NotFound."""

    @abstractmethod
    def change(self, session: Session, id_: int, draft: Draft) -> None:
        """Rewrite a row. Raises NotFound, Invalid or Conflict."""

    def clear(self, id_: int) -> int:
        """Delete, in transactions of its own, the ended jobs that go with a row; returns how many.

        Raises NotFound or Conflict.
        """
        return 0

    @abstractmethod
    def remove(self, session: Session, id_: int) -> None:
        """Delete a row. Raises NotFound or Conflict."""
