"""A task that looks for the secrets of its worker's environment wherever it could find them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from jobsched import task

AT_IMPORT = "\n".join(f"{name}={value}" for name, value in os.environ.items())


@task(timeout_s=30)
def seek_secrets(payload: dict[str, Any]) -> dict[str, list[str]]:
    """Which of the payload's ``words`` are seen, by where."""
    child = subprocess.run(["/usr/bin/env"], capture_output=True, check=True)
    found = {
        "at import": AT_IMPORT,
        "now": repr(dict(os.environ)),
        "of a child": child.stdout.decode(errors="replace"),
        "for others": _block(os.getpid()),
        "of our worker": _block(os.getppid()) if payload["worker"] else "",
    }
    return {where: [word for word in payload["words"] if word in text] for where, text in found.items()}


def _block(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
