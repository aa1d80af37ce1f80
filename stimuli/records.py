"""JSON to frozen dataclasses and back, with one line for the first thing that does not fit."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


class RecordError(ValueError):
    """A value that does not fit its field; `where` is the way to it, as `stimuli[3].bpp`."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where} {reason}" if where else reason)


def record_from_json(kind: type[Record], value: object, where: str = "") -> Record:
    """Build the dataclass `kind` from a JSON object that has exactly its fields.

    Fields may be text, whole numbers, finite numbers, booleans, null where the type says so, tuples
    (JSON lists), mappings from text and further dataclasses. Raises RecordError.
    """
    if not isinstance(value, dict):
        raise RecordError(where, f"must be an object, got {_say(value)}")
    hints = _hints(kind)  # type: ignore[arg-type]
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in names:
        if name not in value:
            raise RecordError(_join(where, name), "is missing")
    for name in value:
        if name not in hints:
            raise RecordError(_join(where, str(name)), "is not a known field")
    return kind(**{name: _fit(hints[name], value[name], _join(where, name)) for name in names})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def record_to_json(record: object) -> Any:
    """The plain JSON value of a dataclass: its fields by name, tuples as lists."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {
            field.name: record_to_json(getattr(record, field.name)) for field in dataclasses.fields(record)
        }
    if isinstance(record, (tuple, list)):
        return [record_to_json(item) for item in record]
    if isinstance(record, Mapping):
        return {key: record_to_json(item) for key, item in record.items()}
    return record


def _fit(hint: Any, value: object, where: str) -> Any:
    origin = get_origin(hint)
    if hint is object or hint is Any:
        return value
    if origin in (Union, types.UnionType):
        choices = get_args(hint)
        if value is None and type(None) in choices:
            return None
        kinds = [choice for choice in choices if choice is not type(None)]
        return _fit(kinds[0], value, where)
    if origin is tuple:
        return _fit_tuple(get_args(hint), value, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise RecordError(where, f"must be an object, got {_say(value)}")
        inner = get_args(hint)[1]
        return {str(key): _fit(inner, item, _join(where, str(key))) for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return record_from_json(hint, value, where)  # type: ignore[arg-type]
    return _fit_plain(hint, value, where)


def _fit_tuple(kinds: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise RecordError(where, f"must be a list, got {_say(value)}")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise RecordError(where, f"must have {len(kinds)} items, got {len(value)}")
    return tuple(
        _fit(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _fit_plain(kind: Any, value: object, where: str) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise RecordError(where, f"must be true or false, got {_say(value)}")
    if kind is str:
        if isinstance(value, str):
            return value
        raise RecordError(where, f"must be text, got {_say(value)}")
    if kind is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise RecordError(where, f"must be a whole number, got {_say(value)}")
    if kind is float:
        if is_number(value):
            return float(value)  # type: ignore[arg-type]
        raise RecordError(where, f"must be a finite number, got {_say(value)}")
    raise TypeError(f"{where}: no reader for fields of type {kind!r}")


def is_number(value: object) -> bool:
    """Whether a value of JSON or TOML is a finite number that a float can hold."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _say(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
