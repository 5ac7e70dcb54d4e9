"""JSON documents that carry the hash of their own content, so that any edit is detected.

The hash is sha256 over the canonical JSON (sorted keys, no spaces) of everything else in the document. A signed
document has it in its field `digest`. A sealed document has it in its field `sealed` and in its file name, and its file
is read-only: whoever changes a digit must change the name too.

Dataclasses become documents, and documents dataclasses, by their type annotations (pydantic). `NumberOrNull` and the
ends of `Interval` are annotations for numbers that are null in JSON where they are not finite.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

DIGEST, SEAL = "digest", "sealed"
SEAL_DIGITS_IN_NAME = 16
READ_ONLY = 0o444

Document = TypeVar("Document")


def finite_or_none(value: float) -> float | None:
    """The number as JSON has it."""
    return float(value) if math.isfinite(value) else None


def _null_is(missing: float) -> BeforeValidator:
    return BeforeValidator(lambda value: missing if value is None else value)


NumberOrNull = Annotated[float, _null_is(math.nan), PlainSerializer(finite_or_none)]
Interval = tuple[
    Annotated[float, _null_is(-math.inf), PlainSerializer(finite_or_none)],
    Annotated[float, _null_is(math.inf), PlainSerializer(finite_or_none)],
]
JsonArray = Annotated[
    NDArray[np.float64],
    PlainValidator(lambda values: np.array(values, dtype=np.float64)),
    PlainSerializer(lambda array: array.tolist()),
]


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:  # building one takes milliseconds
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_document(value: Any) -> dict[str, Any]:
    """A dataclass as JSON, fields in their order."""
    document: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json", by_alias=True)
    return document


def from_document(kind: type[Document], content: Mapping[str, Any]) -> Document:
    """The dataclass of a document; unknown fields are ignored. Raises ValueError, one line, where it does not fit."""
    try:
        document: Document = _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return document


def digest_of(content: Mapping[str, Any], signature: str = DIGEST) -> str:
    """The hash of a document without its field `signature`. Raises ValueError for numbers that JSON does not have."""
    body = {name: value for name, value in content.items() if name != signature}
    return sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def write_signed(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a document with its digest."""
    signed = {**content, DIGEST: digest_of(content)}
    write_atomically(Path(path), (json.dumps(signed, indent=1, allow_nan=False) + "\n").encode())


def read_signed(path: Path, kind: str, made_by: str) -> dict[str, Any]:
    """A signed document, its digest checked. `kind` ("a fit") and `made_by` are for messages. Raises InputError."""
    content = read_json(path, made_by)
    if DIGEST not in content:
        raise not_a(kind, path, made_by)
    if digest_of(content) != content[DIGEST]:
        raise InputError(f"{path}: changed after it was written (its content has another digest); fit again")
    return content


def sealed_stem(prefix: str, name: str) -> str:
    """How the names of sealed files of a law start."""
    return f"{prefix}-{''.join(letter if letter.isalnum() else '-' for letter in name)}"


def write_sealed(folder: Path, stem: str, content: Mapping[str, Any]) -> Path:
    """Writes a document under its seal and returns the path; the file is on disk when this returns."""
    seal = digest_of(content, SEAL)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{seal[:SEAL_DIGITS_IN_NAME]}.json"
    if not path.exists():
        text = json.dumps({**content, SEAL: seal}, sort_keys=True, indent=1, allow_nan=False) + "\n"
        write_atomically(path, text.encode())
        path.chmod(READ_ONLY)
        _persist_directory(folder)
    return path


def read_sealed(path: Path, kind: str, made_by: str) -> dict[str, Any]:
    """A sealed document, checked against its seal and its name. `kind` ("a prediction") and `made_by` are for messages.
    Raises InputError.
    """
    content = read_json(path, made_by)
    if SEAL not in content:
        raise not_a(kind, path, made_by)
    seal = content[SEAL]
    if seal is None:
        raise InputError(f"{path}: never sealed; only predictions that were sealed before training can be scored")
    if digest_of(content, SEAL) != seal:
        raise InputError(f"{path}: changed after it was sealed (its content has another hash); restore the original")
    if seal[:SEAL_DIGITS_IN_NAME] not in Path(path).name:
        raise InputError(f"{path}: its name lacks the seal {seal[:SEAL_DIGITS_IN_NAME]}; restore the original name")
    return content


def read_json(path: Path, made_by: str) -> dict[str, Any]:
    """The object in a file, {} where the file holds no object. `made_by`: what writes such files, for messages.

    Raises InputError where the file cannot be read, is not JSON, or has a duplicate key: readers would see different
    documents.
    """
    hint = f"name a file written by {made_by}"
    try:
        content = json.loads(Path(path).read_bytes(), object_pairs_hook=_unique_keys, parse_constant=_reject_constant)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {hint}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {hint}") from None
    except _DuplicateKeyError as error:
        raise InputError(f"{path}: duplicate key {error}; restore the original") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not JSON; {hint}") from None
    return content if isinstance(content, dict) else {}


@contextmanager
def parsing(path: Path, kind: str, made_by: str) -> Iterator[None]:
    """Turns the errors of reading a document into one InputError that names the file and what writes such files."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise not_a(kind, path, made_by, f" ({error!s:.80})") from None


def not_a(kind: str, path: Path, made_by: str, reason: str = "") -> InputError:
    return InputError(f"{path}: not {kind}{reason}; name a file written by {made_by}")


class _DuplicateKeyError(ValueError):
    pass


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise _DuplicateKeyError(repr(key))
        content[key] = value
    return content


def _persist_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
