"""What a fitted law says of a schedule that was not trained: the curve, and the final loss with its interval.

The interval joins what the bootstrap over curves says of the parameters with how far whole curves lie from the law at
their ends: those that were fitted, and each when it was predicted from the others (`end_noise`). That distance is
known from few curves, so its quantiles are Student's, of one degree of freedom less than there were curves.

Legend: P points, R replicates, Q quantiles.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.result import FittedCurves, without_replicates
from windtunnel.analysis.laws.law import Array
from windtunnel.train.errors import InputError

LEVEL = 0.90
QUANTILES = 200
SAME = 0.01  # sizes or batches this close are one: people round them
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


def predict_curve(fit: FittedCurves, curve: Curve) -> CurvePrediction:
    """The loss at every logged time of a schedule. Raises InputError where the fit says nothing of it."""
    refuse_foreign(fit, curve)
    interval = None
    if fit.num_replicates:
        drawn_R = fit.final_losses(curve)
        share_Q = (np.arange(QUANTILES) + 0.5) / QUANTILES
        noise_Q = fit.noise * (stdtrit(fit.num_curves - 1, share_Q) if fit.num_curves > 1 else ndtri(share_Q))
        ends = (1 - LEVEL) / 2, (1 + LEVEL) / 2
        low, high = np.quantile(drawn_R[:, None] * np.exp(noise_Q), ends, method="hazen")  # of shares as above
        interval = float(low), float(high)
    return CurvePrediction(curve, fit.predict(curve), interval, float(curve.time_P[-1]) / fit.last_update)


def refuse_foreign(fit: FittedCurves, curve: Curve) -> None:
    """Raises InputError where the law reads a size or a batch that the curve lacks, or knows nothing of the curve's
    peak rate, size, batch or kind of losses.
    """
    members = {name.rpartition(".")[0] for name in fit.parameters}  # "" alone, or those of a combination
    knows_size = [":N" in (member or fit.law) or _named(member, "N_c") in fit.parameters for member in members]
    knows_batch = [_named(member, "B_star") in fit.parameters for member in members]
    if (any(knows_size) and curve.size is None) or (any(knows_batch) and curve.batch is None):
        raise InputError(f"{curve.name}: the fit reads the size N and the batch B: give the schedule columns of them")
    if not all(knows_size) and not _among(curve.size, fit.sizes):
        several = "auto" if "*" in fit.law else fit.law if curve_law(fit.law).specialise is not None else f"{fit.law}:N"
        raise InputError(
            f"{curve.name}: its N is {curve.size:,.0f} (parameters without embeddings, with the head), and fitted was "
            f"{listed(fit.sizes)}: of one size a law says nothing of others; fit {several} to curves of several"
        )
    if not all(knows_batch) and not _among(curve.batch, fit.batches):
        raise InputError(
            f"{curve.name}: its updates take {curve.batch:,.0f} tokens, and fitted were {listed(fit.batches)}: fit "
            "curves with that batch"
        )
    if curve.losses and fit.losses and curve.losses != fit.losses:
        raise InputError(f"{curve.name}: the fit is of {fit.losses} losses, not {curve.losses}: --losses {fit.losses}")
    if not near_peaks(curve.rates.peak, fit.peaks):
        low, high = fit.peaks
        raise InputError(
            f"{curve.name}: its peak rate is {curve.rates.peak:.3g}, and {low:.3g} to {high:.3g} were fitted: "
            "a law of schedules says nothing of other peaks; fit curves with this one"
        )


def foreign_notes(found: CurveFit, train: Sequence[Curve], test: Sequence[Curve]) -> list[str]:
    """Of curves that a fit was made of or tested on: batches that it takes for one, and test curves of which a
    prediction would be refused.
    """
    if not found.parameters:
        return []
    fit = without_replicates(found, train)
    notes = []
    if len(fit.batches) > 1 and not any(_named(name.rpartition(".")[0], "B_star") == name for name in found.parameters):
        notes.append(f"fitted were updates of {listed(fit.batches)} tokens, which {found.law.name} takes for one")
    for curve in test:
        try:
            refuse_foreign(fit, curve)
        except InputError as error:
            notes.append(f"scored, though no prediction: {error}")
    return notes


def _named(member: str, parameter: str) -> str:
    return f"{member}.{parameter}" if member else parameter


def near_peaks(rate: float, peaks: Collection[float]) -> bool:
    """Whether laws that were fitted to runs of these peak rates say anything of this one."""
    return min(peaks) / PEAK_APART <= rate <= max(peaks) * PEAK_APART


def listed(values: Collection[float]) -> str:
    """Rates, sizes or batches for people."""
    return ", ".join(f"{value:,.3g}" if value < 1 else f"{value:,.0f}" for value in sorted(values))


def _among(value: float | None, fitted: tuple[float, ...]) -> bool:
    """True where one of them is not known."""
    return value is None or not fitted or any(abs(value / each - 1) < SAME for each in fitted)
