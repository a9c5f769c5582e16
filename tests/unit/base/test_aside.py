"""Values from Redis become text that is safe for a terminal and a log line."""

from __future__ import annotations

import pytest

from jobsched.base.aside import printable


@pytest.mark.parametrize("raw", [b"\x1b[2J\x1b[31m", "\x1b]0;title\x07", b"a\r\nb", b"\x00\x7f", b"\xff\xfe",
                                 "\u202eabc", b"\xc2\x9b31m", "\u2028", "\ud800"])
def test_nothing_is_left_that_moves_a_cursor_or_ends_a_line(raw: bytes | str) -> None:
    assert printable(raw).isprintable()
    assert "\ufffd" in printable(raw)


def test_what_can_be_shown_stays_as_it_is() -> None:
    assert printable("bänd-1ms 作業".encode()) == "bänd-1ms 作業"
