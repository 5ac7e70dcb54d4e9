"""What a study leaves behind, small enough to commit: its file, table, fits, sealed predictions, scores and report."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.analysis.report.write import CURVES_PAGE, PAGE
from windtunnel.analysis.tables.table import OUTCOME
from windtunnel.sweeps.execution.file_lock import held
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

LOCK = ".lock"


@dataclass(frozen=True)
class OutcomeFolder:
    """Where each part lies below `path`."""

    path: Path

    @property
    def study(self) -> Path:
        return self.path / "study.yaml"

    @property
    def table(self) -> Path:
        return self.path / OUTCOME

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
        """Beside the report, of a study that fits final losses too."""
        return self.report / CURVES_PAGE

    def fit(self, law: str) -> Path:
        return self.path / "fits" / f"{file_stem(law)}.json"

    def curve_fit(self, law: str) -> Path:
        return self.path / "curve-fits" / f"{file_stem(law)}.json"

    def document(self, name: str) -> Path:
        return self.path / f"{name}.json"

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        write_json(self.document(name), content)

    @contextmanager
    def alone(self, patience_seconds: float = 0.0) -> Iterator[None]:
        """The only process that works on this outcome. Raises InputError where another still does after so long, or the
        folder cannot be made.
        """
        self.make()
        busy = (
            f"{self.path}: another process works on this study: wait until it has ended, then repeat; nothing is lost"
        )
        with held(self.path / LOCK, patience_seconds, busy):
            yield

    def make(self) -> None:
        """Raises InputError where the folder cannot be made."""
        try:
            for folder in (self.path, self.path / "fits", self.predictions):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be made ({error.strerror}); name another folder with --results"
            ) from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def file_stem(law: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in law)
