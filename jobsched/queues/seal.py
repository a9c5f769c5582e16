"""The seal on jobsched's jobs in RQ's queues: only a process with SECRET_KEY can make one that a worker accepts.

Many processes share Redis, and anyone who can write to it can enqueue: a forged slice would run the jobs of a paused
site, past every limit. The seal covers the job's id and its data. If somebody enqueues an old slice again, the board
recognises that it is no longer in flight.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from itsdangerous import Signer

from jobsched import config
from jobsched.base import home
from jobsched.domain import ConfigError

#: Told apart from whatever else SECRET_KEY signs.
_SALT = "jobsched.queues.seal"


#: What to do about keys that differ.
SAME_EVERYWHERE = "set the same SECRET_KEY for web, dispatchers, workers and schedulers"


class NoKey(ConfigError):
    """There is no SECRET_KEY, and none can be kept."""


class Seal:
    """Seals with the first of ``keys``, and takes what any of them has sealed."""

    def __init__(self, keys: Sequence[str]) -> None:
        def signer(ours: Sequence[str]) -> Signer:
            return Signer(list(reversed(ours)), salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)

        self._signer = signer(keys)
        #: Tells keys apart without telling them; the first is that of what we seal.
        self.prints = tuple(signer([key]).get_signature(b"print").decode()[:8] for key in keys)

    def of(self, id_: str, data: bytes) -> bytes:
        """The seal of a job."""
        return self._signer.get_signature(_sealed(id_, data))

    def is_on(self, id_: str, data: bytes, seal: bytes) -> bool:
        """Whether ``seal`` is that of the job. Takes the same time whatever is wrong."""
        return self._signer.verify_signature(_sealed(id_, data), seal)


@lru_cache(maxsize=1)
def ours() -> Seal:
    """That of this process, by its environment. Raises NoKey."""
    return Seal(keys(os.environ))


def keys(environ: Mapping[str, str]) -> list[str]:
    """SECRET_KEY, then each of SECRET_KEY_FALLBACKS; without the first, the key that JOBSCHED_HOME keeps.

    So processes that are started by hand in one home agree. Raises NoKey where none can be kept.
    """
    return [environ.get("SECRET_KEY", "").strip() or _kept(config.home_of(environ)), *config.older_keys(environ)]


def differs(told: Sequence[str]) -> str | None:
    """A sentence when one of the keys that dispatchers seal with, as they told, is none of ours."""
    if set(told) <= set(ours().prints):
        return None
    return f"a dispatcher has another one, so that its slices are refused here: {SAME_EVERYWHERE}"


def _kept(where: Path) -> str:
    try:
        home.make(where)
        return home.secret_key(where)
    except home.CannotUseHome as error:
        sentence = (f"SECRET_KEY is not set, and none can be kept ({error}): set it to a long random text, the same "
                    "for web, dispatcher, worker and scheduler")
        raise NoKey([sentence]) from error


def _sealed(id_: str, data: bytes) -> bytes:
    return id_.encode() + b"\0" + data
