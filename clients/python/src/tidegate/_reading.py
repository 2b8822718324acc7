"""Makes models of what the API answers. An answer that lacks what it must have raises ``ValueError``."""

from __future__ import annotations

import base64
import dataclasses
import types
from collections.abc import Hashable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from tidegate._values import read_moment
from tidegate.errors import ProblemError, problem_error

T = TypeVar("T")


def read(kind: type[T], data: object) -> T:
    """Reads one object."""
    if not isinstance(data, Mapping):
        raise ValueError(f"an object was expected for {kind.__name__}, found {type(data).__name__}")
    given = _with_bytes(data)
    fields: dict[str, Any] = {}
    for name, hint, has_default in _fields(cast(Hashable, kind)):
        if name == "raw":
            fields[name] = data
        elif name in given:
            fields[name] = _value(hint, given[name], f"{kind.__name__}.{name}")
        elif not has_default:
            raise ValueError(f"{kind.__name__} lacks {name}")
    return kind(**fields)


@cache
def _fields(kind: Any) -> list[tuple[str, Any, bool]]:
    hints = get_type_hints(kind)
    missing = dataclasses.MISSING
    return [
        (it.name, hints[it.name], it.default is not missing or it.default_factory is not missing)
        for it in dataclasses.fields(kind)
    ]


def _with_bytes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes take the place of their base64."""
    given = dict(data)
    for name in ("payload", "body"):
        encoded = given.pop(f"{name}_base64", None)
        if isinstance(encoded, str):
            given[name] = base64.b64decode(encoded)
    return given


def _value(hint: Any, value: object, where: str) -> Any:
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _of_union(get_args(hint), value, where)
    if origin is list and isinstance(value, list):
        return [_value(get_args(hint)[0], each, where) for each in value]
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _value(get_args(hint)[1], each, where) for key, each in value.items()}
    # A later Tidegate may know more words than this package.
    if origin is Literal and isinstance(value, str):
        return value
    if hint is datetime and isinstance(value, str):
        return read_moment(value)
    if hint is ProblemError and isinstance(value, Mapping):
        status = value.get("status")
        return problem_error(status if isinstance(status, int) else 0, value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value)
    is_bool = isinstance(value, bool)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not is_bool):
        return value
    raise ValueError(f"{where} is {type(value).__name__}, which was not expected")


def _of_union(hints: tuple[Any, ...], value: object, where: str) -> Any:
    for hint in hints:
        if hint is not type(None):
            try:
                return _value(hint, value, where)
            except ValueError as error:
                fault = error
    raise fault
