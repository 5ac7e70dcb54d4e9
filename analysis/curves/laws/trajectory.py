"""The trajectory law: the loss at a constant rate and any batch size, as the root of an equation.

L = (N_c/N)^alpha_N + (S_c/S_min)^alpha_S, S_min = S / (1 + B_crit(L)/B), B_crit(L) = B_star / L^(1/alpha_B). S is the
sum of the rates divided by the peak rate. For curves of one size an irreducible loss L0 replaces the term of N; for
curves of one batch size there is no B_crit, and S_c belongs to that batch.

Legend: P points.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Array, Parameter

EXPONENTS = (0.15, 0.3, 0.5, 0.8)
SCALE_FRACTIONS = (1e-4, 1e-3, 1e-2, 1e-1)  # S_c, relative to the span of the curves
IRREDUCIBLE_FRACTIONS = (0.5, 0.75, 0.92)  # L0, relative to the lowest loss
BATCH_RATIOS = (0.1, 1.0, 10.0)  # B_crit at the lowest loss, relative to the batch
MAX_NEWTON_STEPS = 60
NEWTON_TOLERANCE = 1e-15  # relative
COMPLEX_NEWTON_STEPS = 3  # from a real root; each doubles the digits of the derivative


def fitted_points(curve: LossCurve) -> NDArray[np.bool_]:
    return curve.rates.at_peak(curve.time_P)


def _irreducible_loss(values: Values, curve: LossCurve) -> Any:
    return values["L0"] if "L0" in values else np.exp(values["alpha_N"] * np.log(values["N_c"] / curve.size))


def _log_updates(curve: LossCurve) -> Array:
    """The logarithm of S."""
    return np.log(curve.rate_sums / curve.rates.peak)


def _one_batch_terms(values: Values, curve: LossCurve) -> Any:
    fall_P = np.exp(values["alpha_S"] * (np.log(values["S_c"]) - _log_updates(curve)))
    return (_irreducible_loss(values, curve) + fall_P)[:, None]


def _several_batches_terms(values: Values, curve: LossCurve) -> Any:
    """Newton's method for L. The right side minus the left is convex and decreasing in log L, so the iteration
    converges from any start below the root.
    """
    real = {name: np.real(value) for name, value in values.items()}
    loss_P = np.real(_one_batch_terms(real, curve)[:, 0])
    for _ in range(MAX_NEWTON_STEPS):
        step_P = _newton_step(real, curve, loss_P)
        loss_P = loss_P + step_P
        if np.all(np.abs(step_P) <= NEWTON_TOLERANCE * loss_P):
            break
    if any(np.iscomplexobj(value) for value in values.values()):
        for _ in range(COMPLEX_NEWTON_STEPS):
            loss_P = loss_P + _newton_step(values, curve, loss_P)
    return loss_P[:, None]


def _newton_step(values: Values, curve: LossCurve, loss_P: NDArray[Any]) -> NDArray[Any]:
    ratio_P = np.exp(np.log(values["B_star"] / curve.batch) - np.log(loss_P) / values["alpha_B"])
    fall_P = np.exp(values["alpha_S"] * (np.log(values["S_c"]) - _log_updates(curve) + np.log1p(ratio_P)))
    slope_P = 1 + fall_P * values["alpha_S"] * ratio_P / (1 + ratio_P) / (values["alpha_B"] * loss_P)
    return np.asarray((_irreducible_loss(values, curve) + fall_P - loss_P) / slope_P)


def specialize(curves: Sequence[LossCurve]) -> CurveLaw:
    """The law with terms of size and of batch size where these are known and differ among the curves."""
    sizes = len({curve.size for curve in curves}) > 1 and all(curve.size for curve in curves)
    batches = len({curve.batch for curve in curves}) > 1 and all(curve.batch for curve in curves)
    names = (*(("N_c", "alpha_N") if sizes else ("L0",)), "S_c", "alpha_S", *(("B_star", "alpha_B") if batches else ()))
    return with_parameters(names)


def with_parameters(names: Collection[str]) -> CurveLaw:
    """The form of the law that has the parameters of these names."""
    return replace(
        LAW,
        parameters=tuple(parameter for name, parameter in PARAMETERS.items() if name in names),
        terms=_several_batches_terms if "B_star" in names else _one_batch_terms,
        start_grid=_start_grid(names),
        specialize=None,
    )


def _start_grid(names: Collection[str]) -> Callable[[Sequence[LossCurve]], Mapping[str, Sequence[float]]]:
    def start_grid(curves: Sequence[LossCurve]) -> Mapping[str, Sequence[float]]:
        span = max(float(curve.rate_sums[-1]) / curve.rates.peak for curve in curves)
        lowest = min(float(curve.loss_P.min()) for curve in curves)
        size = float(np.median([curve.size or 1.0 for curve in curves]))
        batch = float(np.median([curve.batch or 1.0 for curve in curves]))
        grid = {
            "L0": tuple(share * lowest for share in IRREDUCIBLE_FRACTIONS),
            "N_c": tuple(size * (share * lowest) ** (1 / 0.08) for share in IRREDUCIBLE_FRACTIONS),
            "alpha_N": (0.05, 0.08, 0.12),
            "S_c": tuple(share * span for share in SCALE_FRACTIONS),
            "alpha_S": EXPONENTS,
            "B_star": tuple(ratio * batch * lowest**5 for ratio in BATCH_RATIOS),
            "alpha_B": (0.2, 0.5),
        }
        return {name: values for name, values in grid.items() if name in names}

    return start_grid


PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        Parameter("L0", "irreducible loss at the peak rate, nats per token"),
        Parameter("N_c", "size at which an infinitely long run would have a loss of 1, parameters"),
        Parameter("alpha_N", "exponent of size", upper=10.0),
        Parameter("S_c", "scale of the number of updates"),
        Parameter("alpha_S", "exponent of the updates", upper=10.0),
        Parameter("B_star", "critical batch at a loss of 1, tokens"),
        Parameter("alpha_B", "critical batch falls with the loss to the power of 1/alpha_B", upper=10.0),
    )
}
LAW = CurveLaw(
    name="trajectory",
    title="Full-trajectory law of the constant rate",
    formula="L = (N_c/N)^alpha_N + (S_c/S_min)^alpha_S, S_min = S/(1 + B_crit/B), B_crit = B_star/L^(1/alpha_B)",
    citation="Su et al. 2024, arXiv 2403.06563; Kaplan et al. 2020, arXiv 2001.08361, equation 5.6",
    required_curves="curves at a constant rate; several sizes and several batch sizes for their terms",
    parameters=(PARAMETERS["L0"], PARAMETERS["S_c"], PARAMETERS["alpha_S"]),
    linear=(),
    terms=_one_batch_terms,
    start_grid=_start_grid(("L0", "S_c", "alpha_S")),
    fitted_points=fitted_points,
    penalizes_high_rates=False,
    specialize=specialize,
)
