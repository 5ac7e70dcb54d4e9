"""Contrasts of arms with known laws: compute multiplier, crossover, coverage of the intervals, and warnings."""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from tests.benchmarks.contrast_coverage import coverage
from tests.support.true_laws import ADDITIVE, ARM_COMPUTE, ARM_SEED, ARM_SEEDS, arm, grid, paired_noises
from windtunnel.analysis.comparison.contrast import Contrast, contrast
from windtunnel.analysis.comparison.paired_noise import pair_runs
from windtunnel.analysis.comparison.shared_irreducible_loss import share_irreducible_loss
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.constraints import fix_parameters
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli import contrast as contrast_command
from windtunnel.train.errors import InputError

TARGET = 16 * float(ARM_COMPUTE.max())


# --- closed forms, without noise


@pytest.mark.slow
def test_equal_arms_have_no_winner() -> None:
    """Rounding must not make one of two equal arms the winner, or give a crossover."""
    own = arm(1.2, 60.0, 0.12, paired_noises(0.005, 1)[0])
    result = contrast(own, own, TARGET, replicates=100)
    for verdict in result.verdicts:
        assert verdict.winner == "neither"
        assert verdict.probability_a_better == verdict.probability_a_better_at_data == pytest.approx(0.5)
        assert verdict.compute_multiplier == pytest.approx(1.0)
        assert verdict.crossover is None
        assert verdict.probability_of_crossing_before_target < 0.01
    assert not result.warnings


@pytest.mark.slow
def test_compute_multiplier_of_equal_exponents() -> None:
    result = contrast(arm(1.2, 60.0, 0.12), arm(1.2, 69.0, 0.12), TARGET, replicates=100)
    for verdict in result.verdicts:
        assert verdict.compute_multiplier == pytest.approx((69 / 60) ** (1 / 0.12), rel=1e-5)
        assert verdict.loss_a == pytest.approx(1.2 + 60.0 * TARGET**-0.12, rel=1e-9)
        assert verdict.difference == pytest.approx(-9.0 * TARGET**-0.12, rel=1e-6)
        assert verdict.crossover is None
        assert verdict.winner == "A"
    assert [verdict.irreducible_loss for verdict in result.verdicts] == ["separate", "shared"]
    assert not result.warnings


@pytest.mark.slow
@pytest.mark.parametrize("swap", [False, True])
def test_crossover_of_two_curves(swap: bool) -> None:
    arms = [arm(1.2, 40.0, 0.10), arm(1.2, 80.0, 0.12)]
    result = contrast(*(reversed(arms) if swap else arms), TARGET, replicates=100)
    for verdict in result.verdicts:
        assert verdict.crossover == pytest.approx(2.0 ** (1 / 0.02), rel=1e-4)
        assert verdict.probability_of_crossing_before_target > 0.99
    assert result.verdicts[0].winner == ("A" if swap else "B")


@pytest.mark.slow
def test_loss_that_the_other_arm_never_reaches() -> None:
    result = contrast(arm(1.2, 60.0, 0.12), arm(1.7, 60.0, 0.12), TARGET, replicates=100)
    separate = result.verdicts[0]
    assert separate.compute_multiplier == math.inf
    assert result.to_dict()["compute_multiplier"] is None


@pytest.mark.slow
def test_grids_are_compared_at_their_optimal_sizes() -> None:
    """Scaling both terms by r costs r^(1/gamma) in compute along the optimum, gamma = alpha beta / (alpha + beta)."""
    N, D = grid(np.geomspace(1e6, 3e7, 5), np.geomspace(1e7, 3e9, 5))
    tables = [
        Table.from_columns({"N": N, "D": D, "loss": get_law("chinchilla").predict_one(truth, {"N": N, "D": D})})
        for truth in ({**ADDITIVE, "A": 60.0 * r, "B": 300.0 * r} for r in (1.0, 1.08))
    ]
    result = contrast(tables[0], tables[1], 1e18, replicates=100)
    assert result.law == "chinchilla"
    for verdict in result.verdicts:
        assert verdict.compute_multiplier == pytest.approx(1.08 ** (0.72 / 0.128), rel=1e-4)


