"""Which laws of a backtest the noise does not tell from the best one.

Laws are judged on the same runs, so their errors are compared run by run, and what they were fitted to is as noisy as
what they are judged on: every replicate gives each run one random weight, in the fits as in the mean error, the same
for all laws. Two laws are told apart where the logarithm of the ratio of their mean errors (close to symmetric, as the
difference is not) is farther from zero than Student's t allows, with the held-out runs to spare as degrees of freedom.
It errs towards not telling: of two laws wrong to the same degree it tells fewer than the tenth that 90 % would allow.

Legend: P points, H held-out points, R replicates, U runs, K parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem

if TYPE_CHECKING:
    from windtunnel.analysis.comparison.backtest import Backtest

LEVEL = 0.9
REPLICATES = 100
# Errors below this are rounding: noise-free data.
ROUNDING = 1e-7


def not_told_apart(tested: "Backtest", order: Sequence[str], *, seed: int = 0) -> tuple[str, ...]:
    """Of the laws after the first of `order`, those whose mean error may be its: by name."""
    from scipy.special import stdtrit

    if len(order) < 2:
        return ()
    runs, run_of_P = np.unique(tested.table.run, return_inverse=True)
    drawn_RU = np.random.default_rng(seed).exponential(size=(REPLICATES, len(runs)))
    weights_RP = np.concatenate([np.ones((1, len(run_of_P))), drawn_RU[:, run_of_P]])
    spare = len(set(tested.table.run[np.any(tested.splits, axis=0)].tolist())) - 1
    errors = {name: np.log(np.maximum(_mean_error(tested, name, weights_RP), ROUNDING)) for name in order}
    found = []
    for name in order[1:]:
        difference_R = errors[name] - errors[order[0]]
        # Exponential weights of U runs have (U - 1) / (U + 1) of the variance they stand for.
        deviation = float(np.std(difference_R[1:])) * np.sqrt((spare + 2) / max(spare, 1))
        reach = float(stdtrit(spare, 0.5 + LEVEL / 2)) * deviation if spare else np.inf
        if abs(difference_R[0]) <= reach:
            found.append(name)
    return tuple(found)


def _mean_error(tested: "Backtest", name: str, weights_RP: Array) -> Array:
    """The law's mean absolute relative error over all cuts under each row of weights: (R,)."""
    total_R, weight_R = np.zeros(len(weights_RP)), np.zeros(len(weights_RP))
    for found, held_P in zip(tested.fits[name], tested.splits, strict=True):
        columns = tested.table.take(held_P).require(*found.law.columns, found.law.target)
        observed_H = columns.pop(found.law.target)
        of_run = dict(zip(tested.table.run.tolist(), weights_RP.T, strict=True))
        predicted_RH = _refitted(found, of_run, columns)
        total_R += np.sum(weights_RP[:, held_P] * np.abs(predicted_RH / observed_H - 1.0), axis=1)
        weight_R += weights_RP[:, held_P].sum(axis=1)
    return np.asarray(total_R / weight_R)


def _refitted(found: Fit, of_run: Mapping[str, Array], columns: Mapping[str, Array]) -> Array:
    """What the law, refitted under each row of weights, says of the held-out points: (R, H). The first row is the fit
    itself. A law in two steps stays as it is.
    """
    points = found.points
    weights_RP = points.weights_P * np.stack([of_run[str(run)] for run in points.run_P], axis=1)
    fitted_H = found.predict(columns)
    if found.law.steps is not None:
        return np.broadcast_to(fitted_H, (len(weights_RP), len(fitted_H)))
    problem = Problem.of(found.law, points.columns, points.target_P, points.weights_P, parse_objective(found.objective))
    start_1K = problem.coordinates.to_internal(found.natural_row())
    own = replace(problem, weights=weights_RP[1:])
    # As finely as a bootstrap: absolute deviations to a threshold of 1e-4.
    deltas = problem.deltas()[:4][-2:]
    solved = own.solve(np.tile(start_1K, (len(weights_RP) - 1, 1)), deltas, max_iterations=60, tolerance=1e-6)
    return np.concatenate([fitted_H[None], problem.coordinates.predict(solved.internal_RK, columns)])
