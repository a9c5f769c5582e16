"""Classifies an error of Redis; all code that catches one uses this module."""

from __future__ import annotations

import re
from enum import Enum

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    RedisError,
    TimeoutError,
)


class Sort(Enum):
    """What to do about an error."""

    #: It passes by itself, or when an operator repairs the server: wait, and try again on a new connection.
    AWAY = "away"
    #: Redis has no memory left: it refuses writes and goes on with reads. Wait, try again, and tell the operator.
    FULL = "full"
    #: Redis refuses jobsched until an operator changes a setting: a password, a permission, an address, a version.
    REFUSED = "refused"
    #: Everything else: a bug in jobsched, or damage that another program has done to its keys.
    BUG = "bug"


class NotServing(ConnectionError):
    """The server can not hold the board: it is a replica, or a Sentinel. The message says what would be right."""


#: What the first word of an error of Redis means. https://redis.io/docs/latest/develop/reference/protocol-spec
_BY_CODE = {
    **dict.fromkeys(("READONLY", "MASTERDOWN", "UNBLOCKED", "LOADING", "MISCONF", "NOREPLICAS", "CLUSTERDOWN",
                     "TRYAGAIN", "BUSY", "FAILOVER"), Sort.AWAY),
    "OOM": Sort.FULL,
    **dict.fromkeys(("NOAUTH", "WRONGPASS", "NOPERM", "DENIED", "MOVED", "ASK", "CROSSSLOT"), Sort.REFUSED),
}
#: Errors of a server that has become a replica. It is refused when a client connects anew, so a client that tries again
#: does not do so for ever.
DEMOTED = ("READONLY", "MASTERDOWN", "UNBLOCKED")
#: The first word of a server's error, also where the error of a script or of an aborted transaction quotes it.
_QUOTED = re.compile(r"(?:^|[\s:@(-])-?(" + "|".join(_BY_CODE) + r")(?= )")
_REFUSING = ("unknown command", "unsupported", "DB index is out of range", "SELECT is not allowed in cluster mode",
             "non local key", "without any password configured", "no password is set", "invalid password")
_AWAY = ("max number of clients", "Protected mode", "shutdown in progress")

_WHAT_TO_DO = {
    "READONLY": "it was made a replica, which takes no writes",
    "MASTERDOWN": "it is a replica that has lost its master",
    "UNBLOCKED": "it was made a replica, which takes no writes",
    "LOADING": "it still loads its data",
    "MISCONF": "it can not save to its disk, and so takes no writes",
    "NOREPLICAS": "too few replicas follow it, and so it takes no writes",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster moves keys",
    "BUSY": "it runs a script that does not end; SCRIPT KILL ends it",
    "FAILOVER": "it hands over to a replica",
    "OOM": "it is full: raise its maxmemory, or free memory",
    "NOAUTH": "it asks for a password: name one in REDIS_URL",
    "WRONGPASS": "it does not know the user or the password of REDIS_URL",
    "NOPERM": "the user of REDIS_URL lacks a permission",
    "DENIED": "it is in protected mode, which refuses other hosts: give it a password, and name that in REDIS_URL",
    **dict.fromkeys(("MOVED", "ASK", "CROSSSLOT"),
                    "it is a node of a Redis Cluster: name one server that is not in REDIS_URL"),
}


def code_of(error: BaseException) -> str:
    """The word by which Redis names the error, such as ``OOM``; empty when there is none.

    The error of a script quotes that of the command that failed. Servers differ in how they quote.
    """
    code = str(getattr(error, "status_code", None) or "")
    if code in _BY_CODE:
        return code
    found = _QUOTED.search(str(error))
    return found[1] if found else ""


def sort_of(error: BaseException) -> Sort:
    """What an error means. An error that is not redis-py's is a bug."""
    if code := code_of(error):
        return _BY_CODE[code]
    message = str(error)
    if isinstance(error, AuthenticationError | AuthorizationError) or any(word in message for word in _REFUSING):
        return Sort.REFUSED
    if isinstance(error, ConnectionError | TimeoutError) or any(word in message for word in _AWAY):
        return Sort.AWAY
    return Sort.BUG


def is_trouble(error: BaseException) -> bool:
    """Whether Redis is to blame, not the caller: it is away, full, or refuses us."""
    return isinstance(error, RedisError) and sort_of(error) is not Sort.BUG


def sentence(error: BaseException) -> str:
    """What is wrong with Redis, as one line for people."""
    if code := code_of(error):
        return f"Redis refuses: {_WHAT_TO_DO[code]}"
    if isinstance(error, NotServing):
        return f"Redis refuses: {error}"
    sort = sort_of(error)
    if sort is Sort.REFUSED:
        return f"Redis refuses: {_first_line(error)}"
    if sort is Sort.AWAY:
        return f"Redis does not answer: {_first_line(error)}"
    return f"Redis answers {type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
