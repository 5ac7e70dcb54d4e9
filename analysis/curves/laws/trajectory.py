"""The trajectory law: the loss at a constant rate, at any batch size, as the root of an equation.

L = (N_c/N)^alpha_N + (S_c/S_min)^alpha_S, S_min = S / (1 + B_crit(L)/B), B_crit(L) = B_star / L^(1/alpha_B). S is the
sum of the rates over the peak rate. Curves of one size have a floor L0 in place of the term of N, and curves of one
batch no B_crit: S_c is then that at this batch.

Legend: P points.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Parameter

EXPONENTS = (0.15, 0.3, 0.5, 0.8)
SCALES = (1e-4, 1e-3, 1e-2, 1e-1)  # S_c, of the span of the curves
FLOORS = (0.5, 0.75, 0.92)  # of the lowest loss
BATCHES = (0.1, 1.0, 10.0)  # B_crit at the lowest loss, of the batch
NEWTON_STEPS = 60
COMPLEX_STEPS = 3  # from a real root: each doubles the digits of the derivative


def fitted(curve: Curve) -> NDArray[np.bool_]:
    return curve.rates.at_peak(curve.time_P)


def _floor(values: Values, curve: Curve) -> Any:
    return values["L0"] if "L0" in values else np.exp(values["alpha_N"] * np.log(values["N_c"] / curve.size))


def _of_one_batch(values: Values, curve: Curve) -> Any:
    log_updates_P = np.log(curve.sums / curve.rates.peak)
    fall_P = np.exp(values["alpha_S"] * (np.log(values["S_c"]) - log_updates_P))
    return (_floor(values, curve) + fall_P)[:, None]


def _of_batches(values: Values, curve: Curve) -> Any:
    """Newton's steps on log L: the right side less the left is convex and falling in it, so that they cannot run away
    from a start below the root.
    """
    real = {name: np.real(value) for name, value in values.items()}
    loss_P = np.real(_of_one_batch(real, curve)[:, 0])
    for _ in range(NEWTON_STEPS):
        step_P = _newton(real, curve, loss_P)
        loss_P = loss_P + step_P
        if np.all(np.abs(step_P) <= 1e-15 * loss_P):
            break
    if any(np.iscomplexobj(value) for value in values.values()):
        for _ in range(COMPLEX_STEPS):
            loss_P = loss_P + _newton(values, curve, loss_P)
    return loss_P[:, None]


def _newton(values: Values, curve: Curve, loss_P: NDArray[Any]) -> NDArray[Any]:
    log_updates_P = np.log(curve.sums / curve.rates.peak)
    ratio_P = np.exp(np.log(values["B_star"] / curve.batch) - np.log(loss_P) / values["alpha_B"])
    fall_P = np.exp(values["alpha_S"] * (np.log(values["S_c"]) - log_updates_P + np.log1p(ratio_P)))
    slope_P = 1 + fall_P * values["alpha_S"] * ratio_P / (1 + ratio_P) / (values["alpha_B"] * loss_P)
    return np.asarray((_floor(values, curve) + fall_P - loss_P) / slope_P)


def specialise(curves: Sequence[Curve]) -> CurveLaw:
    """With the terms that the curves can tell apart: of size and of batch where these are known and differ."""
    sizes = len({curve.size for curve in curves}) > 1 and all(curve.size for curve in curves)
    batches = len({curve.batch for curve in curves}) > 1 and all(curve.batch for curve in curves)
    names = (*(("N_c", "alpha_N") if sizes else ("L0",)), "S_c", "alpha_S", *(("B_star", "alpha_B") if batches else ()))
    return specialise_for(names)


def specialise_for(names: Collection[str]) -> CurveLaw:
    """With the parameters of these names."""
    return replace(
        LAW,
        parameters=tuple(parameter for name, parameter in PARAMETERS.items() if name in names),
        terms=_of_batches if "B_star" in names else _of_one_batch,
        start_grid=_grid_of(names),
        specialise=None,
    )


def _grid_of(names: Collection[str]) -> Callable[[Sequence[Curve]], Mapping[str, Sequence[float]]]:
    def start_grid(curves: Sequence[Curve]) -> Mapping[str, Sequence[float]]:
        span = max(float(curve.sums[-1]) / curve.rates.peak for curve in curves)
        lowest = min(float(curve.loss_P.min()) for curve in curves)
        size = float(np.median([curve.size or 1.0 for curve in curves]))
        batch = float(np.median([curve.batch or 1.0 for curve in curves]))
        grid = {
            "L0": tuple(share * lowest for share in FLOORS),
            "N_c": tuple(size * (share * lowest) ** (1 / 0.08) for share in FLOORS),
            "alpha_N": (0.05, 0.08, 0.12),
            "S_c": tuple(share * span for share in SCALES),
            "alpha_S": EXPONENTS,
            "B_star": tuple(share * batch * lowest**5 for share in BATCHES),
            "alpha_B": (0.2, 0.5),
        }
        return {name: values for name, values in grid.items() if name in names}

    return start_grid


PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        Parameter("L0", "loss of an endless run at the peak rate, nats per token"),
        Parameter("N_c", "size at which an endless run would have a loss of 1, parameters"),
        Parameter("alpha_N", "exponent of size", upper=10.0),
        Parameter("S_c", "scale of the updates"),
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
    runs="curves at a constant rate; several sizes and several batches for their terms",
    parameters=(PARAMETERS["L0"], PARAMETERS["S_c"], PARAMETERS["alpha_S"]),
    linear=(),
    terms=_of_one_batch,
    start_grid=_grid_of(("L0", "S_c", "alpha_S")),
    fitted=fitted,
    prices_noise=False,
    specialise=specialise,
)
