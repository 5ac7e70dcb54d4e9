"""Arrow columns as NumPy arrays, without loading pandas, which Arrow's own conversion does at half a second."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


def numpy_column(column: Any) -> NDArray[Any]:
    """A column of an Arrow table as (P,) float64 with NaN for what is missing, or str with "". True and false
    are no numbers."""
    from pyarrow import types

    kind = column.type
    if types.is_null(kind):
        return np.full(len(column), np.nan)
    if types.is_floating(kind) or types.is_integer(kind):
        parts = [_numbers(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.zeros(0)
    if types.is_decimal(kind):
        return _from_list(column.to_pylist())
    if types.is_boolean(kind):  # as a CSV file writes them
        return np.array(
            [{None: "", True: "true", False: "false"}[value] for value in column.to_pylist()], dtype=np.str_
        )
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=np.str_)


def _numbers(chunk: Any) -> NDArray[np.float64]:
    if chunk.null_count or not len(chunk):
        return _from_list(chunk.to_pylist())
    return np.array(np.from_dlpack(chunk), dtype=np.float64)


def _from_list(values: list[Any]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


# What people and programs write where there is no value, in lower case.
MISSING = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>")


def column_of_text(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """An Arrow column of text as one of numbers, null where there is none; as it is where a cell is no number."""
    import pyarrow as pa
    import pyarrow.compute as compute

    trimmed = compute.utf8_trim_whitespace(column)
    missing = compute.is_in(compute.utf8_lower(trimmed), value_set=pa.array(MISSING))
    try:
        return compute.cast(compute.if_else(missing, pa.scalar(None, pa.string()), trimmed), pa.float64())
    except pa.ArrowInvalid:
        return column


def numbers_of_text(values: NDArray[np.str_]) -> NDArray[np.float64] | None:
    """Text (P,) as numbers, NaN where there is none; None where a cell is no number."""
    import pyarrow as pa

    found = numpy_column(column_of_text(pa.chunked_array([pa.array(values.tolist(), pa.string())])))
    return found if found.dtype.kind == "f" else None


def is_number(text: str) -> bool:
    return numbers_of_text(np.array([text])) is not None