@pytest.mark.slow
def test_law_of_compute_is_fitted_to_the_compute_frontier() -> None:
    def dense(amplitude: float) -> Table:
        best = arm(1.2, amplitude, 0.12)
        worse = best.columns["loss"] * 1.05
        columns = {
            "C": np.concatenate([ARM_COMPUTE, ARM_COMPUTE]),
            "N": np.concatenate([ARM_COMPUTE**0.5, 3 * ARM_COMPUTE**0.5]),
            "D": np.concatenate([ARM_COMPUTE**0.5 / 6, ARM_COMPUTE**0.5 / 18]),
            "loss": np.concatenate([best.columns["loss"], worse]),
            "seed": np.concatenate([ARM_SEED, ARM_SEED]),
        }
        return Table.from_columns(columns)

    result = contrast(dense(60.0), dense(69.0), TARGET, law=get_law("power:C"), replicates=100)
    assert result.verdicts[0].compute_multiplier == pytest.approx((69 / 60) ** (1 / 0.12), rel=1e-5)
    assert sum("above its compute frontier" in warning for warning in result.warnings) == 2


# --- pairs


@pytest.mark.slow
def test_other_seeds_and_other_budgets_do_not_pair() -> None:
    first, second = arm(1.2, 60.0, 0.12), arm(1.2, 69.0, 0.12)
    other_seeds = Table.from_columns({**second.columns, "seed": ARM_SEED + 10})
    assert pair_runs(first, other_seeds)[2] == []
    other_budgets = Table.from_columns({**second.columns, "C": ARM_COMPUTE * 1.5})
    assert pair_runs(first, other_budgets)[2] == []
    result = contrast(arm(1.2, 60.0, 0.12, paired_noises(0.003, 0)[0]), other_seeds, TARGET, replicates=100)
    assert any("no noise cancels" in warning for warning in result.warnings)


@pytest.mark.slow
def test_noise_shared_by_pairs_cancels_in_the_difference() -> None:
    first, second = paired_noises(0.003, 3, correlation=0.95)
    arms = arm(1.2, 60.0, 0.12, first), arm(1.2, 63.0, 0.12, second)
    unpaired = Table.from_columns({**arms[1].columns, "seed": ARM_SEED + 10})
    widths = [
        np.ptp(contrast(arms[0], other, TARGET, replicates=400).verdicts[0].difference_interval_90)
        for other in (arms[1], unpaired)
    ]
    assert widths[0] < 0.5 * widths[1]


@pytest.mark.slow
def test_swapping_the_arms_swaps_the_verdict() -> None:
    first, second = paired_noises(0.003, 1)
    one, other = arm(1.2, 60.0, 0.12, first), arm(1.2, 61.0, 0.12, second)
    forth, back = (contrast(*pair, TARGET, replicates=2000).verdicts[0] for pair in ((one, other), (other, one)))
    assert forth.probability_a_better == pytest.approx(1 - back.probability_a_better, abs=0.04)
    assert forth.compute_multiplier == pytest.approx(1 / back.compute_multiplier, rel=0.05)
    assert forth.difference == pytest.approx(-back.difference, rel=1e-9)


# --- intervals


@pytest.mark.slow
def test_linear_law_has_the_textbook_interval() -> None:
    """With a fixed exponent and squared residuals, the difference is a linear estimate under paired normal noise."""
    linear = fix_parameters(get_law("power:C"), {"alpha": 0.12})
    first, second = paired_noises(0.004, 7)
    arms = arm(1.2, 60.0, 0.12, first), arm(1.2, 64.0, 0.12, second)
    design_PK = np.stack([np.ones_like(ARM_COMPUTE), ARM_COMPUTE**-0.12], axis=1)
    inverse_KP = np.linalg.pinv(design_PK)
    influence_P = np.array([1.0, TARGET**-0.12]) @ inverse_KP
    losses = [each.columns["loss"] for each in arms]
    residual_P = (losses[0] - losses[1]) - design_PK @ (inverse_KP @ (losses[0] - losses[1]))
    degrees = len(ARM_COMPUTE) - 2
    deviation = np.sqrt(residual_P @ residual_P / degrees * (influence_P @ influence_P))
    center = float(influence_P @ (losses[0] - losses[1]))
    reach = float(stdtrit(degrees, 0.95)) * deviation
    verdict = contrast(*arms, TARGET, law=linear, objective="mse", replicates=20_000).verdicts[0]
    assert verdict.difference == pytest.approx(center, rel=1e-6)
    # The standard error of an end is 1 % of the width with 20,000 replicates.
    assert verdict.difference_interval_90 == pytest.approx((center - reach, center + reach), abs=0.03 * reach)
    assert verdict.probability_a_better == pytest.approx(float(stdtr(degrees, -center / deviation)), abs=0.01)


