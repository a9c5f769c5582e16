"""What a process is called: so that a person recognises it, and so that no other process is ever called the same.

Host names and process ids come twice: containers are started from one image, each with a process 1. Whoever went by
these alone would take what a living process of the same name has in its hands.
"""

from __future__ import annotations

import os
import re
import secrets
import socket

#: How much of a host's name is kept.
LONGEST_HOST = 48
_RANDOM_BYTES = 4


def token() -> str:
    """A random part of a name, new with each call: a process that forks makes another one for its child."""
    return secrets.token_hex(_RANDOM_BYTES)


def process_name(*, pid: int | None = None, random: str | None = None) -> str:
    """A name for a process of this host (by default this one): its host, its id, and a random part."""
    return f"{host()}-{os.getpid() if pid is None else pid}-{token() if random is None else random}"


def host() -> str:
    """This machine's name as far as Redis and RQ can carry it: letters, digits, ``.``, ``_`` and ``-``, at most 48."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname())
    return name[:LONGEST_HOST] or "host"
