"""A study of thirty tiny runs (five trunks of six horizons), written and planned below the test's folder."""

from pathlib import Path

import pytest
import yaml

from tests.support.text_files import texts as texts  # a fixture
from tests.support.tiny_study import FIXED, PlanStudy, WriteStudy
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, make_plan


@pytest.fixture(scope="session")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared corpora, shared by the tests of all workers (preparing is locked and idempotent)."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "data"


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """`write_study(seeds=2, steps=(40, 60))`: a study file of two trunks with two horizons each."""

    def write(seeds: int = 5, steps: tuple[int, ...] = (40, 48, 56, 64, 72, 80), name: str = "tiny") -> Path:
        grid = {"seed": list(range(seeds)), "horizon.steps": list(steps)}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"title": "tiny runs", "fixed": FIXED, "family": [{"grid": grid}]}))
        return path

    return write


@pytest.fixture
def plan_study(tmp_path: Path, data_directory: Path) -> PlanStudy:
    """The plan of a study file, recorded below tmp_path/runs or another folder there."""

    def plan(path: Path, runs: str = "runs") -> Plan:
        return make_plan(load_study(str(path)), tmp_path / runs, data_directory, prepare=True)

    return plan