@pytest.mark.slow
def test_coverage_with_few_budgets_matches_exact_intervals() -> None:
    """On the same draws. `python -m tests.benchmarks contrast_coverage` measures the whole grid."""
    for covered in coverage(6, 1, 0.005, 60).values():
        assert abs(np.mean(covered.difference) - np.mean(covered.linear)) <= 0.07
        assert abs(np.mean(covered.multiplier) - np.mean(covered.linear)) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, ARM_SEEDS])
def test_equal_arms_differ_significantly_at_the_nominal_rate(seeds: int) -> None:
    """For equal arms P(A better) is uniform, and 90 % intervals contain the true difference 0 and multiplier 1 in 90 %
    of studies, also with six budgets and a single seed. 40 studies: the standard deviation is 5 %.
    """
    few = seeds < ARM_SEEDS
    rows = np.flatnonzero((seeds > ARM_SEED) & ((ARM_COMPUTE.max() > ARM_COMPUTE) | (not few)))
    chances, difference, multiplier = [], [], []
    for study in range(40):
        first, second = paired_noises(0.005, 100 + study)
        arms = [arm(1.2, 60.0, 0.12, each).take(rows) for each in (first, second)]
        target = 16 * float(ARM_COMPUTE[rows].max())
        verdict = contrast(arms[0], arms[1], target, replicates=200, seed=study).verdicts[0]
        chances.append(verdict.probability_a_better)
        low, high = verdict.difference_interval_90
        difference.append(low <= 0 <= high)
        low, high = verdict.compute_multiplier_interval_90
        multiplier.append(low <= 1 <= high)
    assert 0.8 <= np.mean(difference) <= 0.99
    assert 0.8 <= np.mean(multiplier) <= 0.99
    significant = np.mean((np.array(chances) > 0.95) | (np.array(chances) < 0.05))
    assert significant <= 0.2  # nominally 10 %; resampling runs with replacement gives 30 % here
    assert 0.3 <= np.mean(np.array(chances) > 0.5) <= 0.7


@pytest.mark.slow
def test_intervals_contain_the_true_multiplier_and_crossover() -> None:
    covered = np.zeros((2, 2))
    for study in range(24):
        first, second = paired_noises(0.002, study)
        better = contrast(arm(1.2, 60.0, 0.12, first), arm(1.2, 66.0, 0.12, second), TARGET, replicates=200, seed=study)
        crossing = contrast(
            arm(1.2, 40.0, 0.10, first), arm(1.2, 80.0, 0.12, second), TARGET, replicates=200, seed=study
        )
        for place in range(2):
            low, high = better.verdicts[place].compute_multiplier_interval_90
            covered[0, place] += low <= 1.1 ** (1 / 0.12) <= high
            low, high = crossing.verdicts[place].crossover_interval_90 or (0.0, 0.0)
            covered[1, place] += low <= 2.0**50 <= high
    assert np.all(covered >= 18), covered  # of 24: 21.6 expected, standard deviation 1.5


# --- warnings and errors


def vanishing_lead() -> Contrast:
    first, second = paired_noises(0.0005, 5)
    # A is better throughout the data and worse at the target: the curves cross at 2^58, seven times beyond the data.
    one, other = arm(1.2, 40.0, 0.10, first), arm(1.2, 40.0 * 2**1.16, 0.12, second)
    return contrast(one, other, TARGET, replicates=200)


@pytest.mark.slow
def test_lead_that_is_predicted_to_vanish_gets_a_warning() -> None:
    result = vanishing_lead()
    verdict = result.verdicts[0]
    assert verdict.probability_a_better_at_data > 0.9
    assert verdict.probability_a_better < 0.1
    assert verdict.crossover == pytest.approx(2.0**58, rel=0.3)
    warning = next(warning for warning in result.warnings if "predicted to vanish" in warning)
    assert "A is better" in warning
    assert "cross near C = " in warning


