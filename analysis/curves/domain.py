"""The domain of a fitted curve law: the peak rates, sizes, batch sizes and kind of losses that it applies to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.train.errors import InputError

SAME_VALUE_TOLERANCE = 0.01  # sizes and batch sizes this close are equal: people round them
MAX_PEAK_RATIO = 1.5  # a peak rate further than this from the fitted ones is outside the domain


@dataclass(frozen=True)
class FittedDomain:
    """What a law was fitted to.

    parameters: names of the fitted parameters. peaks: lowest and highest peak rate of the fitted curves. sizes
    (parameters), batches (tokens per update), losses (kind): of the fitted curves, empty where unknown.
    """

    law: str
    parameters: Collection[str]
    peaks: tuple[float, float]
    sizes: tuple[float, ...]
    batches: tuple[float, ...]
    losses: str

    @classmethod
    def from_curves(cls, fit: CurveFit, curves: Sequence[LossCurve]) -> "FittedDomain":
        """The domain of a fit to these curves."""
        return cls(
            law=fit.law.name,
            parameters=tuple(fit.parameters),
            peaks=(min(curve.rates.peak for curve in curves), max(curve.rates.peak for curve in curves)),
            sizes=tuple(sorted({curve.size for curve in curves if curve.size is not None})),
            batches=tuple(sorted({curve.batch for curve in curves if curve.batch is not None})),
            losses=", ".join(sorted({curve.losses for curve in curves if curve.losses is not None})),
        )

    def check(self, curve: LossCurve) -> None:
        """Raises InputError where the law depends on a size or batch size that the curve lacks, or was not fitted to
        curves of this peak rate, size, batch size or kind of losses.
        """
        members = {name.rpartition(".")[0] for name in self.parameters}  # "" for a single law
        reads_size = [":N" in (member or self.law) or self._has(member, "N_c") for member in members]
        reads_batch = [self._has(member, "B_star") for member in members]
        for column, value, is_read in (("N", curve.size, any(reads_size)), ("B", curve.batch, any(reads_batch))):
            if is_read and value is None:
                raise InputError(f"{curve.name}: the fit depends on {column}; add a column {column} to the schedule")
        if not all(reads_size) and not _is_among(curve.size, self.sizes):
            raise InputError(
                f"{curve.name}: N is {curve.size:,.0f} (parameters without embedding, with head), but that of the "
                f"fitted curves is {format_values(self.sizes)}; fit {self._law_of_sizes()} to curves of several sizes"
            )
        if not all(reads_batch) and not _is_among(curve.batch, self.batches):
            raise InputError(
                f"{curve.name}: an update has {curve.batch:,.0f} tokens, but those of the fitted curves have "
                f"{format_values(self.batches)}; fit curves with that batch size"
            )
        if curve.losses and self.losses and curve.losses != self.losses:
            raise InputError(
                f"{curve.name}: {curve.losses} losses, but the fit is of {self.losses} losses; pass losses=..."
            )
        if not near_fitted_peaks(curve.rates.peak, self.peaks):
            low, high = self.peaks
            raise InputError(
                f"{curve.name}: the peak rate is {curve.rates.peak:.3g}, but those of the fitted curves are {low:.3g} "
                f"to {high:.3g}; curve laws do not extrapolate in the peak rate: fit curves with a similar one"
            )

    def notes(self, test: Sequence[LossCurve]) -> list[str]:
        """Notes for a reader of a fit: several batch sizes that the law ignores, and test curves outside the domain."""
        notes = []
        if len(self.batches) > 1 and not any(name.rpartition(".")[2] == "B_star" for name in self.parameters):
            batches = format_values(self.batches)
            notes.append(f"the updates of the fitted curves have {batches} tokens; {self.law} ignores the difference")
        for curve in test:
            try:
                self.check(curve)
            except InputError as error:
                notes.append(f"scored, but outside the domain of the fit: {error}")
        return notes

    def _has(self, member: str, parameter: str) -> bool:
        return (f"{member}.{parameter}" if member else parameter) in self.parameters

    def _law_of_sizes(self) -> str:
        """What to fit to curves of several sizes."""
        if "*" in self.law:
            return "auto"
        return self.law if curve_law(self.law).specialize is not None else f"{self.law}:N"


def near_fitted_peaks(rate: float, peaks: Collection[float]) -> bool:
    """Whether laws fitted to runs of these peak rates apply to runs of this one."""
    return min(peaks) / MAX_PEAK_RATIO <= rate <= max(peaks) * MAX_PEAK_RATIO


def format_values(values: Collection[float]) -> str:
    """Rates, sizes or batch sizes as text."""
    return ", ".join(f"{value:,.3g}" if value < 1 else f"{value:,.0f}" for value in sorted(values))


def _is_among(value: float | None, fitted: tuple[float, ...]) -> bool:
    """True also where either is unknown."""
    return value is None or not fitted or any(abs(value / other - 1) < SAME_VALUE_TOLERANCE for other in fitted)
