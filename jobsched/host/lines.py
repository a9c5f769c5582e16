"""Splits a program's output into lines for people, in bounded memory, whatever the bytes are."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A longer line is shown in pieces of about this many bytes.
LONGEST_LINE = 65_536
#: What ends each piece of such a line but its last.
GOES_ON = " [the line goes on]"

#: A lone carriage return ends a line, too: a progress bar drawn with it may write no other end for hours.
_END = re.compile(rb"\r\n?|\n")
#: At the end of a piece, a character of UTF-8 that is cut off.
_CUT_OFF = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")


class Lines:
    """Takes the output of one program in the pieces in which it comes, and gives its lines.

    The work is linear in the bytes, however long a line is. What is not UTF-8 is replaced by U+FFFD.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_return = False

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that ``data`` completes, without their ends."""
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]  # the second half of a line's end
        self._after_return = data.endswith(b"\r")
        *whole, rest = _END.split(data)
        for line in whole:
            yield from self._add(line)
            yield self._take(len(self._rest))
        yield from self._add(rest)

    def end(self) -> Iterator[str]:
        """What is left when the program has closed its output."""
        if self._rest:
            yield self._take(len(self._rest))

    def _add(self, data: bytes) -> Iterator[str]:
        self._rest += data
        while len(self._rest) > LONGEST_LINE:
            cut_off = _CUT_OFF.search(self._rest[LONGEST_LINE - 3:LONGEST_LINE])
            yield self._take(LONGEST_LINE - (len(cut_off[0]) if cut_off else 0)) + GOES_ON

    def _take(self, size: int) -> str:
        taken = self._rest[:size].decode(errors="replace")
        del self._rest[:size]
        return taken
