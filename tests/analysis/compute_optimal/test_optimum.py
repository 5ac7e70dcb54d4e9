"""The optimum of a budget: closed forms, coverage of the intervals, and refusals."""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.true_laws import ADDITIVE, grid, with_noise
from windtunnel.analysis.compute_optimal.frontier import frontier
from windtunnel.analysis.compute_optimal.optimum import log_budget_for_loss, optimum
from windtunnel.analysis.fitting.fit import fit, fit_batch
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.delta_method import quantity_interval
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli import optimum as optimum_command
from windtunnel.train.errors import InputError

SIZES, TOKENS = grid(np.geomspace(3e5, 5e6, 5), np.geomspace(3e6, 5e8, 4))
COLUMNS = {"N": SIZES, "D": TOKENS}
FLOPS = 8 * 6 * 5e6 * 5e8


def closed_form(truth: dict[str, float], flops: float) -> tuple[float, float]:
    """N and its exponent (Hoffmann et al. 2022, section 3.3)."""
    total = truth["alpha"] + truth["beta"]
    scale = (truth["alpha"] * truth["A"] / (truth["beta"] * truth["B"])) ** (1 / total)
    return scale * (flops / 6) ** (truth["beta"] / total), truth["beta"] / total


def fitted(noise: float = 0.0, seed: int = 0, truth: dict[str, float] = ADDITIVE) -> Fit:
    loss = with_noise(get_law("chinchilla").predict_one(truth, COLUMNS), noise, seed)
    return fit(Table.from_columns({**COLUMNS, "loss": loss}), get_law("chinchilla"), profile=False)


@pytest.mark.slow
@pytest.mark.parametrize("flops", [1e13, FLOPS, 5e16])
@pytest.mark.parametrize("exponents", [(0.32, 0.40), (0.5, 0.25), (0.35, 0.35)])
def test_additive_law_agrees_with_its_closed_form(flops: float, exponents: tuple[float, float]) -> None:
    truth = {**ADDITIVE, "alpha": exponents[0], "beta": exponents[1]}
    size, exponent = closed_form(truth, flops)
    result = optimum(fitted(truth=truth), flops)
    assert pytest.approx(size, rel=1e-6) == result.N
    assert pytest.approx(flops / 6 / size, rel=1e-6) == result.D
    assert result.tokens_per_parameter == pytest.approx(flops / 6 / size**2, rel=1e-6)
    assert result.exponent == pytest.approx(exponent, rel=1e-6)
    best = get_law("chinchilla").predict_one(truth, {"N": np.array([size]), "D": np.array([flops / 6 / size])})
    assert result.loss == pytest.approx(float(best[0]), rel=1e-9)
    assert result.extrapolation["C"] == pytest.approx(flops / (6 * 5e6 * 5e8))


@pytest.mark.slow
def test_overtraining_law_agrees_with_its_closed_form() -> None:
    truth = {"E": 1.8, "a": 80.0, "b": 260.0, "eta": 0.14}
    columns = {"C": 6 * SIZES * TOKENS, "M": TOKENS / SIZES}
    loss = get_law("overtraining").predict_one(truth, columns)
    result = optimum(fit(Table.from_columns({**columns, "loss": loss}), get_law("overtraining"), profile=False), FLOPS)
    # a M^eta + b M^-eta is least at M = (b/a)^(1/(2 eta)), whatever the budget.
    best = (truth["b"] / truth["a"]) ** (1 / (2 * truth["eta"]))
    assert result.tokens_per_parameter == pytest.approx(best, rel=1e-6)
    assert pytest.approx(math.sqrt(FLOPS / 6 / best), rel=1e-6) == result.N
    assert result.exponent == pytest.approx(0.5, rel=1e-6)


