"""What `--json PATH` means in every verb: the document in that file, or on standard output in place of the table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.errors import InputError
from train.records import write_atomically


def write_document(document: Mapping[str, Any], path: str | None) -> bool:
    """Writes the document where it was asked for. True where that was standard output: nothing else belongs there."""
    if path is None:
        return False
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    if path == "-":
        print(text, end="")
        return True
    try:
        write_atomically(Path(path), text.encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    return False
