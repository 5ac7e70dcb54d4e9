"""The checklist: its answers for run records and for plain files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.run_records import record, write
from windtunnel.analysis.comparison.ranking import RankedLaw, Ranking
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.predict import predict
from windtunnel.analysis.report.checklist import ChecklistItem, answer_checklist
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table

WIDTHS, STEPS = (32, 48, 64, 96), (500, 1000, 2000)


def loss_of(width: int, steps: int) -> float:
    return float(1.5 + 40 * (200.0 * width) ** -0.3 + 90 * (1024.0 * steps) ** -0.3)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    place = tmp_path / "runs"
    for width in WIDTHS:
        for steps in STEPS:
            loss = loss_of(width, steps)
            milestones = {share * steps // 100: 1.2 * loss for share in (5, 50)}
            write(place, record(width=width, steps=steps, loss=loss), losses=milestones)
    return place


def answers(table: Table, fitted: Fit | None = None, **arguments: Any) -> dict[str, ChecklistItem]:
    fitted = fit(table, get_law("chinchilla"), profile=False) if fitted is None else fitted
    items = answer_checklist(
        table, fitted, arguments.get("ranking"), arguments.get("predictions", ()), arguments.get("commit")
    )
    return {item.key: item for item in items}


def test_finished_runs_are_ok(runs: Path) -> None:
    items = answers(load_table(runs), commit="0123456789abcdef0123")
    for key in ("counts", "schedule", "repetition", "selection", "checkpoints", "sizes", "points"):
        assert items[key].verdict == "ok", items[key]
    assert "4 sizes" in items["sizes"].answer
    assert "all parameters" in items["counts"].answer
    assert "12 points of" in items["points"].answer
    assert items["tuning"].verdict == "caution"
    assert "HP-search depth per scale: 1 learning rate per size" in items["tuning"].answer
    assert items["seeds"].verdict == "unknown"
    assert items["held_out"].verdict == "unknown"
    assert items["extrapolation"].verdict == "unknown"
    assert "0123456789ab" in items["provenance"].answer


def test_what_n_counts_is_the_named_column(runs: Path) -> None:
    item = answers(load_table(runs, columns="N=N_non_embedding"))["counts"]
    assert item.answer.startswith("N is N_non_embedding; D tokens")


def test_evaluations_before_the_end_are_a_caution(runs: Path) -> None:
    items = answers(load_table(runs, evaluations="all"))
    assert items["schedule"].verdict == "caution"
    assert "24 of 36 rows before the learning rate had decayed" in items["schedule"].answer
    assert items["checkpoints"].verdict == "caution"
    assert "the first at 5 % of its run" in items["checkpoints"].answer
    late = answers(load_table(runs, evaluations="all", where="progress > 0.1"))
    assert late["checkpoints"].verdict == "ok"
    assert late["schedule"].verdict == "caution"


def test_repeated_data_is_a_caution_unless_the_law_has_unique_tokens(runs: Path) -> None:
    for width in WIDTHS:
        content = record(width=width, steps=4000, loss=loss_of(width, 4000))
        content["counts"] |= {"epochs": 4.0, "unique_tokens": 1024 * 1000}
        write(runs, content)
    table = load_table(runs)
    items = answers(table)
    assert items["repetition"].verdict == "caution"
    assert "4 of 16 rows repeat data, up to 4 epochs" in items["repetition"].answer
    additive = fit(table, get_law("chinchilla"), profile=False)
    worth = {"R_D*": 15.0, "R_N*": 5.0}
    aware = replace(additive, law=get_law("data-constrained"), parameters={**additive.parameters, **worth})
    assert answers(table, aware)["repetition"].verdict == "ok"


def test_seeds_rates_and_exclusions_are_counted(runs: Path) -> None:
    write(runs, record(width=64, steps=1000, seed=1, loss=1.004 * loss_of(64, 1000)))
    write(runs, record(width=64, steps=1000, rate=0.02, loss=1.1 * loss_of(64, 1000)))
    write(runs, record(width=128, status="diverged"))
    table = load_table(runs)
    items = answers(table)
    assert items["seeds"].verdict == "ok"
    assert "2 rows in 1 settings differ by seed alone" in items["seeds"].answer
    assert "1 to 2 learning rates per size" in items["tuning"].answer
    assert "points (N, D) with several learning rates: 1" in items["tuning"].answer
    assert "left out: 1 (diverged at step 17)" in items["selection"].answer
    assert items["selection"].verdict == "ok"
    chosen = answers(load_table(runs, where="rate < 0.01"))
    assert chosen["selection"].verdict == "caution"
    assert "rate < 0.01" in chosen["selection"].answer
    every = answers(load_table(runs, where="rate < 1"))["selection"]
    assert every.verdict == "ok"
    assert "by where" not in every.answer


def test_residuals_far_above_the_noise_are_a_caution(runs: Path) -> None:
    """Half of the sizes are of another recipe; seeds measure the noise."""
    items = answers(load_table(runs))
    assert items["residuals"].verdict == "unknown"
    assert "no seed noise to compare with" in items["residuals"].answer
    for width in WIDTHS:
        write(runs, record(width=width, steps=1000, seed=1, loss=1.004 * loss_of(width, 1000)))
    items = answers(load_table(runs))
    assert items["residuals"].verdict == "ok"
    for width in WIDTHS[1::2]:
        for seed, luck in ((0, 1.0), (1, 1.004)):
            write(runs, record(width=width, steps=1500, seed=seed, loss=1.04 * luck * loss_of(width, 1500)))
    items = answers(load_table(runs))
    assert items["residuals"].verdict == "caution"
    assert "times the seed noise; chinchilla does not describe the table" in items["residuals"].answer


def test_residuals_too_large_for_any_noise_are_a_caution_without_seeds(runs: Path) -> None:
    for width in WIDTHS[1::2]:
        write(runs, record(width=width, steps=1500, loss=1.5 * loss_of(width, 1500)))
    item = answers(load_table(runs))["residuals"]
    assert item.verdict == "caution"
    assert "chinchilla does not describe the table" in item.answer


def test_refused_fit_is_a_caution(runs: Path) -> None:
    table = load_table(runs, where="width == 32", evaluations="all")
    items = answers(table)
    assert items["sizes"].verdict == "caution"
    assert items["sizes"].answer == "1 size"
    assert items["objective"].verdict == "caution"
    assert "refused (one_size)" in items["objective"].answer
    assert items["intervals"].verdict == "caution"


def test_plain_file_leaves_most_questions_unknown() -> None:
    sizes, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 4), np.geomspace(2e7, 2e9, 4)))
    columns = {"N": sizes, "D": tokens}
    truth = {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.31}
    columns["loss"] = get_law("chinchilla").predict_one(truth, columns)
    table = Table.from_columns(columns)
    items = answers(table)
    for key in ("counts", "schedule", "tuning", "repetition", "checkpoints", "seeds", "provenance"):
        assert items[key].verdict == "unknown", items[key]
    for key in ("schedule", "tuning", "repetition"):
        assert "not in the table" in items[key].answer


def test_form_is_ok_where_the_back_test_ranks_it_first(runs: Path) -> None:
    table = load_table(runs)
    own = RankedLaw("chinchilla", 0.01, 0.02, 0.9, "converged", 0.1, 5, False)
    other = RankedLaw("power:C", 0.05, 0.09, 0.8, "converged", 0.2, 3, True)
    best = answers(table, ranking=Ranking((own, other), (), ()))
    assert best["form"].verdict == best["held_out"].verdict == "ok"
    assert "mean error 1 %, worst 2 %, 90 % of outcomes" in best["held_out"].answer
    beaten = answers(table, ranking=Ranking((replace(other, held_out_mean_abs_relative_error=0.001), own), (), ()))
    assert beaten["form"].verdict == "caution"
    assert "power:C did better" in beaten["form"].answer
    bold = answers(table, ranking=Ranking((replace(own, coverage_90=0.3), other), (), ()))
    assert bold["held_out"].verdict == "caution"


def test_far_or_unsealed_prediction_is_a_caution(runs: Path) -> None:
    table = load_table(runs)
    fitted = fit(table, get_law("chinchilla"), profile=False)
    near = replace(predict(fitted, {"N": 2e5, "D": 4e6}), sealed="ab" * 32)
    assert answers(table, fitted, predictions=[near])["extrapolation"].verdict == "ok"
    far = replace(predict(fitted, {"N": 2e6, "D": 4e8}, allow_extrapolation=True), sealed="ab" * 32)
    assert answers(table, fitted, predictions=[far])["extrapolation"].verdict == "caution"
    assert "not sealed" in answers(table, fitted, predictions=[replace(near, sealed=None)])["extrapolation"].answer
