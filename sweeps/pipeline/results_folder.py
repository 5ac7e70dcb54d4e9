"""The results folder of a study: study file, run table, fits, sealed predictions, scores and report, small enough to
commit.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.report.files import CURVES_PAGE, PAGE
from windtunnel.analysis.tables.load import TABLE_FILE
from windtunnel.sweeps.execution.file_lock import exclusive_lock
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

LOCK = ".lock"


@dataclass(frozen=True)
class ResultsFolder:
    """Paths of all files below `path`."""

    path: Path

    @property
    def study(self) -> Path:
        return self.path / "study.yaml"

    @property
    def table(self) -> Path:
        return self.path / TABLE_FILE

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def curve_predictions(self) -> Path:
        return self.path / "curve-predictions"

    @property
    def has_sealed(self) -> bool:
        return any(self.predictions.glob("*.json")) or any(self.curve_predictions.glob("*.json"))

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def report_page(self) -> Path:
        return self.report / PAGE

    @property
    def curves_page(self) -> Path:
        """The second page of a study that fits both final losses and curves."""
        return self.report / CURVES_PAGE

    def fit(self, law: str) -> Path:
        return self.path / "fits" / f"{file_stem(law)}.json"

    def curve_fit(self, law: str) -> Path:
        return self.path / "curve-fits" / f"{file_stem(law)}.json"

    def document(self, name: str) -> Path:
        """The JSON file of that name, such as `scores`."""
        return self.path / f"{name}.json"

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write `content` as the JSON file of that name."""
        write_json(self.document(name), content)

    @contextmanager
    def lock(self, timeout_seconds: float = 0.0) -> Iterator[None]:
        """Exclude other processes from this folder, which is created. Raises InputError where another process holds
        the lock for longer than `timeout_seconds`, or the folder cannot be created.
        """
        self.create()
        busy = f"{self.path}: another process is running this study; repeat the command when it has ended"
        with exclusive_lock(self.path / LOCK, timeout_seconds, busy):
            yield

    def create(self) -> None:
        """Raises InputError where the folder cannot be created."""
        try:
            for folder in (self.path, self.path / "fits", self.predictions):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be created ({error.strerror}); choose another folder with results=..."
            ) from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def file_stem(law: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in law)
