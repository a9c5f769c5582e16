"""The text of errors in the ledger."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsched.domain import JobschedError
from jobsched.work import errors, peeking
from jobsched.work.errors import ERROR_BYTES
from jobsched.work.limits import Overrun, TimeLimitExceeded
from jobsched.work.shorten import shorten


def raised_while(context: BaseException, error: BaseException) -> BaseException:
    """An error that came while another was handled."""
    try:
        try:
            raise context
        except BaseException:
            raise error from None
    except BaseException as caught:
        return caught


def caused(cause: BaseException, error: BaseException) -> BaseException:
    """An error that was raised from another."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


# What stopped a start

OVERRUN, LIMIT, ANOTHER = Overrun(), TimeLimitExceeded("over"), Overrun()


@pytest.mark.parametrize(("error", "overran"), [
    (OVERRUN, True),
    (raised_while(OVERRUN, OSError("broke")), True),
    (raised_while(raised_while(OVERRUN, OSError()), KeyError()), True),
    (caused(OVERRUN, OSError("kept, and told of later")), True),
    (LIMIT, False),
    (raised_while(OVERRUN, LIMIT), False),  # it went on after its first stop
    (OSError("broke"), False),
    (ANOTHER, False),  # raised by the task itself, or left by an earlier start in an error that is stored
    (raised_while(ANOTHER, OSError("stored")), False),
])
def test_what_was_raised_on_the_way_out_of_an_overrun_is_the_overrun(error: BaseException, overran: bool) -> None:
    assert errors.describe(error, [OVERRUN, LIMIT]).overran is overran


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of errors before")
@pytest.mark.parametrize(("held", "overran"), [(OVERRUN, True), (LIMIT, False), (ANOTHER, False)])
def test_a_group_of_errors_is_the_stop_that_it_holds(held: BaseException, overran: bool) -> None:
    """As asyncio.TaskGroup raises one when one of its tasks was stopped."""
    group = BaseExceptionGroup("of a group of tasks", [OSError("another"), BaseExceptionGroup("inner", [held])])  # noqa: F821

    assert errors.describe(group, [OVERRUN, LIMIT]).overran is overran


# How it reads


@pytest.mark.parametrize(("error", "told"), [
    (JobschedError("no such thing"), "no such thing"), (TimeLimitExceeded("over"), "over"),
])
def test_an_error_of_ours_is_its_sentence(error: BaseException, told: str) -> None:
    assert errors.describe(error).text == told


def test_an_error_reads_as_python_prints_it() -> None:
    error = caused(KeyError("k"), ValueError("no"))

    text = errors.describe(error).text

    assert text.startswith("KeyError: 'k'\n\nThe above exception was the direct cause of the following exception:\n\n"
                           "Traceback (most recent call last):\n  File \"")
    assert text.endswith("in caused\n    raise error from cause\nValueError: no\n")


def test_what_is_hidden_by_from_none_is_not_told() -> None:
    assert "KeyError" not in errors.describe(raised_while(KeyError("k"), ValueError("no"))).text


def test_of_a_long_line_of_causes_both_ends_are_told() -> None:
    error: BaseException = ValueError("number 0")
    for i in range(1, 100):
        error = caused(error, ValueError(f"number {i}"))

    text = errors.describe(error).text

    told = [i for i in range(100) if f"ValueError: number {i}\n" in text]
    assert told == [0, 1, 97, 98, 99]
    assert "(95 more errors, each of which led to the next, are left out.)" in text


def test_a_long_message_leaves_the_traceback_and_the_causes_their_room() -> None:
    error = caused(KeyError("c" * 100_000), ValueError("broken: " + "y" * 100_000))

    text = errors.describe(error).text

    assert len(text.encode()) <= ERROR_BYTES
    for part in ("KeyError: 'ccc", "ccc'\n", "in caused\n", "ValueError: broken: yyy"):
        assert part in text
    assert text.endswith("yyy\n")


@given(st.text(max_size=3_000), st.integers(100, 2_000))
def test_a_text_is_cut_to_so_many_bytes_between_characters(text: str, most: int) -> None:
    found = shorten(text, most)

    assert len(found.encode()) <= most
    assert "\0" not in found
    plain = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    if len(plain.encode()) <= most:
        assert found == plain
    else:
        head, _, tail = found.partition(f" [... the middle of {len(text):,} characters is left out ...] ")
        assert plain.startswith(head)
        assert plain.endswith(tail)
        assert min(len(head.encode()), len(tail.encode())) >= (most - 70) // 2 - 16


def test_a_type_has_the_name_of_its_module() -> None:
    assert [peeking.name(kind) for kind in (ValueError, JobschedError)] == [
        "ValueError", "jobsched.domain.JobschedError"]
