"""Validates a request against a schema: returns its values, or a list of all faults."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args

from flask import request
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from jobsched.domain import FieldError, Invalid
from jobsched.web.http.body import MOST_INTEGER, Body, Malformed, parse

M = TypeVar("M", bound=BaseModel)

#: The most objects of a list: one transaction writes them all, and SQLite's other writers wait for it.
MOST_ITEMS = 50_000

#: What stands for a faulty value that is required: nothing that is there.
_STAND_INS: Mapping[Any, Any] = {int: MOST_INTEGER, str: "-"}

_SAY = {
    "missing": "is required",
    "extra_forbidden": "unknown field",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "string_too_short": "must not be empty",
}


def every(schema: type[M], body: Body) -> tuple[dict[str, M], list[FieldError]]:
    """The body's one object, or each of its list, by its JSON pointer; and every fault.

    What is right of a faulty object is there as well, with stand-ins for the rest.

    Raises Invalid when the body is neither an object nor a list of some.
    """
    if isinstance(body.value, dict):
        return _each(schema, {"": body.value}, body.is_form)
    if not isinstance(body.value, list) or not body.value:
        raise Invalid([FieldError("", "must be an object, or a list of at least one")])
    if len(body.value) > MOST_ITEMS:
        raise Invalid([FieldError("", f"must hold at most {MOST_ITEMS} objects; got {len(body.value)}")])
    try:
        items = _list_of(schema).validate_python(body.value)
    except ValidationError:
        return _each(schema, {f"/{i}": item for i, item in enumerate(body.value)}, body.is_form)
    return {f"/{i}": item for i, item in enumerate(items)}, []


def one(
    schema: type[M], body: Body, onto: Mapping[str, Any] | None = None
) -> tuple[dict[str, M], list[FieldError]]:
    """As :func:`every`, for one object, laid over the values ``onto`` when they are given."""
    value = body.value
    if not isinstance(value, dict):
        raise Invalid([FieldError("", "must be an object")])
    if onto is not None:
        value = {name: old for name, old in onto.items() if name not in _spelt_out(schema, value)} | value
    return _each(schema, {"": value}, body.is_form)


def query(schema: type[M]) -> M:
    """The request's query. Raises Invalid; a parameter that is not known, or comes twice, is a fault."""
    values: dict[str, str] = {}
    errors: list[FieldError] = []
    for name, given in request.args.lists():
        if len(given) > 1:
            errors.append(FieldError(f"?{name}", "must be given once"))
        if given[0] != "":
            values[name] = given[0]
    try:
        asked = schema.model_validate(values)
    except ValidationError as error:
        errors += [FieldError(f"?{fault.pointer[1:]}", fault.detail) for fault in faults("", error)]
    if errors:
        raise Invalid(errors)
    return asked


def faults(pointer: str, error: ValidationError) -> list[FieldError]:
    """Pydantic's findings about the value at ``pointer``."""
    return [
        FieldError(pointer + "".join(f"/{_escape(part)}" for part in found["loc"]), _say(found))
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _each(schema: type[M], values: Mapping[str, Any], is_form: bool) -> tuple[dict[str, M], list[FieldError]]:
    found: dict[str, M] = {}
    errors: list[FieldError] = []
    for pointer, value in values.items():
        item, wrong = _item(schema, pointer, value, is_form)
        errors += wrong
        if item is not None:
            found[pointer] = item
    return found, errors


def _item(schema: type[M], pointer: str, value: Any, is_form: bool) -> tuple[M | None, list[FieldError]]:
    errors: list[FieldError] = []
    if is_form:
        value, errors = _read_form(schema, value)
    strict = False if is_form else None
    try:
        return schema.model_validate(value, strict=strict), errors
    except ValidationError as error:
        return _rest(schema, value, strict, error), errors + faults(pointer, error)


def _rest(schema: type[M], value: Any, strict: bool | None, error: ValidationError) -> M | None:
    """What is right of a faulty object, with stand-ins for the rest: so that it can be looked at further."""
    wrong = {found["loc"][0] for found in error.errors() if found["loc"]}
    if not isinstance(value, dict) or not wrong:
        return None
    right = {name: item for name, item in value.items() if name not in wrong}
    stand_ins = {name: _STAND_INS.get(field.annotation) for name, field in schema.model_fields.items()
                 if name in wrong and field.is_required()}
    try:
        return schema.model_validate(stand_ins | right, strict=strict)
    except ValidationError:
        return None


def _read_form(schema: type[BaseModel], form: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldError]]:
    """A form's strings as values, and what is wrong with those that should be JSON.

    An empty one is an empty text, or nothing where no text belongs.
    """
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, text in form.items():
        field = schema.model_fields.get(name)
        if text == "" and field is not None and not _is_text(field):
            if NoneType in get_args(field.annotation):
                values[name] = None
        elif field is not None and _is_json(field) and isinstance(text, str):
            try:
                values[name] = parse(text)
            except Malformed as error:
                errors.append(FieldError(f"/{name}", str(error)))
        else:
            values[name] = text
    return values, errors


def _is_text(field: FieldInfo) -> bool:
    return field.annotation is str


def _is_json(field: FieldInfo) -> bool:
    return str(field.annotation).startswith("dict")


def _spelt_out(schema: type[BaseModel], value: Mapping[str, Any]) -> set[str]:
    """The fields that ``value`` sets, under whatever spelling."""
    return {
        name for name, field in schema.model_fields.items()
        if name in value or any(alias in value for alias in getattr(field.validation_alias, "choices", ()))
    }


@cache
def _list_of(schema: type[M]) -> TypeAdapter[list[M]]:
    return TypeAdapter(list[schema])  # type: ignore[valid-type]


def _say(found: Any) -> str:
    if sentence := _SAY.get(found["type"]):
        return sentence
    message: str = found["msg"]
    message = message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
    return message.replace("should have", "must have", 1).removeprefix("String ")


def _escape(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
