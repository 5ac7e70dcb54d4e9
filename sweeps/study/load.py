"""Reads a study file. A mistake is one line that names the file, its line, and the mend."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from windtunnel.sweeps.study.schema import Study
from windtunnel.sweeps.study.yaml_document import Place, line_of, parse_document, read_text
from windtunnel.train.errors import InputError

PACKAGED = "windtunnel.sweeps.studies"
EXPECTED = "a study is a mapping with title, family and targets; see windtunnel sweep plan --help"


@dataclass(frozen=True)
class StudyFile:
    """A study with where it was read, so that what turns out wrong later can be placed too."""

    name: str
    path: Path
    text: str
    study: Study
    root: yaml.Node

    def fault(self, place: Place, message: str) -> InputError:
        """The error of something wrong at a place such as ("family", 0, "grid", "size")."""
        return InputError(f"{self.path}:{line_of(self.root, place)}: {message}")


def named_studies() -> list[str]:
    """The studies that come with windtunnel."""
    return sorted(file.name.removesuffix(".yaml") for file in _packaged().iterdir() if file.name.endswith(".yaml"))


def load_study(name: str) -> StudyFile:
    """The study of that file, or of that name among those that come with windtunnel. Raises InputError."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in named_studies():
            raise InputError(
                f"{name}: no such study (there are: {', '.join(named_studies())}); or name a file that ends in .yaml"
            )
        path = _packaged() / f"{name}.yaml"
    return parse_study(read_text(path), path)


def parse_study(text: str, path: Path) -> StudyFile:
    """The study in a text. Raises InputError naming the line."""
    document = parse_document(text, path, EXPECTED)
    return StudyFile(path.stem, path, text, document.typed(Study), document.root)


def _packaged() -> Path:
    return Path(str(resources.files(PACKAGED)))
