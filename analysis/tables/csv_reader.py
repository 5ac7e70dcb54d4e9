"""Reader of CSV files: any common delimiter, columns of text, and errors that name the row."""

import codecs
import csv
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow

from windtunnel.train.errors import InputError

DELIMITERS = ",;\t"
# The first bytes of other files that are named .csv, and how to fix each.
OTHER_FORMATS = {
    b"\x1f\x8b": "it is compressed: name it .csv.gz",
    b"PAR1": "it is a Parquet file: name it .parquet",
    b"PK\x03\x04": "it is a spreadsheet or archive: export it as CSV",
    b"\xff\xfe": "it is UTF-16: save it as UTF-8",
    b"\xfe\xff": "it is UTF-16: save it as UTF-8",
}
HEAD_BYTES = 65_536
MAX_SHOWN_CHARACTERS = 60


def read_csv(path: Path) -> pa.Table:
    """The columns of a CSV file with a header, as text. Raises InputError naming the first row that does not match the
    header, and UnicodeDecodeError if the file is not UTF-8.
    """
    head = _read_head(path)
    delimiter = _delimiter(head)
    names = next(csv.reader([_first_line(head)], delimiter=delimiter), [])
    # Arrow's own types would make numbers of 0x10 and of true and false.
    convert = arrow.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        table = arrow.read_csv(path, parse_options=arrow.ParseOptions(delimiter=delimiter), convert_options=convert)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: cannot be read as CSV: {_problem(path, delimiter, names, error)}") from None
    return table.rename_columns([name.strip() for name in table.column_names])


def _read_head(path: Path) -> bytes:
    with pa.input_stream(path) as file:  # decompresses by the file's suffix
        head: bytes = file.read(HEAD_BYTES)
    for magic, fix in OTHER_FORMATS.items():
        if head.startswith(magic):
            raise InputError(f"{path}: cannot be read as CSV: {fix}")
    if b"\0" in head:
        line = head[: head.index(b"\0")].count(b"\n") + 1
        raise InputError(f"{path}: cannot be read as CSV: line {line} holds a zero byte, so the file is not text")
    # Checked before Arrow reads the file: Arrow prints a traceback for a row that it cannot decode.
    codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    return head.removeprefix(b"\xef\xbb\xbf")


def _first_line(head: bytes) -> str:
    return re.split(r"\r\n|\r|\n", head.decode(errors="replace"), maxsplit=1)[0]


def _delimiter(head: bytes) -> str:
    """The delimiter that occurs most often in the header outside quotation marks."""
    unquoted = re.sub(r'"[^"]*"', "", _first_line(head))
    return max(DELIMITERS, key=unquoted.count)


def _problem(path: Path, delimiter: str, names: list[str], error: Exception) -> str:
    """The first row that does not match the header, else Arrow's message. The file is read again on one thread, where
    Arrow numbers rows.
    """
    problems: list[str] = []

    def describe(row: Any) -> str:
        number = "a row" if row.number is None else f"row {row.number - 1}"
        text = row.text if len(row.text) <= MAX_SHOWN_CHARACTERS else row.text[:MAX_SHOWN_CHARACTERS] + "..."
        header = delimiter.join(names)[:MAX_SHOWN_CHARACTERS]
        problems.append(
            f"{number} has {row.actual_columns} cells, the header {row.expected_columns} ({header!r}): {text!r}"
        )
        return "error"

    try:
        arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(use_threads=False),
            parse_options=arrow.ParseOptions(delimiter=delimiter, invalid_row_handler=describe),
        )
    except pa.ArrowInvalid as second_error:
        error = second_error
    return problems[0] if problems else str(error).splitlines()[0].replace("CSV parse error: ", "")
