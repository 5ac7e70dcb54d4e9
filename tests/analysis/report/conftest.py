"""A report that has every part, written once for the tests of its data, its page and its figures."""

from pathlib import Path

import numpy as np
import pytest

from windtunnel.analysis.comparison.ranking import Cut, RankedLaw, Ranking
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.predict import Prediction, predict
from windtunnel.analysis.prediction.score import RunScore, Score
from windtunnel.analysis.report.report import Report
from windtunnel.analysis.report.write import write_report
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table

HOSTILE = "<script>alert('x')</script> $x$ & \"quoted\""
BUDGETS, SIZES = 4, 6


@pytest.fixture(scope="session")
def hostile() -> str:
    """A name that must stay text in HTML, SVG and matplotlib."""
    return HOSTILE


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Curves of equal compute, so that every figure has data; two rows of each run share noise."""
    generator = np.random.default_rng(3)
    lines = ["run,N,D,loss,rate,<b>column"]
    for budget in range(BUDGETS):
        flops = 2e15 * 4.0**budget
        for size in (np.geomspace(0.15, 6.0, SIZES) * np.sqrt(flops / 6 / 20)).tolist():
            tokens = flops / (6 * size)
            loss = 1.5 + 60 * size**-0.3 + 120 * tokens**-0.32
            loss *= float(np.exp(0.002 * generator.standard_normal()))
            name = HOSTILE.replace('"', '""') if len(lines) == 1 else f"run {len(lines) // 2}"
            lines.append(f'"{name}",{size!r},{tokens!r},{loss!r},0.01,text')
    path = tmp_path_factory.mktemp("report") / "points.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def table(source: Path) -> Table:
    return load_table(source)


@pytest.fixture(scope="session")
def chinchilla(table: Table) -> Fit:
    return fit(table, get_law("chinchilla"))


@pytest.fixture(scope="session")
def prediction(chinchilla: Fit) -> Prediction:
    seal = {"sealed": "ab" * 32, "time": "2026-01-01T00:00:00Z"}
    return Prediction(**{**vars(predict(chinchilla, {"N": 1e8, "D": 2e9})), **seal})


@pytest.fixture(scope="session")
def report(table: Table, chinchilla: Fit, prediction: Prediction) -> Report:
    ranked = (
        RankedLaw("chinchilla", 0.012, 0.031, 0.92, "converged", 0.05, 5, False),
        RankedLaw("power:C", 0.024, 0.06, 0.5, "edge", 0.2, 3, True),
        RankedLaw("constant", None, None, None, "too_few_points", None, 1, True, "too few"),
    )
    measured = RunScore("seed 0", prediction.loss, prediction.loss * 1.01, 0.2, 1.0, True)
    return Report(
        table,
        (chinchilla,),
        ranking=Ranking(ranked, (Cut(12, 12, 1e16, 3e16),), ("a note of the ranking",)),
        isoflop=fit_isoflop(table, replicates=50),
        predictions=(prediction,),
        scores=(Score(prediction, "runs", measured, (measured,), ()),),
        notes=("a note of the study",),
        commit="0" * 40,
    )


@pytest.fixture(scope="session")
def folder(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("written")
    write_report(report, place)
    return place
