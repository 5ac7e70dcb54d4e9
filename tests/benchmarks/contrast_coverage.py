"""Coverage of the 90 % intervals of a contrast, over 500 noisy studies of two arms: the difference of their losses, the
compute multiplier and the loss of one arm, at the largest budget, and 8 and 30 times beyond it.

The peer, on the same draws, is the exact interval of the difference for the linearized law: it shows the deviation of
500 studies by chance, which is more than one per cent. Four budgets with one seed are too few points for a law of three
parameters, and refused.
"""

import argparse
import math
import time
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from windtunnel.analysis.comparison.contrast import refit_to_noise
from windtunnel.analysis.comparison.crossover import central_interval
from windtunnel.analysis.comparison.paired_noise import draw_noise, estimate_noise, pair_runs
from windtunnel.analysis.fitting.noise import ResidualNoise, residual_noise
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.solver.starts import choose_starts
from windtunnel.analysis.tables.table import Table

# E, A and alpha of each arm; half of a run's noise is common to its pair.
TRUTHS = ((1.2, 60.0, 0.12), (1.2, 63.0, 0.12))
SHARED = 0.5
DECADES = 3.6  # of compute that every design spans
DESIGNS = ((4, 3), (5, 1), (5, 3), (6, 1), (6, 3), (10, 1), (10, 3))  # budgets, seeds
NOISES = (0.002, 0.005, 0.01)
FACTORS = (1.0, 8.0, 30.0)
STARTS = 3
REPLICATES = 400
LAW = get_law("power:C")


@dataclass(frozen=True)
class Covered:
    """Whether the interval of each study contains the truth."""

    difference: list[bool]
    multiplier: list[bool]
    loss: list[bool]
    linear: list[bool]


def truth(arm: int, C: Any) -> Any:
    E, amplitude, exponent = TRUTHS[arm]
    return E + amplitude * C**-exponent


def log_multiplier(C: float) -> float:
    E, amplitude, exponent = TRUTHS[1]
    return math.log((amplitude / (truth(0, C) - E)) ** (1 / exponent) / C)


def studies(budgets: int, seeds: int, noise: float, num_studies: int) -> tuple[Table, Array]:
    """The design as a table, and the noise of both arms in every study: (studies, arms, P)."""
    C = np.repeat(np.geomspace(1e13, 1e13 * 10**DECADES, budgets), seeds)
    generator = np.random.default_rng((budgets, seeds, round(1e6 * noise)))
    common, *own = generator.standard_normal((3, num_studies, len(C)))
    drawn = [noise * (math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * each) for each in own]
    table = Table.from_columns({"C": C, "loss": C, "seed": np.tile(np.arange(float(seeds)), budgets)})
    return table, np.stack(drawn, axis=1)


def fit_arm(C: Array, target_RP: Array) -> tuple[Problem, ResidualNoise]:
    """Every study of one arm, fitted as one batch."""
    problem = Problem.from_points(LAW, {"C": C}, target_RP, np.ones(len(C)), parse_objective(LAW.objective))
    start_RSK = np.stack([choose_starts(replace(problem, target=target_P), STARTS) for target_P in target_RP])
    solved = [problem.solve(start_RSK[:, start], problem.deltas()) for start in range(STARTS)]
    best_R = np.argmin(np.stack([each.value_R for each in solved]), axis=0)
    internal_RK = np.stack([each.internal_RK for each in solved])[best_R, np.arange(len(target_RP))]
    return problem, residual_noise(problem, internal_RK)


def select_study(noise: ResidualNoise, study: int) -> ResidualNoise:
    values = {each.name: getattr(noise, each.name) for each in fields(noise)}
    return replace(
        noise,
        **{name: value[study : study + 1] for name, value in values.items() if isinstance(value, np.ndarray)},
    )


