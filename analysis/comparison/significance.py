"""Laws of a backtest that are statistically indistinguishable from the best one (paired bootstrap over runs).

All laws are tested on the same runs, so their errors are compared run by run. In every replicate each run has one
random weight, the same for all laws, both in the fits and in the mean error: the training data are as noisy as the
held-out data. Two laws differ significantly where the log of the ratio of their mean errors (nearly symmetric, unlike
their difference) is farther from zero than Student's t allows, with one degree of freedom fewer than there are held-out
runs. The test is conservative: of two equally wrong laws it separates fewer than the nominal 10 %.

Legend: P points, H held-out points, R replicates, U runs, K parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from windtunnel.analysis.comparison.backtest import MIN_ERROR, Backtest
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array

CONFIDENCE_LEVEL = 0.9
REPLICATES = 100


def indistinguishable_laws(tested: Backtest, order: Sequence[str], *, seed: int = 0) -> tuple[str, ...]:
    """The laws in `order` after the first whose mean error does not differ significantly from the first law's."""
    from scipy.special import stdtrit  # slow to import

    if len(order) < 2:
        return ()
    runs, run_of_P = np.unique(tested.table.run, return_inverse=True)
    drawn_RU = np.random.default_rng(seed).exponential(size=(REPLICATES, len(runs)))
    weights_RP = np.concatenate([np.ones((1, len(run_of_P))), drawn_RU[:, run_of_P]])
    degrees = len(set(tested.table.run[np.any(tested.splits, axis=0)].tolist())) - 1
    log_error_R = {name: np.log(np.maximum(_mean_error(tested, name, weights_RP), MIN_ERROR)) for name in order}
    indistinguishable = []
    for name in order[1:]:
        difference_R = log_error_R[name] - log_error_R[order[0]]
        # Exponential weights of U runs have (U - 1) / (U + 1) of the variance that they represent.
        deviation = float(np.std(difference_R[1:])) * np.sqrt((degrees + 2) / max(degrees, 1))
        threshold = float(stdtrit(degrees, 0.5 + CONFIDENCE_LEVEL / 2)) * deviation if degrees else np.inf
        if abs(difference_R[0]) <= threshold:
            indistinguishable.append(name)
    return tuple(indistinguishable)


def _mean_error(tested: Backtest, name: str, weights_RP: Array) -> Array:
    """The law's mean absolute relative error over all splits under each row of weights: (R,)."""
    total_R, weight_R = np.zeros(len(weights_RP)), np.zeros(len(weights_RP))
    for fitted, held_P in zip(tested.fits[name], tested.splits, strict=True):
        columns = tested.table.take(held_P).require(*fitted.law.columns, fitted.law.target)
        observed_H = columns.pop(fitted.law.target)
        weights_by_run = dict(zip(tested.table.run.tolist(), weights_RP.T, strict=True))
        predicted_RH = _refit_predictions(fitted, weights_by_run, columns)
        total_R += np.sum(weights_RP[:, held_P] * np.abs(predicted_RH / observed_H - 1.0), axis=1)
        weight_R += weights_RP[:, held_P].sum(axis=1)
    return np.asarray(total_R / weight_R)


def _refit_predictions(fitted: Fit, weights_by_run: Mapping[str, Array], columns: Mapping[str, Array]) -> Array:
    """Predictions at the held-out points of the law refitted under each row of weights: (R, H).

    The first row is the fit itself. A two-step law is not refitted.
    """
    points = fitted.points
    weights_RP = points.weights_P * np.stack([weights_by_run[str(run)] for run in points.run_P], axis=1)
    fitted_H = fitted.predict(columns)
    if fitted.law.steps is not None:
        return np.broadcast_to(fitted_H, (len(weights_RP), len(fitted_H)))
    problem = fitted.problem()
    start_1K = problem.coordinates.to_internal(fitted.natural_row())
    reweighted = replace(problem, weights=weights_RP[1:])
    # The precision of a bootstrap: absolute deviations down to a threshold of 1e-4.
    deltas = problem.deltas()[:4][-2:]
    solved = reweighted.solve(np.tile(start_1K, (len(weights_RP) - 1, 1)), deltas, max_iterations=60, tolerance=1e-6)
    return np.concatenate([fitted_H[None], problem.coordinates.predict(solved.internal_RK, columns)])
