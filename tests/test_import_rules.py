"""Who may import whom: no cycles, no import from a lower folder to a higher one, one name for every module."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FOLDERS = ("configs", "models", "train", "analysis", "sweeps")
# Lower folders first. A module imports from its own folder and from those above it in this list.
ORDER = (
    "windtunnel.configs",
    "windtunnel.models",
    "windtunnel.train",
    "windtunnel.analysis.signed_json",
    "windtunnel.analysis.tables",
    "windtunnel.analysis.laws",
    "windtunnel.analysis.solver",
    "windtunnel.analysis.fitting",
    "windtunnel.analysis.prediction",
    "windtunnel.analysis.compute_optimal",
    "windtunnel.analysis.comparison",
    "windtunnel.analysis.curves",
    "windtunnel.analysis.report",
    "windtunnel.sweeps.studies",
    "windtunnel.sweeps.study",
    "windtunnel.sweeps.planning",
    "windtunnel.sweeps.execution",
    "windtunnel.sweeps.slurm",
    "windtunnel.sweeps.pipeline",
    "windtunnel.sweeps.tracking",
    "windtunnel.sweeps.cli",
)
# `analysis` loads without torch, so it reads only these parts of the folders below it.
ANALYSIS_MAY_IMPORT = (
    "windtunnel.train.records",
    "windtunnel.train.errors",
    "windtunnel.train.provenance",
    "windtunnel.train.schedules",
    "windtunnel.models.accounting",
    "windtunnel.models.configuration",
    "windtunnel.models.family",
)
# Modules that a table, a plot or `--help` needs: they load without torch.
LIGHT_MODULES = (
    "windtunnel",
    "windtunnel.train.records",
    "windtunnel.train.config.config",
    "windtunnel.models.accounting",
    "windtunnel.sweeps.cli.main",
    "windtunnel.sweeps.study.plan",
    "windtunnel.sweeps.cli.table",
    "windtunnel.analysis.tables.from_runs",
    "windtunnel.analysis.tables.from_file",
    "windtunnel.analysis.tables.from_wandb",
    "windtunnel.analysis.tables.cache",
    "windtunnel.analysis.fitting.fit",
    "windtunnel.analysis.report.write",
    "windtunnel.sweeps.cli.report",
    "windtunnel.analysis.curves.from_runs",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    return name if parts[0] == "windtunnel" else f"windtunnel.{name}"


def source_files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield from sorted((ROOT / "windtunnel").glob("*.py"))


SOURCES = {module_name(path): path for path in source_files()}


def imported_names(text: str) -> set[str]:
    """Every dotted name that a source text imports: at its top, inside functions and under TYPE_CHECKING."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write absolute imports"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(name: str, modules: dict[str, Path]) -> str | None:
    """The module that an imported name is or lies in."""
    while name:
        if name in modules:
            return name
        name = name.rpartition(".")[0]
    return None


def imports(path: Path, modules: dict[str, Path]) -> set[str]:
    imported = {module_of(name, modules) for name in imported_names(path.read_text())}
    return {name for name in imported if name is not None and name != module_name(path)}


def layer(module: str) -> int | None:
    """The place of a module's folder in ORDER; None for the top-level package and folders without a rule."""
    for index, folder in enumerate(ORDER):
        if module == folder or module.startswith(f"{folder}."):
            return index
    return None


@pytest.mark.parametrize("module", SOURCES)
def test_module_imports_no_higher_folder(module: str) -> None:
    own = layer(module)
    if own is None:  # windtunnel and the modules directly below it: they import all
        assert module.count(".") <= 1
        return
    higher = {name for name in imports(SOURCES[module], SOURCES) if (layer(name) or 0) > own}
    assert higher == set()


@pytest.mark.parametrize("module", [name for name in SOURCES if name.startswith("windtunnel.analysis")])
def test_analysis_imports_only_the_light_parts_of_train_and_models(module: str) -> None:
    below = {
        name
        for name in imports(SOURCES[module], SOURCES)
        if name.startswith(("windtunnel.train", "windtunnel.models", "windtunnel.configs"))
    }
    assert below <= set(ANALYSIS_MAY_IMPORT)