@pytest.mark.slow
def test_penalty_of_another_size() -> None:
    result = optimum(fitted(), FLOPS, factors=(0.25, 3.0))
    size, _ = closed_form(ADDITIVE, FLOPS)
    for penalty, factor in zip(result.penalties, (0.25, 3.0), strict=True):
        off = {"N": np.array([factor * size]), "D": np.array([FLOPS / 6 / size / factor])}
        loss = float(get_law("chinchilla").predict_one(ADDITIVE, off)[0])
        assert penalty.loss == pytest.approx(loss, rel=1e-8)
        assert penalty.penalty == pytest.approx(loss - result.loss, rel=1e-5)
        assert penalty.penalty_percent == pytest.approx(100 * (loss / result.loss - 1), rel=1e-5)
        # L - E falls as C^-gamma along the optimum, gamma = alpha beta / (alpha + beta).
        gamma = 0.32 * 0.40 / 0.72
        share = ((loss - ADDITIVE["E"]) / (result.loss - ADDITIVE["E"])) ** (-1 / gamma)
        assert penalty.compute_lost == pytest.approx(1 - share, rel=1e-5)


@pytest.mark.slow
def test_penalty_is_symmetric_for_equal_exponents() -> None:
    result = optimum(fitted(truth={**ADDITIVE, "alpha": 0.35, "beta": 0.35}), FLOPS, factors=(0.2, 5.0))
    assert result.penalties[0].penalty == pytest.approx(result.penalties[1].penalty, rel=1e-5)


def test_budget_for_a_loss() -> None:
    rows = np.array([[ADDITIVE[name] for name in get_law("chinchilla").names]])
    for flops in (1e14, 1e17):
        loss = frontier(get_law("chinchilla"), rows, math.log(flops)).loss
        assert log_budget_for_loss(get_law("chinchilla"), rows, loss, math.log(1e15))[0] == pytest.approx(
            math.log(flops), abs=1e-6
        )
    assert log_budget_for_loss(get_law("chinchilla"), rows, 1.1, math.log(1e15))[0] == math.inf
    assert log_budget_for_loss(get_law("chinchilla"), rows, 1e6, math.log(1e15))[0] == -math.inf


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_intervals_cover_the_optimum_and_its_exponent(noise: float) -> None:
    studies = 300
    generator = np.random.default_rng(int(1e4 * noise))
    additive, example = get_law("chinchilla"), fitted(noise)
    exact = additive.predict_one(ADDITIVE, COLUMNS)
    target_RP = exact * np.exp(noise * generator.standard_normal((studies, len(exact))))
    start_RK = np.tile([ADDITIVE[name] for name in additive.names], (studies, 1))
    natural_RK, _ = fit_batch(additive, COLUMNS, target_RP, np.ones(len(exact)), example.objective, start_RK)
    size, exponent = closed_form(ADDITIVE, FLOPS)

    def log_size(rows_RK: Any) -> Any:
        return frontier(additive, rows_RK, math.log(FLOPS)).log_N

    def slope(rows_RK: Any) -> Any:
        return rows_RK[:, 4] / (rows_RK[:, 3] + rows_RK[:, 4])

    covered = np.zeros(2)
    for natural_K, target_P in zip(natural_RK, target_RP, strict=True):
        parameters = {name: float(value) for name, value in zip(additive.names, natural_K, strict=True)}
        study = replace(example, parameters=parameters, points=replace(example.points, target_P=target_P))
        for place, (quantity, truth) in enumerate(((log_size, math.log(size)), (slope, exponent))):
            low, high = quantity_interval(study, quantity)
            covered[place] += low <= truth <= high
    # 300 studies: the standard deviation is 1.7 %.
    assert np.all((covered / studies > 0.84) & (covered / studies < 0.95)), covered / studies


@pytest.mark.slow
def test_intervals_contain_the_optimum_and_are_consistent() -> None:
    result = optimum(fitted(0.003), FLOPS)
    size, exponent = closed_form(ADDITIVE, FLOPS)
    assert result.N_interval_90[0] < result.N < result.N_interval_90[1]
    assert result.N_interval_90[0] < size < result.N_interval_90[1]
    assert result.exponent_interval_90[0] < exponent < result.exponent_interval_90[1]
    assert result.D_interval_90 == pytest.approx([FLOPS / 6 / end for end in reversed(result.N_interval_90)])
    assert result.loss_interval_90[0] < result.loss < result.loss_interval_90[1]
    for penalty in result.penalties:
        assert 0 < penalty.penalty_interval_90[0] <= penalty.penalty <= penalty.penalty_interval_90[1]
        assert 0 < penalty.compute_lost < 1


