"""Names of processes: readable for people, and never used twice.

Host names and process ids repeat: containers are started from one image, and each has a process 1. A process named by
these alone could take over the work of a living process of the same name.
"""

from __future__ import annotations

import os
import re
import secrets
import socket

#: How many characters of a host's name are kept.
LONGEST_HOST = 48
_RANDOM_BYTES = 4


def token() -> str:
    """A random part of a name. Each call makes another one, so that a fork can name its child anew."""
    return secrets.token_hex(_RANDOM_BYTES)


def process_name(*, pid: int | None = None, random: str | None = None) -> str:
    """A name for a process of this host, by default for this process: the host, the process id, and a random part."""
    return f"{host()}-{os.getpid() if pid is None else pid}-{token() if random is None else random}"


def host() -> str:
    """This machine's name, in at most 48 of the characters that RQ accepts: letters, digits, ``.``, ``_`` and ``-``."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname())
    return name[:LONGEST_HOST] or "host"
