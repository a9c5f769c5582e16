"""Shortens text to a number of bytes, and makes it storable in any database."""

from __future__ import annotations


def shorten(text: str, most: int) -> str:
    """The text in at most ``most`` bytes of UTF-8, whose middle is left out; without NUL and halves of surrogate pairs.

    Both ends are cut between two characters. A text that fits stays whole. ``most`` is at least 100.
    """
    if len(text) <= most and len(whole := _storable(text)) <= most:
        return whole.decode()
    gap = f" [... the middle of {len(text):,} characters is left out ...] "
    room = most - len(gap)
    head, tail = _storable(text[:most])[: room - room // 2], _storable(text[-most:])[-(room // 2):]
    return head.decode(errors="ignore") + gap + tail.decode(errors="ignore")


def _storable(text: str) -> bytes:
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace")
