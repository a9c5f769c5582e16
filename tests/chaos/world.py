"""The parts that can be broken, and the type of a fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.proxy import Proxy
from tests.chaos.servers import Database, PostgresCluster, RedisServer
from tests.chaos.stack import Stack


@dataclass
class World:
    """What can be broken. Bare RQ has no database, and no web on a port."""

    stack: Stack
    redis: RedisServer
    redis_proxy: Proxy
    database: Database | None
    database_proxy: Proxy | None
    port: int | None = None

    @property
    def postgres(self) -> PostgresCluster | None:
        return self.database if isinstance(self.database, PostgresCluster) else None


@dataclass(frozen=True)
class Begun:
    """A fault that has happened: its name in the report and, when it lasts, for how long and how it is ended.

    Without a name nothing was broken, since the world has nothing of the kind; the time passes all the same, so that
    the rest is not broken more often to make up for it.
    """

    what: str | None
    lasts_s: float = 0.0
    end: Callable[[], None] | None = None


@dataclass(frozen=True)
class Trouble:
    """One kind of fault. ``weight`` is how often it is drawn, relative to the others.

    ``begin`` returns None when the fault could not be brought about just now. ``lacks`` says in a few words what a
    world would need for it, and returns None for one that has it.
    """

    weight: int
    begin: Callable[[World, random.Random], Begun | None]
    lacks: Callable[[World], str | None] = lambda world: None
