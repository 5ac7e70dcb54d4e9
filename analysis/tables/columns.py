"""Columns as NumPy arrays: converted from Arrow, and parsed from text by one rule for what is a number.

Decimal digits with or without a point and an exponent, `inf` and `nan` are numbers; `0x10`, `1_000`, `1,000` and `true`
are text.

Legend: P rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray
from pyarrow import types

Array = NDArray[np.float64]
Columns = Mapping[str, Array]  # each (P,), natural units: N parameters, D tokens, C FLOPs, M tokens per parameter, ...
# What people and programs write where there is no value, in lower case.
MISSING = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>")
TEXT_TYPES = ("string", "large_string", "string_view")


def arrow_to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """An Arrow column as float64 (P,), NaN where a value is missing, or as str (P,), "" where a value is missing.
    Booleans become the text `true` and `false`. Arrow's own conversion would load pandas, which takes half a second.
    """
    kind = column.type
    if types.is_null(kind):
        return np.full(len(column), np.nan)
    if types.is_floating(kind) or types.is_integer(kind):
        parts = [_numbers(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.zeros(0)
    if types.is_decimal(kind):
        return _float_array(column.to_pylist())
    text = np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=np.str_)
    return np.char.lower(text) if types.is_boolean(kind) else text


def parse_arrow_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """An Arrow column of text as float64, null where a value is missing. A column of another type, or with a cell that
    is not a number, is returned as it is.
    """
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if str(column.type) not in TEXT_TYPES:
        return column
    trimmed = compute.utf8_trim_whitespace(column.cast(pa.string()))
    missing = compute.is_in(compute.utf8_lower(trimmed), value_set=_arrow_strings(MISSING))
    try:
        return compute.cast(compute.if_else(missing, pa.nulls(1, pa.string())[0], trimmed), pa.float64())
    except pa.ArrowInvalid:
        return column


def parse_numbers(values: NDArray[np.str_]) -> Array | None:
    """Text (P,) as numbers, NaN where a value is missing; None if a cell is not a number."""
    numbers = arrow_to_numpy(parse_arrow_text(pa.chunked_array([_arrow_strings(values.tolist())])))
    return numbers if numbers.dtype.kind == "f" else None


def is_number(text: str) -> bool:
    return parse_numbers(np.array([text])) is not None


def _arrow_strings(values: Sequence[str]) -> pa.Array:
    """`pa.array` would load pandas, which takes half a second."""
    data = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, data)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(data), pa.py_buffer(offsets), pa.py_buffer(b"".join(data)))


def _numbers(chunk: pa.Array) -> Array:
    if chunk.null_count or not len(chunk):
        return _float_array(chunk.to_pylist())
    return np.array(np.from_dlpack(chunk), dtype=np.float64)


def _float_array(values: list[Any]) -> Array:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
