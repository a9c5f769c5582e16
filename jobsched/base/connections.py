"""Redis clients, each with the timeouts and retries that its kind of process needs.

They follow the address: a client reconnects when its server has become a replica, and also from time to time. So all
processes move to another server when a name, a proxy or a socket starts to lead there.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError, ResponseError
from redis.retry import Retry

from jobsched.base import redis_errors
from jobsched.base.redis_errors import NotServing, Sort

#: redis-py, since version 7, looks up its own version for each connection and tells it to the server. That takes 4 ms,
#: and each slice makes three connections.
_ANONYMOUS: dict[str, Any] = {"driver_info": None} if find_spec("redis.driver_info") else {}

#: How often a connection in use asks its server whether it still takes writes, in seconds.
ASK_ROLE_EVERY_S = 2.0
#: How old a connection may get, in seconds. Even where no server was demoted, the address may lead to another by then.
MOST_AGE_S = 30.0


def connect(url: str, *, patient: bool = True, timeout_s: float | None = None) -> Redis:
    """A client for ``url`` (redis://, rediss:// or unix://). Does not connect yet.

    A patient client (workers, dispatchers) sits out a short outage. An impatient client (the web) gives up within about
    two seconds, because a user waits for the answer and SQL is enough to give one. Both repeat a command whose reply
    was lost: only send commands that are safe to repeat. A client with a ``timeout_s`` waits no longer than that for an
    answer, and repeats nothing.

    Each refuses a server that is a replica or a Sentinel, with NotServing, which is a ConnectionError.
    """
    if timeout_s is not None:
        return Redis.from_pool(_Pool.from_url(url, socket_connect_timeout=timeout_s, socket_timeout=timeout_s,
                                              retry=Retry(NoBackoff(), 0), **_ANONYMOUS))
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 5) if patient else Retry(NoBackoff(), 1)
    return Redis.from_pool(_Pool.from_url(url, socket_connect_timeout=1, socket_timeout=10 if patient else 2,
                                          retry=retry, health_check_interval=15, **_ANONYMOUS))


class _Pool(ConnectionPool):
    """Hands out connections to the server to which the address leads now."""

    def __init__(self, connection_class: type[Any] = Connection, **kwargs: Any) -> None:
        super().__init__(connection_class=_WATCHFUL[connection_class], **kwargs)

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        connection: Any = super().get_connection(*args, **kwargs)
        try:  # only between two uses: a new connection in a transaction would forget the keys that it watches
            if connection.is_stale():
                connection.disconnect()
                connection.connect()
        except BaseException:
            connection.disconnect()
            self.release(connection)
            raise
        return connection


class _Watchful:
    """A mixin for redis-py's connections: it notices when the server no longer takes writes."""

    _made_at = _asked_at = 0.0
    _is_useless = False

    def is_stale(self) -> bool:
        """Whether to connect anew: the connection is old, or its server has refused to serve or become a replica."""
        now = time.monotonic()
        if self._is_useless or now - self._made_at > MOST_AGE_S:
            return True
        if now - self._asked_at < ASK_ROLE_EVERY_S:
            return False
        try:
            self._ask_role()
        except ConnectionError:
            return True
        return False

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health)  # type: ignore[misc]
        self._made_at, self._is_useless = time.monotonic(), False
        self._ask_role()

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The next answer. An error that tells of a demotion is raised as a ConnectionError, after which callers retry.

        All other errors are raised as they are. When such an error says that the server does not serve, the connection
        is not used again, but it stays open until the rest of the pipeline has been read from it.
        """
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except ResponseError as error:
            if redis_errors.code_of(error) in redis_errors.DEMOTED:
                self.disconnect()  # type: ignore[attr-defined]
                raise ConnectionError(redis_errors.sentence(error)) from error
            self._is_useless = redis_errors.sort_of(error) is Sort.AWAY
            raise

    def _ask_role(self) -> None:
        """Raise NotServing when the server says that it takes no writes."""
        self._asked_at = time.monotonic()
        try:
            self.send_command("ROLE", check_health=False)  # type: ignore[attr-defined]
            role, *of = self.read_response(disable_decoding=True)
        except ResponseError:  # the command is forbidden or renamed; a write will show it
            return
        if role == b"slave":
            master = f"{_text(of[0])}:{of[1]}"
            raise NotServing(f"it is a replica of {master}, which takes no writes: name the one that does in REDIS_URL")
        if role == b"sentinel":
            raise NotServing("it is a Sentinel, which keeps no data: name the server that it watches in REDIS_URL")


class _Tcp(_Watchful, Connection):
    pass


class _Tls(_Watchful, SSLConnection):
    pass


class _Unix(_Watchful, UnixDomainSocketConnection):
    pass


_WATCHFUL = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
