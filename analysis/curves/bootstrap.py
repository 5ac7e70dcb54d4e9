"""How sure a fit of curves is: bootstrap over whole curves, since points of one curve share their noise.

Legend: P points, R replicates, K parameters, U curves.
"""

from collections.abc import Sequence

import numpy as np

from windtunnel.analysis.curves.cross_validation import InnerScore, end_apart
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.fitting.bootstrap import bootstrap_weights
from windtunnel.analysis.laws.law import Array

# Each starts at the fit; in a flat valley more steps move its parameters, and hardly what it predicts.
MOST_STEPS = 12


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


def end_noise(fit: CurveFit, curves: Sequence[Curve], validated: Sequence[InnerScore]) -> float:
    """How far a whole curve lies from the law at its end, root mean square of log loss: as the fitted curves do, or, if
    that is more, as each did when it was predicted from the others, which knows where the law is wrong of a schedule.
    """
    fitted = [end_apart(fit, curve) for curve in curves]
    weights = getattr(fit.law, "weights", (1.0,))
    ends = {each.law: each.ends for each in validated}
    held_out = [ends[each.law.name] for each in fit.members or (fit,) if each.law.name in ends]
    noise = float(np.sqrt(np.mean(np.square(fitted))))
    if len(held_out) < len(weights):
        return noise
    joint = np.sum([weight * np.array(each) for weight, each in zip(weights, held_out, strict=True)], axis=0)
    return max(noise, float(np.sqrt(np.mean(np.square(joint)))))
