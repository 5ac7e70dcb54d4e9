"""A CSV file, whatever its delimiter, as columns of text; what is wrong with it named by its row."""

import codecs
import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windtunnel.train.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = ",;\t"
# First bytes of files that are something else under the name of a CSV file, and the mend.
DISGUISES = {
    b"\x1f\x8b": "it is compressed: name it .csv.gz",
    b"PAR1": "it is a Parquet file: name it .parquet",
    b"PK\x03\x04": "it is a spreadsheet or archive: export it as CSV",
    b"\xff\xfe": "it is UTF-16: save it as UTF-8",
    b"\xfe\xff": "it is UTF-16: save it as UTF-8",
}
HEAD_BYTES = 65_536
SHOWN_CHARACTERS = 60


def read_csv(path: Path) -> "pa.Table":
    """The columns of a file with a header. Raises InputError, naming the row, where the file is not of one shape."""
    import pyarrow as pa
    import pyarrow.csv as arrow

    head = _head(path)
    delimiter = _delimiter(head)
    names = next(csv.reader([_first_line(head)], delimiter=delimiter), [])
    # Arrow's own guess of a column's type would take 0x10 for a number and a column of true and false for one too.
    convert = arrow.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        table = arrow.read_csv(path, parse_options=arrow.ParseOptions(delimiter=delimiter), convert_options=convert)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: cannot be read as CSV: {_fault(path, delimiter, names, error)}") from None
    return table.rename_columns([name.strip() for name in table.column_names])


def _head(path: Path) -> bytes:
    import pyarrow as pa

    with pa.input_stream(path) as file:  # decompressed, where the name says so
        head: bytes = file.read(HEAD_BYTES)
    for magic, mend in DISGUISES.items():
        if head.startswith(magic):
            raise InputError(f"{path}: cannot be read as CSV: {mend}")
    if b"\0" in head:
        line = head[: head.index(b"\0")].count(b"\n") + 1
        raise InputError(f"{path}: cannot be read as CSV: line {line} holds a zero byte, which no text does")
    # Refused before Arrow meets it: what it cannot show of a row it would print as a traceback of its own.
    codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    return head.removeprefix(b"\xef\xbb\xbf")


def _first_line(head: bytes) -> str:
    return re.split(r"\r\n|\r|\n", head.decode(errors="replace"), maxsplit=1)[0]


def _delimiter(head: bytes) -> str:
    """The one that the header has most of, names in quotation marks aside."""
    bare = re.sub(r'"[^"]*"', "", _first_line(head))
    return max(DELIMITERS, key=bare.count)


def _fault(path: Path, delimiter: str, names: list[str], error: Exception) -> str:
    """The first row that is not of the header's shape; Arrow counts rows only where it reads them one after another."""
    import pyarrow as pa
    import pyarrow.csv as arrow

    found: list[str] = []

    def note(row: Any) -> str:
        number = "a row" if row.number is None else f"row {row.number - 1}"
        shown = row.text if len(row.text) <= SHOWN_CHARACTERS else row.text[:SHOWN_CHARACTERS] + "..."
        header = delimiter.join(names)
        found.append(
            f"{number} has {row.actual_columns} cells, the header {row.expected_columns} "
            f"({header[:SHOWN_CHARACTERS]!r}): {shown!r}"
        )
        return "error"

    try:
        arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(use_threads=False),
            parse_options=arrow.ParseOptions(delimiter=delimiter, invalid_row_handler=note),
        )
    except pa.ArrowInvalid as again:
        error = again
    return found[0] if found else str(error).splitlines()[0].replace("CSV parse error: ", "")
