"""How sure a fit of curves is: bootstrap over whole curves, since points of one curve share their noise.

Legend: P points, R replicates, K parameters, U curves.
"""

import numpy as np

from analysis.bootstrap import bootstrap_weights
from analysis.curves.fitting import CurveFit
from analysis.law import Array

# Each starts at the fit; in a flat valley more steps move its parameters, and hardly what it predicts.
MOST_STEPS = 12
END = 0.1  # of the points of a curve: its end, where its distance from the law is taken


def replicates(fit: CurveFit, number: int, seed: int) -> dict[str, Array]:
    """Natural parameters of fits in which every curve has a random weight: (R,) each. Each starts at the fit."""
    if fit.members:  # one seed: the same curves have the same weights in every member
        drawn = [(each.law.name, replicates(each, number, seed)) for each in fit.members]
        return {f"{law}.{name}": values for law, found in drawn for name, values in found.items()}
    problem = fit.problem
    if problem is None or not fit.parameters:
        return {}
    drawn_RP = bootstrap_weights(problem.curve_of_point, number, len(fit.law.names), seed)
    start_RK = np.tile(problem.internal(fit.parameters), (number, 1))
    found = problem.solve(start_RK, problem.deltas()[-1:], drawn_RP, tolerance=1e-6, max_iterations=MOST_STEPS)
    natural = [problem.natural(internal_K) for internal_K in found.internal_RK]
    return {name: np.array([each[name] for each in natural]) for name in fit.law.names}


def end_noise(fit: CurveFit) -> float:
    """The root mean square, over the fitted curves, of the mean residual of log loss at their ends."""
    problem = fit.members[0].problem if fit.members else fit.problem
    if problem is None:
        return 0.0
    ends = []
    for curve in problem.curves:
        residual_P = np.log(fit.predict(curve) / curve.loss_P)
        ends.append(float(residual_P[-max(1, round(END * curve.num_points)) :].mean()))
    return float(np.sqrt(np.mean(np.square(ends))))
