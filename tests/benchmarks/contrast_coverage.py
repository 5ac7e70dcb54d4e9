"""Coverage of the 90 % intervals of a contrast, over 500 noisy studies of two arms.

The intervals are those of the difference of the losses, the compute multiplier and the loss of one arm, at 1, 8 and 30
times the largest budget. Four budgets with one seed are not tested: too few points for a law of three parameters.

The baseline, on the same draws, is the exact interval of the difference for the linearized law: it shows by how much
the coverage of 500 studies differs from 90 % by chance, which is more than one percent.

Legend: P points, R studies or noise draws, K parameters, 2 arms.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

from tests.support.batch_fits import fit_batch
from windtunnel.analysis.comparison.contrast import refit_to_noise
from windtunnel.analysis.comparison.crossover import central_interval
from windtunnel.analysis.comparison.paired_noise import draw_noise, estimate_noise, pair_runs
from windtunnel.analysis.fitting.noise import ResidualNoise, residual_noise
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.problem import Problem
from windtunnel.analysis.tables.table import Table

# E, A and alpha of each arm. Half of the variance of a run is common to its pair.
TRUTHS = ((1.2, 60.0, 0.12), (1.2, 63.0, 0.12))
SHARED = 0.5
DECADES = 3.6  # of compute that every design spans
DESIGNS = ((4, 3), (5, 1), (5, 3), (6, 1), (6, 3), (10, 1), (10, 3))  # budgets, seeds
NOISES = (0.002, 0.005, 0.01)
FACTORS = (1.0, 8.0, 30.0)
NUM_STARTS = 3
REPLICATES = 400
LAW = get_law("power:C")


@dataclass(frozen=True)
class Covered:
    """Whether the interval of each study covers the truth."""

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
    """The design as a table, and the noise of both arms in every study: (R, 2, P)."""
    C = np.repeat(np.geomspace(1e13, 1e13 * 10**DECADES, budgets), seeds)
    generator = np.random.default_rng((budgets, seeds, round(1e6 * noise)))
    common, *own = generator.standard_normal((3, num_studies, len(C)))
    drawn = [noise * (math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * arm) for arm in own]
    table = Table.from_columns({"C": C, "loss": C, "seed": np.tile(np.arange(float(seeds)), budgets)})
    return table, np.stack(drawn, axis=1)


def fit_arm(C: Array, target_RP: Array) -> tuple[Problem, ResidualNoise]:
    """All studies of one arm, fitted as one batch."""
    problem, internal_RK = fit_batch(LAW, {"C": C}, target_RP, LAW.objective, NUM_STARTS)
    return problem, residual_noise(problem, internal_RK)


def select_study(noise: ResidualNoise, study: int) -> ResidualNoise:
    """The noise of one study of a batch."""
    values = {field.name: getattr(noise, field.name) for field in fields(noise)}
    return replace(
        noise,
        **{name: value[study : study + 1] for name, value in values.items() if isinstance(value, np.ndarray)},
    )


def coverage(
    budgets: int, seeds: int, noise: float, num_studies: int, replicates: int = REPLICATES
) -> dict[float, Covered]:
    """The coverage at each distance of the target beyond the data."""
    table, drawn = studies(budgets, seeds, noise, num_studies)
    C = table.columns["C"]
    *units, pairs = pair_runs(table, table)
    fits = [fit_arm(C, truth(arm, C) * np.exp(drawn[:, arm])) for arm in (0, 1)]
    quantile = float(stdtrit(len(C) - LAW.num_parameters, 0.95))
    covered_at = {factor: Covered([], [], [], []) for factor in FACTORS}
    for study in range(num_studies):
        fit_noises = [select_study(noise, study) for _, noise in fits]
        noises = [estimate_noise(noise, np.ones(len(C)), table.run) for noise in fit_noises]
        noise_RP = draw_noise(noises, pairs, (units[0], units[1]), replicates, study)
        refits = []
        for (problem, _), fit_noise, added_RP in zip(fits, fit_noises, noise_RP, strict=True):
            study_problem = replace(problem, target=problem.target[study])
            refits.append(refit_to_noise(study_problem, fit_noise, added_RP)[1])
        for factor, covered in covered_at.items():
            at = factor * float(C.max())
            log_C = math.log(at)
            loss_R = [fit_RK[:, 0] + fit_RK[:, 1] * np.exp(-fit_RK[:, 2] * log_C) for fit_RK in refits]
            E_R, amplitude_R, exponent_R = refits[1].T
            with np.errstate(divide="ignore", invalid="ignore"):
                multiplier_R = np.log(amplitude_R / np.maximum(loss_R[0] - E_R, 0.0)) / exponent_R - log_C
            covered.difference.append(_covers(loss_R[0] - loss_R[1], float(truth(0, at) - truth(1, at))))
            covered.multiplier.append(_covers(multiplier_R, log_multiplier(at)))
            covered.loss.append(_covers(loss_R[0], float(truth(0, at))))
            covered.linear.append(covers_linear(C, at, drawn[study], quantile))
    return covered_at


def _covers(values_R: Array, value: float) -> bool:
    low, high = central_interval(values_R)
    return low <= value <= high


def covers_linear(C: Array, at: float, noise_2P: Array, quantile: float) -> bool:
    """Whether the textbook interval of the difference covers it, for the first-order expansion of the law."""
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


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500, help="noisy studies of each design; default 500")
    parser.add_argument("--design", metavar="BUDGETSxSEEDS", help="one design, such as 6x1; default: all")
    options = parser.parse_args(arguments)
    designs = [tuple(map(int, options.design.split("x")))] if options.design else DESIGNS
    print("budgets x seeds  noise  target   difference   multiplier    loss of A   linear law (baseline)   seconds")
    for budgets, seeds in designs:
        for noise in NOISES:
            start = time.perf_counter()
            covered_at = coverage(budgets, seeds, noise, options.studies)
            seconds = time.perf_counter() - start
            for factor, covered in covered_at.items():
                shares = [100 * float(np.mean(getattr(covered, field.name))) for field in fields(covered)]
                print(
                    f"{budgets:>7} x {seeds}      {100 * noise:.1f} %  {factor:>4.0f} x   {shares[0]:8.1f} %   "
                    f"{shares[1]:8.1f} %   {shares[2]:8.1f} %   {shares[3]:19.1f} %   {seconds:7.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
