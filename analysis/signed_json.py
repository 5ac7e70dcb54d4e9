"""JSON documents that carry the hash of their own content, so that an edit of any field is found.

The hash is sha256 over the canonical JSON of everything else in the document: sorted keys, no spaces.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windtunnel.train.errors import InputError


def digest_of(content: Mapping[str, Any], signature: str) -> str:
    """The hash of a document without its field `signature`. Raises ValueError for numbers that JSON does not have."""
    body = {name: value for name, value in content.items() if name != signature}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def read_json(path: Path, made_by: str) -> dict[str, Any]:
    """The object in a file. A key that stands twice is refused: readers would see different documents. Raises
    InputError, which says what writes such a file.
    """
    mend = f"name a file written by {made_by}"
    try:
        content = json.loads(Path(path).read_bytes(), object_pairs_hook=_once)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {mend}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {mend}") from None
    except _TwiceError as error:
        raise InputError(f"{path}: the key {error} stands twice in it; restore the original") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not JSON; {mend}") from None
    return content if isinstance(content, dict) else {}


class _TwiceError(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(key)
        found[key] = value
    return found
