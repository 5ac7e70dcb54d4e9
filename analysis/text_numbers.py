"""Which text is a number: one rule for the cells of files and for columns that held text until a row was left out.

Decimal digits, a point, an exponent, inf and nan are; hexadecimal, 1_000, 1,000 and true are not.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.arrow_columns import numpy_column

if TYPE_CHECKING:
    import pyarrow as pa

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
