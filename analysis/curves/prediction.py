"""What a fitted law says of a schedule that was not trained: the curve, and the final loss with its interval.

The interval joins what the bootstrap over curves says of the parameters with how far whole fitted curves lie from the
law at their ends.

Legend: P points, R replicates.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.curves.curve import Curve
from analysis.curves.document import FittedCurves
from analysis.curves.laws import curve_law
from analysis.curves.laws.trajectory import specialise_for
from analysis.curves.over_sizes import of_parameters
from analysis.law import Array
from train.errors import InputError

LEVEL = 0.90
PEAK_APART = 1.5  # a peak rate further than this from those that were fitted is refused


@dataclass(frozen=True)
class CurvePrediction:
    """`loss_P` at the times of the schedule; the interval is of the last, None without replicates."""

    curve: Curve
    loss_P: Array
    interval_90: tuple[float, float] | None
    beyond: float  # times the longest fitted curve

    def document(self, fit: FittedCurves) -> dict[str, Any]:
        return {
            "law": fit.law,
            "status": fit.status,
            "schedule": self.curve.name,
            "final": {
                "step": float(self.curve.time_P[-1]),
                "loss": float(self.loss_P[-1]),
                "interval_90": None if self.interval_90 is None else list(self.interval_90),
            },
            "extrapolation": {"steps": self.beyond},
            "curve": {"step": self.curve.time_P.tolist(), "loss": self.loss_P.tolist()},
        }


def predict_curve(fit: FittedCurves, curve: Curve, seed: int = 0) -> CurvePrediction:
    """The loss at every logged time of a schedule. Raises InputError where the law reads a size that it lacks."""
    stem, _, over = fit.law.partition(":")
    law = specialise_for(fit.parameters) if fit.law == "trajectory" else curve_law(stem)
    law = of_parameters(law, fit.parameters) if over else law
    reads_size = bool(over) or "N_c" in fit.parameters
    if (reads_size and curve.size is None) or ("B_star" in fit.parameters and curve.batch is None):
        raise InputError(f"{curve.name}: the fit reads the size N and the batch B: give the schedule columns of them")
    low, high = fit.peaks
    if not low / PEAK_APART <= curve.rates.peak <= high * PEAK_APART:
        raise InputError(
            f"{curve.name}: its peak rate is {curve.rates.peak:.3g}, and {low:.3g} to {high:.3g} were fitted: "
            "a law of schedules says nothing of other peaks; fit curves with this one"
        )
    loss_P = np.asarray(law.predict(fit.parameters, curve), dtype=np.float64)
    number = len(next(iter(fit.replicates.values()), ()))
    interval = None
    if number:
        last = curve.points(np.arange(curve.num_points) == curve.num_points - 1)
        drawn_R = np.array(
            [
                float(law.predict({name: values[place] for name, values in fit.replicates.items()}, last)[0])
                for place in range(number)
            ]
        )
        noise_R = fit.noise * np.random.default_rng(seed).standard_normal(number)
        low, high = np.quantile(drawn_R * np.exp(noise_R), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        interval = float(low), float(high)
    return CurvePrediction(curve, loss_P, interval, float(curve.time_P[-1]) / fit.last_update)
