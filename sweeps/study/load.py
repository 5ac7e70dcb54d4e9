"""Reads study files, by path or by the name of a packaged study."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from windtunnel.sweeps.study.schema import Study
from windtunnel.sweeps.study.yaml_document import YamlDocument, parse_document, read_text
from windtunnel.train.errors import InputError

PACKAGE = "windtunnel.sweeps.studies"
EXPECTED = "a study is a mapping with title, family and targets; see the packaged study quickstart"


@dataclass(frozen=True)
class StudyFile(YamlDocument):
    """A study and the file that it was read from. `error_at` names the line of a mistake found later."""

    study: Study

    @property
    def name(self) -> str:
        return self.path.stem

    def __repr__(self) -> str:
        return f"StudyFile({str(self.path)!r}, title={self.study.title!r})"


def packaged_studies() -> list[str]:
    """The names of the studies that come with windtunnel."""
    return sorted(file.name.removesuffix(".yaml") for file in _package().iterdir() if file.name.endswith(".yaml"))


def load_study(name: str | Path) -> StudyFile:
    """The study in a file that ends in .yaml, or the packaged study of that name. Raises InputError with the line of a
    mistake.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in packaged_studies():
            raise InputError(
                f"{name}: no such study (there are: {', '.join(packaged_studies())}); or name a file that ends in .yaml"
            )
        path = _package() / f"{name}.yaml"
    return parse_study(read_text(path), path)


def parse_study(text: str, path: Path) -> StudyFile:
    """The study in a text; `path` is named in errors. Raises InputError with the line of a mistake."""
    document = parse_document(text, path, EXPECTED)
    return StudyFile(**vars(document), study=document.validate(Study))


def _package() -> Path:
    return Path(str(resources.files(PACKAGE)))
