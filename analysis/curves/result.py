"""A fitted curve law with its uncertainty and its domain: all that a prediction needs, kept in a JSON file.

Legend: P points, R replicates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from windtunnel.analysis.curves.bootstrap import bootstrap_replicates, end_noise
from windtunnel.analysis.curves.cross_validation import CrossValidationScore
from windtunnel.analysis.curves.curve import LossCurve, LossKind
from windtunnel.analysis.curves.domain import FittedDomain
from windtunnel.analysis.curves.ensemble import reconstruct_law
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.load import ScheduleSource, load_schedule
from windtunnel.analysis.curves.predict import CurvePrediction, final_loss_interval
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.signed_json import (
    JsonArray,
    from_document,
    parsing,
    read_signed,
    to_document,
    write_signed,
)

MADE_BY = "windtunnel curves fit"


@dataclass(frozen=True)
class FittedCurveLaw:
    """A curve law with fitted parameters.

    law: the name of a law or of a combination. status, reason, not_identified: of the fit.
    replicates: bootstrap replicates of the parameters, (R,) each.
    noise: standard deviation of the log loss of a whole curve around the law at its end (`end_noise`).
    last_update: the end of the longest fitted curve. peaks, sizes, batches, losses: the domain (`FittedDomain`).
    num_curves: number of fitted curves; 0 where unknown.

    The fields are those of the file; the ones with a default are missing in files of an earlier version.
    """

    law: str
    parameters: dict[str, float]
    status: str
    replicates: dict[str, JsonArray]
    noise: float
    last_update: float
    peaks: tuple[float, float]
    reason: str = ""
    not_identified: tuple[str, ...] = ()
    sizes: tuple[float, ...] = ()
    batches: tuple[float, ...] = ()
    losses: str = ""
    num_curves: int = 0

    @classmethod
    def from_fit(
        cls,
        fit: CurveFit,
        curves: Sequence[LossCurve],
        num_replicates: int,
        seed: int,
        scores: Sequence[CrossValidationScore] = (),
    ) -> "FittedCurveLaw":
        """The result of a fit to these curves. `scores` are the cross-validation scores of the law, or of every member
        of a combination; they widen the intervals by the errors for other schedules. Raises InputError where the fit
        was refused.
        """
        fit.check_fitted()
        domain = FittedDomain.from_curves(fit, curves)
        return cls(
            law=fit.law.name,
            parameters=fit.parameters,
            status=fit.status,
            replicates=bootstrap_replicates(fit, num_replicates, seed),
            noise=end_noise(fit, curves, scores),
            last_update=max(float(curve.time_P[-1]) for curve in curves),
            peaks=domain.peaks,
            reason=fit.reason,
            not_identified=fit.not_identified,
            sizes=domain.sizes,
            batches=domain.batches,
            losses=domain.losses,
            num_curves=len(curves),
        )

    @property
    def loss_kind(self) -> LossKind:
        """The kind of the predicted losses; "training" where unknown."""
        return "validation" if self.losses == "validation" else "training"

    @property
    def domain(self) -> FittedDomain:
        return FittedDomain(self.law, self.parameters, self.peaks, self.sizes, self.batches, self.losses)

    @cached_property
    def fitted_law(self) -> CurveLaw:
        return reconstruct_law(self.law, self.parameters)

    @property
    def num_replicates(self) -> int:
        return len(next(iter(self.replicates.values()), ()))

    def predict(
        self,
        schedule: ScheduleSource,
        *,
        columns: str | Mapping[str, str] | None = None,
        warmup: int | None = None,
        size: float | None = None,
        batch: float | None = None,
    ) -> CurvePrediction:
        """The loss curve under a schedule that was not trained.

        schedule: a curve, the learning rate of every update, a CSV or Parquet file or a DataFrame with the columns step
            and lr. columns, warmup, size, batch: as in `load_schedule`.

        Raises InputError where the schedule cannot be read, or is outside the domain of the fit.
        """
        curve = load_schedule(schedule, columns=columns, warmup=warmup, size=size, batch=batch)
        self.domain.check(curve)
        interval = None
        if self.num_replicates:
            interval = final_loss_interval(self.final_losses(curve), self.noise, self.num_curves)
        beyond = float(curve.time_P[-1]) / self.last_update
        return CurvePrediction(self.law, self.status, curve, self.predict_losses(curve), interval, beyond)

    def predict_losses(self, curve: LossCurve) -> Array:
        """The loss at the logged times of a curve, whatever its domain: (P,)."""
        return np.asarray(self.fitted_law.predict(self.parameters, curve), dtype=np.float64)

    def final_losses(self, curve: LossCurve) -> Array:
        """The loss at the last of those times under each replicate: (R,)."""
        last = curve.select(np.arange(curve.num_points) == curve.num_points - 1)
        return np.array([float(self.fitted_law.predict(values, last)[0]) for values in self.replicate_values()])

    def replicate_values(self) -> Iterator[dict[str, float]]:
        """The parameters of each replicate."""
        for index in range(self.num_replicates):
            yield {name: float(values[index]) for name, values in self.replicates.items()}

    def to_json(self, path: Path) -> None:
        """Writes the fit with its digest."""
        write_signed(path, to_document(self))

    @classmethod
    def from_json(cls, path: Path) -> "FittedCurveLaw":
        """Reads a file written by `to_json`. Raises InputError where it is missing, not a fit of curves, or changed."""
        content = read_signed(path, "a fit of curves", MADE_BY)
        with parsing(path, "a fit of curves", MADE_BY):
            return from_document(cls, content)
