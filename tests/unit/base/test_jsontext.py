"""JSON that every parser accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobsched.base.jsontext import dumps


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e308 * 10])
@pytest.mark.parametrize("indent", [None, 1])
def test_what_json_has_no_number_for_is_null(value: float, indent: int | None) -> None:
    data = {"a": [value, 1.5, {"b": (value,)}], "c": value, "d": "NaN"}
    read = json.loads(dumps(data, indent=indent), parse_constant=refuse)
    assert read == {"a": [None, 1.5, {"b": [None]}], "c": None, "d": "NaN"}


def test_what_is_finite_is_compact_and_ascii() -> None:
    assert dumps({"a": [1, 2.5, None, True, "\u00e9\ud800"]}) == '{"a":[1,2.5,null,true,"\\u00e9\\ud800"]}'


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_what_json_can_not_hold_is_an_error(value: Any) -> None:
    with pytest.raises(TypeError):
        dumps(value)
