"""Rankings of laws by held-out error: the true form is first, and overconfident intervals count against a law."""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.support.true_laws import ADDITIVE, WIDE_SIZES, WIDE_TOKENS, wide_table
from windtunnel.analysis.comparison.ranking import RankedLaw, Ranking, _interval_score, rank, sort_laws
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.sweeps.cli import rank as rank_command
from windtunnel.train.errors import InputError


def law_names(ranking: Ranking) -> list[str]:
    return [law.law for law in ranking.laws]


@pytest.mark.slow
def test_true_law_is_exact_and_first_without_noise() -> None:
    ranking = rank(
        wide_table("chinchilla", ADDITIVE, 0.0), [get_law("kaplan"), get_law("chinchilla")], holdout="C > 1e14"
    )
    assert ranking.best == "chinchilla"
    first = ranking.laws[0]
    assert (first.held_out_mean_abs_relative_error or 0.0) < 1e-8
    assert first.coverage_90 == 1.0
    assert (ranking.laws[1].held_out_mean_abs_relative_error or 0.0) > 1e-3


@pytest.mark.slow
def test_simpler_of_equally_exact_laws_is_first() -> None:
    ranking = rank(
        wide_table("chinchilla", ADDITIVE, 0.0),
        [get_law("general"), get_law("chinchilla")],
        holdout="C > 1e14",
        baselines=False,
    )
    assert law_names(ranking) == ["chinchilla", "general"]


@pytest.mark.slow
def test_baselines_are_always_ranked_and_constant_is_last() -> None:
    ranking = rank(wide_table("chinchilla", ADDITIVE, 0.003), [get_law("chinchilla")])
    assert law_names(ranking)[0] == "chinchilla"
    assert {law.law for law in ranking.laws if law.baseline} == {"constant", "power_no_floor:C", "power:C"}
    assert law_names(ranking)[-1] == "constant"


@pytest.mark.slow
def test_general_law_wins_where_the_scarcer_resource_limits() -> None:
    limited = {**ADDITIVE, "g": 0.05}
    for seed in range(2):
        laws = [get_law("chinchilla"), get_law("general")]
        ranking = rank(wide_table("general", limited, 0.003, seed), laws, holdout="C > 1e14", baselines=False)
        assert ranking.best == "general"
        first, second = (law.held_out_mean_abs_relative_error or 0.0 for law in ranking.laws)
        assert first < 0.7 * second


@pytest.mark.slow
def test_errors_are_those_of_held_out_rows() -> None:
    whole = wide_table("chinchilla", ADDITIVE, 0.0)
    # The number of fitted rows is odd: their median is one of them.
    ranking = rank(whole, [get_law("chinchilla")], holdout="N > 4e6 or (N < 1.1e5 and D < 1.1e6)", objective="lad")
    constant = next(law for law in ranking.laws if law.law == "constant")
    held = (WIDE_SIZES > 4e6) | ((WIDE_SIZES < 1.1e5) & (WIDE_TOKENS < 1.1e6))
    median = float(np.median(whole.columns["loss"][~held]))  # the fit by least absolute deviations
    error = np.abs(median / whole.columns["loss"][held] - 1)
    assert constant.held_out_mean_abs_relative_error == pytest.approx(error.mean(), rel=1e-3)
    assert constant.held_out_worst == pytest.approx(error.max(), rel=1e-3)
    assert ranking.cuts[0][:2] == (int((~held).sum()), int(held.sum()))


def test_interval_score_penalizes_width_and_misses() -> None:
    observed = np.exp(np.array([0.0, 0.0, 0.0, 0.0]))
    low = np.exp(np.array([-0.1, 0.05, -0.3, -np.inf]))
    high = np.exp(np.array([0.1, 0.15, -0.2, 0.2]))
    inside, score = _interval_score(observed, low, high)
    assert inside.tolist() == [True, False, False, True]
    # Widths 0.2, 0.1, 0.1; misses of 0.05 and 0.2 cost 2 / 0.1 each; an unbounded end counts as 1.
    assert score == pytest.approx([0.2, 0.1 + 20 * 0.05, 0.1 + 20 * 0.2, 1.2])


