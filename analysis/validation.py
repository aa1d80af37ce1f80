"""Raw cells into typed columns: every cell that breaks the contract is named by file, row and column."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.contract import Column
from analysis.errors import MalformedRowError, MalformedTableError, listed
from analysis.inputs import RawTable

Cells = NDArray[np.object_]
Mask = NDArray[np.bool_]

_TRUE = frozenset({"true", "t", "1"})
_FALSE = frozenset({"false", "f", "0"})
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def typed_table(
    raw: RawTable, columns: tuple[Column, ...], defaults: dict[str, Any], no_rows: str = "holds no rows"
) -> pd.DataFrame:
    """The contract's columns in the contract's order, typed; other columns are passed over.

    A column that is absent takes its value from `defaults`, else it is empty; `no_rows` says what it means
    that there are none. Text is `str` or None, integers and numbers are float64 with NaN for empty, booleans
    are bool. Raises MalformedTableError and MalformedRowError.
    """
    lacking = [column.name for column in columns if column.needed and column.name not in raw.frame.columns]
    if lacking:
        raise MalformedTableError(raw.name, f"lacks the column {listed(lacking)}")
    if raw.frame.empty:
        raise MalformedTableError(raw.name, no_rows)
    typed: dict[str, Any] = {}
    for column in columns:
        if column.name in raw.frame.columns:
            typed[column.name] = _typed(raw, column)
        else:
            typed[column.name] = _absent(column, defaults.get(column.name), len(raw.frame))
    return pd.DataFrame(typed, index=raw.frame.index)


def refuse_rows(raw: RawTable, column: str, bad: Mask, why: Callable[[int], str]) -> None:
    """Raises MalformedRowError for the first bad row; `why` gets its position."""
    positions = np.flatnonzero(bad)
    if len(positions):
        first = int(positions[0])
        row = raw.row(raw.frame.index[first])
        raise MalformedRowError(raw.name, row, column, why(first), others=len(positions) - 1)


def _absent(column: Column, default: Any, rows: int) -> Any:
    if column.kind in ("integer", "number"):
        return np.full(rows, np.nan if default is None else float(default))
    if column.kind == "boolean":
        return np.full(rows, bool(default))
    return np.full(rows, default, dtype=object)


def _typed(raw: RawTable, column: Column) -> Any:
    cells: Cells = raw.frame[column.name].to_numpy(dtype=object)
    empty: Mask = np.asarray(pd.isna(cells), dtype=bool) | (cells == "")
    if not column.nullable:
        refuse_rows(raw, column.name, empty, lambda _: "is empty")
    parse = {"text": _text, "integer": _number, "number": _number, "boolean": _boolean, "time": _time}[
        column.kind
    ]
    values = parse(raw, column, cells, empty)
    if column.allowed:
        allowed = np.isin(values, np.array(column.allowed, dtype=values.dtype)) | empty
        choices = ", ".join(str(value) for value in column.allowed)
        refuse_rows(raw, column.name, ~allowed, lambda i: f"{_said(cells[i])} is not one of {choices}")
    return values


def _said(cell: object) -> str:
    text = str(cell)
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _text(raw: RawTable, column: Column, cells: Cells, empty: Mask) -> Cells:
    values = cells.copy()
    values[empty] = None
    # Names written as numbers, as in rater 12, stay names; anything else in a text column is a mistake.
    for i in np.flatnonzero(~empty & np.fromiter((type(c) is not str for c in cells), bool, len(cells))):
        whole = isinstance(values[i], int | np.integer) and not isinstance(values[i], bool)
        if whole or isinstance(values[i], UUID):
            values[i] = str(values[i])
        else:
            only = np.arange(len(cells)) == i
            refuse_rows(raw, column.name, only, lambda j: f"{_said(cells[j])} is not text")
    if column.needed or column.name == "study":
        # These names are printed in one line, in LaTeX and in SVG, where such a character breaks the output.
        broken = np.fromiter(
            (v is not None and _UNPRINTED.search(v) is not None for v in values), bool, len(values)
        )
        refuse_rows(
            raw, column.name, broken, lambda i: f"{_said(cells[i])} holds a line break or a control character"
        )
    padded = np.fromiter((v is not None and v != v.strip() for v in values), bool, len(values))
    refuse_rows(raw, column.name, padded, lambda i: f"{_said(cells[i])} begins or ends with a space")
    return values


def _number(raw: RawTable, column: Column, cells: Cells, empty: Mask) -> NDArray[np.float64]:
    kind = "a whole number" if column.kind == "integer" else "a number"
    flags = np.fromiter((isinstance(c, (bool, np.bool_)) for c in cells), bool, len(cells))
    values = pd.to_numeric(_filled(cells, empty), errors="coerce")
    numbers = np.array(values.to_numpy(dtype=float, na_value=np.nan))
    bad = ~empty & (flags | ~np.isfinite(numbers))
    refuse_rows(raw, column.name, bad, lambda i: f"{_said(cells[i])} is not {kind}")
    if column.kind == "integer":
        refuse_rows(
            raw, column.name, ~empty & (numbers % 1 != 0), lambda i: f"{_said(cells[i])} is not {kind}"
        )
    if column.positive:
        refuse_rows(
            raw, column.name, ~empty & (numbers <= 0), lambda i: f"{_said(cells[i])} is not above zero"
        )
    if column.minimum is not None:
        least = column.minimum
        refuse_rows(
            raw, column.name, ~empty & (numbers < least), lambda i: f"{_said(cells[i])} is below {least:g}"
        )
    numbers[empty] = np.nan
    return numbers


def _filled(cells: Cells, empty: Mask) -> pd.Series[Any]:
    filled = cells.copy()
    filled[empty] = None
    return pd.Series(filled, dtype=object)


def _boolean(raw: RawTable, column: Column, cells: Cells, empty: Mask) -> Mask:
    words = np.fromiter((str(c).strip().lower() for c in cells), object, len(cells))
    true = np.fromiter((w in _TRUE for w in words), bool, len(words))
    false = np.fromiter((w in _FALSE for w in words), bool, len(words))
    refuse_rows(
        raw, column.name, ~(true | false | empty), lambda i: f"{_said(cells[i])} is not true or false"
    )
    return true


def _time(raw: RawTable, column: Column, cells: Cells, empty: Mask) -> Cells:
    text = _filled(cells, empty).map(lambda c: None if c is None else str(c))
    moments = pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601")
    bad = np.asarray(moments.isna()) & ~empty
    refuse_rows(
        raw, column.name, bad, lambda i: f"{_said(cells[i])} is not a time such as 2026-01-31T12:00:00Z"
    )
    values = np.full(len(cells), None, dtype=object)
    for i in np.flatnonzero(~empty):
        values[i] = moments.iloc[i].isoformat()
    return values
