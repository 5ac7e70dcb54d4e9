"""The family of a run: finished runs with a schedule of the same shape, of any size, horizon and seed.

Legend: T compared times.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from windtunnel.analysis.curves.cross_validation import COMPARED_TIMES, SAME_SCHEDULE_TOLERANCE
from windtunnel.analysis.curves.monitoring.collapse import FamilyMember
from windtunnel.analysis.curves.monitoring.forecast import RunForecaster, with_fitted_peak
from windtunnel.analysis.curves.monitoring.partial_curve import PartialCurve
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.schedule_sums import LearningRates


def family_member(fit: FittedCurveLaw, run: PartialCurve) -> FamilyMember:
    """The run with its losses so far, and the law along its schedule with the nearest fitted peak."""
    forecaster = RunForecaster(fit, with_fitted_peak(fit, run.query), intervals=False)
    return FamilyMember(str(run.folder), forecaster, *run.read(), run.seed)


class RunFamily:
    """The runs that were named as a family; each is read once."""

    def __init__(self, fit: FittedCurveLaw, runs: Sequence[PartialCurve]) -> None:
        self._fit, self._runs = fit, list(runs)
        self._members: dict[Path, FamilyMember] = {}

    def comparable_with(self, run: PartialCurve) -> tuple[list[FamilyMember], list[str]]:
        """The members that the run can be compared with, and notes on how many were left out and why."""
        members: list[FamilyMember] = []
        left_out: Counter[str] = Counter()
        for other in self._runs:
            if other.folder.resolve() == run.folder.resolve():
                continue
            problem = self._problem(run, other)
            if problem:
                left_out[problem] += 1
            else:
                members.append(self._member(other))
        return members, [f"{count} runs of the family left out: {problem}" for problem, count in left_out.items()]

    def _member(self, run: PartialCurve) -> FamilyMember:
        if run.folder not in self._members:
            self._members[run.folder] = family_member(self._fit, run)
        return self._members[run.folder]

    @staticmethod
    def _problem(run: PartialCurve, other: PartialCurve) -> str | None:
        if (status := other.record()["status"]) != "finished":
            return f"{status}, not finished"
        if other.data != run.data:
            return "other data"
        if not same_shape(run.rates, other.rates):
            return "a schedule of another shape"
        return None


def same_shape(first: LearningRates, second: LearningRates) -> bool:
    """Whether two schedules, after both warm-ups, are nearly equal as fractions of their peaks over fractions of their
    lengths. The mean difference counts, so that a large one over a few steps (the start of a steep decay) may be.
    """
    begin = max(rates.warmup / rates.num_updates for rates in (first, second))
    share_T = np.linspace(begin, 1.0, COMPARED_TIMES)
    first_T, second_T = (
        np.interp(share_T * (rates.num_updates - 1), rates.step_J, rates.rate_J) / rates.peak
        for rates in (first, second)
    )
    return bool(np.mean(np.abs(first_T - second_T)) < SAME_SCHEDULE_TOLERANCE)
