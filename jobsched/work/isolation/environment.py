"""The environment as C sees it, which is what started programs inherit."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None)
_environ = ctypes.c_void_p.in_dll(_libc, "environ")
_POINTER = ctypes.sizeof(ctypes.c_void_p)


class CEnvironment:
    """Reads it anew only when its list of pointers is another: to set a variable changes that."""

    def __init__(self) -> None:
        self._at: int | None = None
        self._pointers = b""
        self._strings: list[bytes] = []

    def strings(self) -> list[bytes]:
        """All ``NAME=value``, sorted."""
        at = _environ.value
        if at is None:  # cleared
            return []
        if at != self._at or ctypes.string_at(at, len(self._pointers)) != self._pointers:
            found = ctypes.cast(at, ctypes.POINTER(ctypes.c_char_p))
            strings: list[bytes] = []
            while (string := found[len(strings)]) is not None:
                strings.append(string)
            self._at, self._pointers = at, ctypes.string_at(at, _POINTER * (len(strings) + 1))
            self._strings = sorted(set(strings))
        return self._strings

    def put_back(self, kept: list[bytes]) -> None:
        """Have it hold these again."""
        names = {string.partition(b"=")[0] for string in kept}
        for string in self.strings():
            if (name := string.partition(b"=")[0]) not in names:
                os.unsetenv(name)
        for string in set(kept).difference(self.strings()):
            name, _, value = string.partition(b"=")
            os.putenv(name, value)
