"""Output is split into lines, whatever the bytes are and however they arrive."""

from __future__ import annotations

import random

import pytest

from jobsched.host.lines import GOES_ON, LONGEST_LINE, Lines


def lines(*pieces: bytes) -> list[str]:
    cutter = Lines()
    return [line for piece in pieces for line in cutter.feed(piece)] + list(cutter.end())


@pytest.mark.parametrize(("pieces", "shown"), [
    ((b"one\ntwo\n",), ["one", "two"]),
    ((b"o", b"ne\nt", b"wo"), ["one", "two"]),
    ((b"one\n\ntwo\n",), ["one", "", "two"]),
    ((b"one\r\ntwo\r\n",), ["one", "two"]),
    ((b"one\r", b"\ntwo",), ["one", "two"]),
    ((b"10%\r20%\r", b"30%\r\n"), ["10%", "20%", "30%"]),
    (("für".encode()[:2], "für".encode()[2:], b"\n"), ["für"]),
    ((b"\xff\x00\x80\n",), ["\ufffd\x00\ufffd"]),
    ((b"",), []),
])
def test_lines_end_with_what_ends_them(pieces: tuple[bytes, ...], shown: list[str]) -> None:
    assert lines(*pieces) == shown


@pytest.mark.parametrize("character", ["x", "ü", "€", "😀"])
def test_a_long_line_is_shown_in_pieces_that_say_so_and_cut_no_character(character: str) -> None:
    text = "-" + character * 200_000
    data = text.encode()
    shown = lines(*(data[at:at + 4_097] for at in range(0, len(data), 4_097)), b"\nnext\n")
    *pieces, last, following = shown
    assert pieces
    assert all(piece.endswith(GOES_ON) and len(piece.encode()) <= LONGEST_LINE + len(GOES_ON) for piece in pieces)
    assert "".join(piece.removesuffix(GOES_ON) for piece in pieces) + last == text
    assert following == "next"


def test_garbage_without_an_end_is_bounded() -> None:
    garbage = random.Random(1).randbytes(1_000_000).replace(b"\n", b" ").replace(b"\r", b" ")
    cutter = Lines()
    for at in range(0, len(garbage), 65_536):
        for line in cutter.feed(garbage[at:at + 65_536]):
            assert len(line) <= LONGEST_LINE + len(GOES_ON)


def test_the_pieces_in_which_output_comes_make_no_difference() -> None:
    data = "one\r\ntwo\rthree\n\nfür\n€\r\n".encode() * 50
    chance = random.Random(2)
    for _ in range(20):
        cuts = sorted(chance.sample(range(len(data)), 30))
        assert lines(*(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))) == lines(data)
