"""The target of forged jobs and pickles: it writes the file that CANARY names, if it is ever run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any


def sing(*_: Any, **__: Any) -> None:
    """Be heard."""
    if path := os.environ.get("CANARY"):
        Path(path).touch()


class Bomb:
    """Sings when it is unpickled."""

    def __reduce__(self) -> Any:
        return sing, ()


#: Bytes that sing when they are unpickled, alone, and where RQ expects a job's data.
BOMB = pickle.dumps(Bomb())
DATA = pickle.dumps(("tests.canary.sing", None, (Bomb(),), {}))
CALLBACK = "tests.canary.sing"