@pytest.mark.slow
def test_lasting_lead_gets_no_warning() -> None:
    first, second = paired_noises(0.001, 5)
    result = contrast(arm(1.2, 60.0, 0.12, first), arm(1.2, 66.0, 0.12, second), TARGET, replicates=200)
    assert not any("vanish" in warning for warning in result.warnings)


@pytest.mark.slow
def test_winner_that_depends_on_the_irreducible_loss_is_reported() -> None:
    result = None
    for seed in range(30):
        first, second = paired_noises(0.004, seed)
        result = contrast(arm(1.2, 60.0, 0.12, first), arm(1.2, 60.4, 0.12, second), TARGET, replicates=100)
        disagree = result.verdicts[0].winner != result.verdicts[1].winner
        assert any("depends on the irreducible loss" in warning for warning in result.warnings) == disagree
        if disagree:
            return
    pytest.fail("the verdicts agree in all thirty studies")


def test_shared_law_has_one_irreducible_loss_and_both_arms() -> None:
    shared = share_irreducible_loss(
        get_law("power:C"), ({"E": 1.0, "A": 50.0, "alpha": 0.1}, {"E": 1.1, "A": 70.0, "alpha": 0.2})
    )
    assert shared.names == ("E", "A_A", "alpha_A", "A_B", "alpha_B")
    values = {"E": 1.2, "A_A": 60.0, "alpha_A": 0.12, "A_B": 90.0, "alpha_B": 0.14}
    loss = shared.predict_one(values, {"C": np.array([1e15, 1e15]), "arm": np.array([0.0, 1.0])})
    assert loss == pytest.approx([1.2 + 60.0 * 1e15**-0.12, 1.2 + 90.0 * 1e15**-0.14], rel=1e-12)


@pytest.mark.slow
def test_invalid_contrasts_are_errors() -> None:
    with pytest.raises(InputError, match=r"more than 30: .*allow_extrapolation=True"):
        contrast(arm(1.2, 60.0, 0.12), arm(1.2, 69.0, 0.12), 1e3 * TARGET)
    with pytest.raises(InputError, match=r"arm B, memory: too_few_points"):
        contrast(arm(1.2, 60.0, 0.12), arm(1.2, 69.0, 0.12).take(np.arange(4)), TARGET)
    larger = arm(1.2, 69.0, 0.12)
    larger = Table.from_columns({**larger.columns, "C": ARM_COMPUTE * 1e9})
    with pytest.raises(InputError, match="no compute in common"):
        contrast(arm(1.2, 60.0, 0.12), larger, TARGET)
    with pytest.raises(InputError, match="no column C"):
        contrast(Table.from_columns({"loss": ARM_COMPUTE}), arm(1.2, 69.0, 0.12), TARGET)


# --- the command


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    contrast_command.add_arguments(parser)
    return contrast_command.run(parser.parse_args(list(words)))


@pytest.mark.slow
def test_contrast_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "arms.csv"
    rows = ["C,loss,seed,optimizer"]
    for name, amplitude, noise in zip(("one", "two"), (60.0, 66.0), paired_noises(0.002, 0), strict=True):
        loss = arm(1.2, amplitude, 0.12, noise).columns["loss"]
        rows += [
            f"{c!r},{y!r},{s!r},{name}"
            for c, y, s in zip(ARM_COMPUTE.tolist(), loss.tolist(), ARM_SEED.tolist(), strict=True)
        ]
    path.write_text("\n".join(rows) + "\n")
    arms = (str(path), str(path), "--where-a", "optimizer == 'one'", "--where-b", "optimizer == 'two'")
    assert run_command(*arms, "--at", "C=1e18", "--bootstrap", "200", "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["at"] == {"C": 1e18}
    assert document["probability_a_better"] > 0.95
    low, high = document["compute_multiplier_interval_90"]
    assert low < document["compute_multiplier"] < high
    assert set(document["verdicts"]) == {"separate", "shared"}
    assert document["pairs"] == len(ARM_COMPUTE)
    assert run_command(*arms, "--at", "C=1e18", "--bootstrap", "200") == 0
    shown = capsys.readouterr().out
    assert "shared" in shown
    assert "compute multiplier" in shown
    assert "A: note: 21 of 42 rows left out by where" in shown
    with pytest.raises(InputError, match="write --at C=1e20"):
        run_command(*arms, "--at", "N=1e9,D=1e10")