@pytest.mark.slow
def test_no_import_cycle() -> None:
    graph = {module: imports(path, SOURCES) for module, path in SOURCES.items()}
    # A package that re-exports its modules, such as the catalog of laws, counts as a module.
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.slow
def test_library_does_not_import_the_command_line() -> None:
    allowed = ("windtunnel.sweeps.cli", "windtunnel.__main__")
    importers = {
        module
        for module, path in SOURCES.items()
        if not module.startswith(allowed)
        and any(name.startswith("windtunnel.sweeps.cli") for name in imports(path, SOURCES))
    }
    assert importers == set()


@pytest.mark.slow
def test_every_import_uses_the_one_name() -> None:
    """`from train.run import ...` would load a second copy of a module where the checkout is on the path."""
    bare = {
        (module, name)
        for module, path in SOURCES.items()
        for name in imported_names(path.read_text())
        if name.split(".")[0] in FOLDERS
    }
    assert bare == set()


def test_rules_can_be_broken(tmp_path: Path) -> None:
    low, high = tmp_path / "low.py", tmp_path / "high.py"
    low.write_text("def f():\n    from windtunnel.sweeps.cli import main\n")
    high.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from windtunnel.train.loop import Loop\n")
    assert imported_names(low.read_text()) == {"windtunnel.sweeps.cli.main"}
    (name,) = imported_names(high.read_text()) - {"typing.TYPE_CHECKING"}
    assert module_of(name, SOURCES) == "windtunnel.train.loop"
    assert layer("windtunnel.sweeps.cli.main") > layer("windtunnel.train.loop")  # type: ignore[operator]


@pytest.mark.slow
def test_no_module_has_two_names() -> None:
    """After all of windtunnel is loaded, none of its modules is in `sys.modules` under another name."""
    modules = sorted(name for name in SOURCES if not name.endswith("__main__"))
    script = (
        "import importlib, os, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "files = {}\n"
        "for name, module in sys.modules.items():\n"
        "    path = os.path.realpath(getattr(module, '__file__', None) or '/')\n"
        f"    if path.startswith({str(ROOT)!r} + os.sep) and '/.venv/' not in path:\n"
        "        files.setdefault(path, []).append(name)\n"
        "twice = {path: names for path, names in files.items() if len(names) > 1}\n"
        "assert files and not twice, twice\n"
        f"assert not set(sys.modules) & set({FOLDERS!r})\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, check=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_load_without_torch(module: str) -> None:
    script = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("on_path", ["working directory", "PYTHONPATH"])
def test_folders_of_the_same_names_do_not_interfere(tmp_path: Path, on_path: str) -> None:
    """A user's own `train.py`, `configs/`, `models/` or `analysis/` never takes over, nor ours theirs."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(f"OWNER = {folder!r}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    in_folder = on_path == "working directory"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if not in_folder:
        environment["PYTHONPATH"] = str(tmp_path)
    script = (
        f"import {', '.join(FOLDERS)}\n"
        "import windtunnel.train.config.compose, windtunnel.sweeps.study.load, windtunnel.models.family\n"
        f"assert [module.OWNER for module in ({', '.join(FOLDERS)})] == list({FOLDERS!r})\n"
    )
    cwd = tmp_path if in_folder else elsewhere
    subprocess.run([sys.executable, "-c", script], cwd=cwd, env=environment, check=True, timeout=120)
    command = [sys.executable, "-m", "windtunnel", "train", "size=25k", "horizon.tokens=2M", "dry_run=true"]
    printed = subprocess.run(command, cwd=cwd, env=environment, check=True, timeout=120, capture_output=True, text=True)
    assert "known once the data are prepared" in printed.stdout


@pytest.mark.slow
def test_a_folder_named_windtunnel_does_not_hide_the_package(tmp_path: Path) -> None:
    """Such as a clone in the working directory: an empty folder would be a namespace package."""
    (tmp_path / "windtunnel").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = "import windtunnel; windtunnel.fit"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60)