def test_overconfidence_doubles_the_error_and_the_simpler_of_tied_laws_is_first() -> None:
    def ranked_law(name: str, error: float | None, coverage: float | None, num_parameters: int) -> RankedLaw:
        return RankedLaw(name, error, error, coverage, "converged", None, num_parameters, baseline=False)

    ranked = [
        ranked_law("refused", None, None, 1),
        ranked_law("overconfident", 0.010, 0.5, 3),
        ranked_law("calibrated", 0.015, 0.9, 5),
        ranked_law("simpler", 0.016, 0.9, 4),
        ranked_law("close", 0.0149, 0.9, 6),
        ranked_law("poor", 0.1, 1.0, 1),
    ]
    order = [law.law for law in sort_laws(ranked)]
    assert order == ["simpler", "calibrated", "close", "overconfident", "poor", "refused"]


@pytest.mark.slow
def test_true_law_covers_held_out_runs() -> None:
    """80 independent studies with one held-out run each: nominal coverage 90 %, standard deviation 3.4 %."""
    covered = []
    for seed in range(80):
        whole = wide_table("chinchilla", ADDITIVE, 0.003, seed)
        last = f"N > {0.99 * WIDE_SIZES.max()} and D > {0.99 * WIDE_TOKENS.max()}"
        ranking = rank(whole, [get_law("chinchilla")], holdout=last, baselines=False)
        covered.append(ranking.laws[0].coverage_90)
    assert 0.8 <= np.mean(np.array(covered, dtype=float)) <= 0.98


@pytest.mark.slow
def test_unfitted_law_is_last_with_its_status() -> None:
    whole = wide_table("chinchilla", ADDITIVE, 0.003)
    small = whole.take(np.flatnonzero(np.isin(whole.columns["D"], np.unique(WIDE_TOKENS)[:2]))[:7])
    ranking = rank(small, [get_law("chinchilla"), get_law("power:C")], baselines=False)
    assert ranking.best == "power:C"
    assert ranking.laws[-1].law == "chinchilla"
    assert ranking.laws[-1].status == "too_few_points"
    assert ranking.laws[-1].held_out_mean_abs_relative_error is None


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    rank_command.add_arguments(parser)
    return rank_command.run(parser.parse_args(list(words)))


@pytest.mark.slow
def test_rank_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = wide_table("chinchilla", ADDITIVE, 0.003)
    rows = [",".join(repr(float(whole.columns[name][row])) for name in ("N", "D", "loss")) for row in range(len(whole))]
    source = tmp_path / "points.csv"
    source.write_text("\n".join(["N,D,loss", *rows]) + "\n")
    words = (str(source), "--laws", "chinchilla,kaplan", "--holdout", "C > 1e15")
    assert run_command(*words, "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["best"] == "chinchilla"
    assert {"change", "best", "held_out_mean_abs_relative_error", "holds"} <= document["stability"][0].keys()
    assert "chinchilla" not in document["indistinguishable"]
    keys = {"law", "held_out_mean_abs_relative_error", "held_out_worst", "coverage_90", "status"}
    assert all(keys <= law.keys() for law in document["laws"])
    assert all(math.isfinite(law["coverage_90"]) for law in document["laws"])
    assert run_command(*words) == 0
    shown = capsys.readouterr().out
    assert "chinchilla" in shown.splitlines()[1]
    assert "chinchilla stays the best under all 3" in shown
    assert run_command(*words, "--exclude", "row 1=its machine overheated") == 0
    assert "left out: row 1: its machine overheated" in capsys.readouterr().out
    with pytest.raises(InputError, match="name each law once"):
        run_command(str(source), "--laws", "chinchilla,chinchilla")
    with pytest.raises(InputError, match="no law named"):
        run_command(str(source), "--laws", "gravity")