@pytest.mark.slow
def test_missing_optimum_is_an_error() -> None:
    with pytest.raises(InputError, match="more than 30"):
        optimum(fitted(0.003), 1e19)
    assert optimum(fitted(0.003), 1e19, allow_extrapolation=True).notes
    with pytest.raises(InputError, match=r"a budget of 1e\+300 FLOPs; give a number above 0 and below 1e\+100"):
        optimum(fitted(0.003), 1e300, allow_extrapolation=True)
    with pytest.raises(InputError, match="a budget of -1"):
        optimum(fitted(0.003), -1.0)
    with pytest.raises(InputError, match=r"at=\.\.\.: law chinchilla reads only N, D; leave U out"):
        optimum(fitted(0.003), FLOPS, at={"U": 1e9})
    table = Table.from_columns({"C": 6 * SIZES * TOKENS, "loss": get_law("chinchilla").predict_one(ADDITIVE, COLUMNS)})
    with pytest.raises(InputError, match="no size to choose"):
        optimum(fit(table, get_law("power:C"), profile=False), FLOPS)
    # Where tokens have no effect, the optimal model is as large as the budget allows.
    size_alone = fitted(0.003)
    with pytest.raises(InputError, match="has no optimum"):
        optimum(replace(size_alone, parameters={**size_alone.parameters, "B": 1e-12}), FLOPS)


def test_missing_column_of_a_law_is_an_error() -> None:
    constrained = get_law("data-constrained")
    rows = np.ones((1, constrained.num_parameters))
    with pytest.raises(InputError, match=r"also reads U: give its value with at=\.\.\."):
        frontier(constrained, rows, math.log(1e18))


def test_unused_unique_tokens_do_not_matter() -> None:
    """With more unique tokens than the budget can use, none are repeated, and the optimum is the additive law's."""
    constrained = get_law("data-constrained")
    values = {**ADDITIVE, "R_D*": 15.0, "R_N*": 1e6}
    rows = np.array([[values[name] for name in constrained.names]])
    result = frontier(constrained, rows, math.log(FLOPS), {"U": 1e30})
    assert math.exp(result.log_N[0]) == pytest.approx(closed_form(ADDITIVE, FLOPS)[0], rel=1e-3)
    scarce = frontier(constrained, rows, math.log(FLOPS), {"U": 1e7})
    assert scarce.loss[0] > result.loss[0] + 0.02


@pytest.mark.slow
def test_parameter_at_a_bound_leaves_the_intervals_finite() -> None:
    result = fitted(0.002, truth={**ADDITIVE, "E": 1e-9, "alpha": 0.1, "beta": 0.12})
    assert result.status == "edge"
    best = optimum(result, FLOPS)
    assert any("the fit is edge" in note for note in best.notes)
    assert best.N / 10 < best.N_interval_90[0] < best.N < best.N_interval_90[1] < 10 * best.N


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    optimum_command.add_arguments(parser)
    return optimum_command.run(parser.parse_args(list(words)))


@pytest.mark.slow
def test_optimum_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fit.json"
    fitted(0.003).to_json(path)
    assert run_command(str(path), "--flops", "1e17") == 0
    shown = capsys.readouterr().out
    assert "tokens per parameter" in shown
    assert "compute wasted" in shown
    assert run_command(str(path), "--flops", "1e17", "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["N"] * document["D"] * 6 == pytest.approx(1e17)
    assert [penalty["factor"] for penalty in document["penalties"]] == [0.1, 0.25, 0.5, 2.0, 4.0, 10.0]
    with pytest.raises(InputError, match="N, D and M are what is optimized"):
        run_command(str(path), "--flops", "1e17", "--at", "N=1e6")