def coverage(
    budgets: int, seeds: int, noise: float, num_studies: int, replicates: int = REPLICATES
) -> dict[float, Covered]:
    """By the distance of the target beyond the data."""
    from scipy.special import stdtrit

    table, drawn = studies(budgets, seeds, noise, num_studies)
    C = table.columns["C"]
    *units, pairs = pair_runs(table, table)
    fits = [fit_arm(C, truth(arm, C) * np.exp(drawn[:, arm])) for arm in (0, 1)]
    quantile = float(stdtrit(len(C) - LAW.num_parameters, 0.95))
    found = {factor: Covered([], [], [], []) for factor in FACTORS}
    for study in range(num_studies):
        matched = [select_study(noise, study) for _, noise in fits]
        noises = [estimate_noise(each, np.ones(len(C)), table.run) for each in matched]
        noise_RP = draw_noise(noises, pairs, (units[0], units[1]), replicates, study)
        refits = []
        for (problem, _), each, added_RP in zip(fits, matched, noise_RP, strict=True):
            own = replace(problem, target=problem.target[study])
            refits.append(refit_to_noise(own, each, added_RP)[1])
        for factor, covered in found.items():
            at = factor * float(C.max())
            log_C = math.log(at)
            loss_R = [rows[:, 0] + rows[:, 1] * np.exp(-rows[:, 2] * log_C) for rows in refits]
            E_R, amplitude_R, exponent_R = refits[1].T
            with np.errstate(divide="ignore", invalid="ignore"):
                multiplier_R = np.log(amplitude_R / np.maximum(loss_R[0] - E_R, 0.0)) / exponent_R - log_C
            covered.difference.append(_covers(loss_R[0] - loss_R[1], float(truth(0, at) - truth(1, at))))
            covered.multiplier.append(_covers(multiplier_R, log_multiplier(at)))
            covered.loss.append(_covers(loss_R[0], float(truth(0, at))))
            covered.linear.append(covers_linear(C, at, drawn[study], quantile))
    return found


def _covers(values_R: Array, value: float) -> bool:
    low, high = central_interval(values_R)
    return low <= value <= high


def covers_linear(C: Array, at: float, noise_2P: Array, quantile: float) -> bool:
    """Whether the textbook interval of the difference contains it, for the first-order expansion of the law."""
    errors, residuals, influences = [], [], []
    for (_, amplitude, exponent), noise_P in zip(TRUTHS, noise_2P, strict=True):

        def gradient(at_P: Array, amplitude: float = amplitude, exponent: float = exponent) -> Array:
            term_P = at_P**-exponent
            return np.stack([np.ones_like(at_P), term_P, -amplitude * term_P * np.log(at_P)], axis=1)

        design_PK = gradient(C) / truth(len(errors), C)[:, None]
        inverse_KP = np.linalg.pinv(design_PK)
        influence_P = (gradient(np.array([at])) @ inverse_KP)[0]
        errors.append(float(influence_P @ noise_P))
        residuals.append(noise_P - design_PK @ (inverse_KP @ noise_P))
        influences.append(influence_P)
    covariance_22 = np.array(residuals) @ np.array(residuals).T / (len(C) - 3)
    signed = np.array([influences[0], -influences[1]])
    variance = float(np.sum(covariance_22 * (signed @ signed.T)))
    return abs(errors[0] - errors[1]) <= quantile * math.sqrt(variance)


def main(num_studies: int = 500, designs: tuple[tuple[int, int], ...] = DESIGNS) -> None:
    print("budgets x seeds  noise  target   difference   multiplier    loss of A   linear law (peer)   seconds")
    for budgets, seeds in designs:
        for noise in NOISES:
            began = time.perf_counter()
            found = coverage(budgets, seeds, noise, num_studies)
            took = time.perf_counter() - began
            for factor, covered in found.items():
                shown = [100 * float(np.mean(getattr(covered, each.name))) for each in fields(covered)]
                print(
                    f"{budgets:>7} x {seeds}      {100 * noise:.1f} %  {factor:>4.0f} x   {shown[0]:8.1f} %   "
                    f"{shown[1]:8.1f} %   {shown[2]:8.1f} %   {shown[3]:15.1f} %   {took:7.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--design", metavar="BUDGETSxSEEDS", help="one of the designs; default all")
    chosen = parser.parse_args()
    if chosen.design:
        budgets_text, _, seeds_text = chosen.design.partition("x")
        main(chosen.studies, ((int(budgets_text), int(seeds_text)),))
    else:
        main(chosen.studies)
