"""A baseline without a schedule: a power law in the number of updates, fitted to the last part of every curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Parameter

WINDOW = 0.5  # the last fraction of the updates of a curve, which is fitted
EXPONENTS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5)


def terms(values: Values, curve: LossCurve) -> Any:
    power_P = np.exp(-values["alpha"] * np.log(curve.time_P))
    return np.stack([np.ones_like(power_P), power_P], axis=1)


def term_derivatives(values: Values, curve: LossCurve) -> Mapping[str, Any]:
    log_time_P = np.log(curve.time_P)
    by_alpha_P = -np.exp(-values["alpha"] * log_time_P) * log_time_P
    return {"alpha": np.stack([np.zeros_like(by_alpha_P), by_alpha_P], axis=1)}


def fitted_points(curve: LossCurve) -> NDArray[np.bool_]:
    return np.asarray(curve.time_P >= (1 - WINDOW) * curve.time_P[-1])


def start_grid(curves: Sequence[LossCurve]) -> Mapping[str, Sequence[float]]:
    return {"alpha": EXPONENTS}


LAW = CurveLaw(
    name="last-window",
    title="Power law of the last window",
    formula="L = L0 + A t^-alpha, fitted where t is in the last half",
    citation="ours: a baseline for laws of schedules",
    required_curves="one curve",
    parameters=(
        Parameter("L0", "loss of a long run, nats per token"),
        Parameter("A", "amplitude of the power law, nats per token after 1 update"),
        Parameter("alpha", "exponent of the updates", upper=10.0),
    ),
    linear=("L0", "A"),
    terms=terms,
    start_grid=start_grid,
    term_derivatives=term_derivatives,
    fitted_points=fitted_points,
    penalizes_high_rates=False,
    size_dependent=("alpha",),
)
