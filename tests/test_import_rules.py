"""The table of `README.md`: which folder may import which, and what must load without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT: dict[str, set[str]] = {
    "configs": set(),
    "models": {"models"},
    "train": {"train", "models", "configs"},
    "analysis": {
        "analysis",
        "train.records",
        "train.errors",
        "train.provenance",
        "train.schedules",
        "models.accounting",
        "models.configuration",
    },
    "sweeps": {"sweeps", "analysis", "train", "models", "configs"},
}
OURS = set(MAY_IMPORT) | {"tests"}
SOURCES = [path for folder in MAY_IMPORT for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Full names of our own modules that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            assert node.module is not None
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] in OURS}


def allowed(name: str, rules: set[str]) -> bool:
    """A rule allows a module and what is inside it; naming the package on the way to an allowed module is allowed."""
    return any(name == rule or name.startswith(f"{rule}.") or rule.startswith(f"{name}.") for rule in rules)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_folders_import_only_what_they_may(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    assert {name for name in imports(path) if not allowed(name, MAY_IMPORT[folder])} == set()


def test_the_rule_can_be_broken(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from train.loop import Loop\n    import sweeps.command\n")
    found = imports(bad)
    assert not all(allowed(name, MAY_IMPORT["models"]) for name in found)
    assert not all(allowed(name, MAY_IMPORT["analysis"]) for name in found)


def test_every_package_is_listed_for_installation() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for folder in MAY_IMPORT
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert listed == present


@pytest.mark.parametrize(
    "module",
    [
        "train.records",
        "train.configuration",
        "models.accounting",
        "sweeps.command",
        "sweeps.plan",
        "analysis.table_command",
        "analysis.table_from_runs",
        "analysis.table_from_file",
        "analysis.table_from_wandb",
        "analysis.table_index",
        "analysis.fitting",
        "analysis.report.drawings",
        "analysis.report_command",
        "analysis.curves.curve_from_run",
    ],
)
def test_light_modules_load_without_torch(module: str) -> None:
    script = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
