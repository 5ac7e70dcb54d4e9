"""Reader of the files that W&B writes for an offline run."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WAIT_SECONDS = 30.0


def log_records(path: Path) -> Iterator[bytes]:
    """Entries of a W&B transaction log: the log format of LevelDB in blocks of 32 KiB, after a header of 7 bytes."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, parts = 7, b""
    while position + 7 <= len(data):
        remaining = 32768 - position % 32768
        if remaining < 7:  # no entry starts in the last bytes of a block
            position += remaining
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole entry, or the last part of one
            yield parts
            parts = b""


def offline_run(location: str) -> dict[str, Any]:
    """The stored content: `run`, `config`, `rows`, `summary`, `metrics`, `exit_code`, and `artifacts` by name."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:  # W&B writes the end of the file shortly after `finish` returns
        stored = _read(location)
        if "exit_code" in stored or time.monotonic() > deadline:
            return stored
        time.sleep(0.05)


def _read(location: str) -> dict[str, Any]:
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # start-up: wandb is slow to import

    stored: dict[str, Any] = {"config": {}, "rows": [], "summary": {}, "metrics": {}, "artifacts": {}}
    (path,) = Path(location).glob("run-*.wandb")
    for entry in log_records(path):
        record = Record()
        record.ParseFromString(entry)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            stored["run"] = record.run
            stored["config"].update({item.key: json.loads(item.value_json) for item in record.run.config.update})
        elif kind == "config":
            stored["config"].update({item.key: json.loads(item.value_json) for item in record.config.update})
        elif kind == "history":
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            stored["rows"].append(
                {name: value for name, value in row.items() if name not in ("_runtime", "_timestamp")}
            )
        elif kind == "summary":
            stored["summary"].update(
                {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.summary.update}
            )
        elif kind == "metric":
            stored["metrics"][record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "artifact":
            stored["artifacts"][record.artifact.name] = record.artifact
        elif kind == "exit":
            stored["exit_code"] = record.exit.exit_code
    return stored
