"""The Python examples of the READMEs run as they are printed, and the files that the READMEs name exist."""

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

READMES = sorted(path for path in ROOT.glob("**/README.md") if ".venv" not in path.parts and "build" not in path.parts)
EXAMPLES = [
    (path, number, code)
    for path in (ROOT / "README.md", ROOT / "analysis" / "README.md")
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]
FOLDERS = ("windtunnel", "configs", "models", "train", "analysis", "sweeps", "tests")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "code"),
    [pytest.param(path, code, id=f"{path.relative_to(ROOT)}-{number}") for path, number, code in EXAMPLES],
)
def test_examples_run(path: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    exec(compile(code, f"{path.name}", "exec"), {})


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", [*READMES, ROOT / "CONTRIBUTING.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(path: Path) -> None:
    """A word in backticks that ends in .py or in / is a path: below the README's folder, or from the root."""
    named = re.findall(r"`([\w./{},*-]+?(?:\.py|/))`", path.read_text())
    missing = [name for name in named if "my_" not in name and not _exists(name, path.parent)]
    assert missing == []


def _exists(name: str, folder: Path) -> bool:
    if "{" in name:
        before, inside, after = re.fullmatch(r"(.*)\{(.*)\}(.*)", name).groups()  # type: ignore[union-attr]
        return all(_exists(before + part + after, folder) for part in inside.split(","))
    return any(folder.rglob(name.rstrip("/"))) or any(ROOT.glob(name.rstrip("/")))
