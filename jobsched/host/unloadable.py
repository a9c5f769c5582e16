"""Sets aside files that the embedded Redis cannot load again; the board is then rebuilt from SQL."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from jobsched.domain import JobschedError

#: What a Redis keeps its data in: since 7 a folder, before that a file, and a snapshot.
_DATA = ("appendonlydir", "appendonly.aof", "dump.rdb")
#: How much of the end of its log is read, in bytes.
_TAIL = 65_536
#: Each start of a server begins with a line that holds the first; with the second it has loaded its data.
_STARTS, _SERVES = "oO0OoO0OoO0Oo", "Ready to accept connections"
#: What Redis and Valkey say of data that they can not load; the name of a file is anywhere in between.
_COMPLAINTS = re.compile(
    r"reading the append only file|AOF loading aborted|AOF manifest|AOF MANIFEST|Unable to obtain the AOF file|"
    r"The AOF (file|directory) .*(doesn't|not) exist|append-only dir|Internal error in RDB|loading DB|"
    r"RDB (format version|checksum|CRC|file contains)|rdb file reading failure|Wrong signature|BUG REPORT START")
#: Where a complaint names one of these, the data may be good: the machine does not let it be read or written.
_NOT_THE_DATA = ("Permission denied", "Operation not permitted", "No space left", "Disk quota exceeded",
                 "Read-only file system", "Input/output error", "Too many open files", "Cannot allocate memory",
                 "Out Of Memory")


class CannotSetAside(JobschedError):
    """The data does not load, and is not ours to move, or can not be moved."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"the embedded Redis can not load {path}, which {why}: move it away, or start as its owner")


def complaint(log: Path) -> str | None:
    """What a server that has ended said of its data when it could not load it; None where it ended for another reason.

    ``log`` is the file that it writes its log to. The complaint is the text of a line, without its time.
    """
    last = _tail(log).rpartition(_STARTS)[2]
    if _SERVES in last or any(reason in last for reason in _NOT_THE_DATA):
        return None
    found = [line for line in last.splitlines() if _COMPLAINTS.search(line)]
    return found[-1].partition(" # ")[2].strip() or found[-1].strip() if found else None


def set_aside(directory: Path) -> list[Path]:
    """Rename what a server in ``directory`` has written, with the moment in its name; returns what it is called now.

    Nothing is deleted. Raises CannotSetAside, before anything is renamed when something belongs to another user.
    """
    written = [directory / name for name in _DATA if os.path.lexists(directory / name)]
    for path in written:
        _refuse_foreign(path)
    moment = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return [_renamed(path, moment) for path in written]


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _refuse_foreign(path: Path) -> None:
    for found in _below(path):
        with suppress(FileNotFoundError):
            owner = found.lstat().st_uid
            if owner != os.geteuid():
                raise CannotSetAside(found, f"belongs to the user {owner}")


def _below(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from path.iterdir()


def _renamed(path: Path, moment: str) -> Path:
    """Rename ``path`` to a name that nothing has yet."""
    aside = path.with_name(f"{path.name}.{moment}")
    while os.path.lexists(aside):
        aside = aside.with_name(f"{aside.name}+")
    try:
        return path.rename(aside)
    except OSError as error:
        raise CannotSetAside(path, f"can not be renamed: {error.strerror}") from error
