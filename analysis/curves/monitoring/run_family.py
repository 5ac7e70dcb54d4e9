"""The family of a run: finished runs whose schedules have its shape, whatever their sizes, horizons and seeds.

Legend: T places along a run.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from windtunnel.analysis.curves.cross_validation import COMPARED, SAME
from windtunnel.analysis.curves.monitoring.collapse import Member
from windtunnel.analysis.curves.monitoring.forecast import LawOfRun, at_fitted_peak
from windtunnel.analysis.curves.monitoring.partial_curve import RunInTraining
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.schedule_sums import Rates


def member_of(fit: FittedCurves, run: RunInTraining) -> Member:
    """The run with its points so far and the law along its schedule, at the nearest peak that was fitted."""
    law = LawOfRun(fit, at_fitted_peak(fit, run.whole), intervals=False)
    return Member(str(run.folder), law, *run.look(), run.seed)


class Family:
    """Finished runs that were named as family; each is read once."""

    def __init__(self, fit: FittedCurves, runs: Sequence[RunInTraining]) -> None:
        self._fit, self._runs = fit, list(runs)
        self._members: dict[Path, Member] = {}

    def of(self, run: RunInTraining) -> tuple[list[Member], list[str]]:
        """Those that can be compared with the run, and in words how many were left out and why."""
        kept: list[Member] = []
        left_out: Counter[str] = Counter()
        for each in self._runs:
            if each.folder.resolve() == run.folder.resolve():
                continue
            why = self._refusal(run, each)
            if why:
                left_out[why] += 1
            else:
                kept.append(self._member(each))
        return kept, [f"{number} of its family left out: {why}" for why, number in left_out.items()]

    def _member(self, run: RunInTraining) -> Member:
        if run.folder not in self._members:
            self._members[run.folder] = member_of(self._fit, run)
        return self._members[run.folder]

    @staticmethod
    def _refusal(run: RunInTraining, other: RunInTraining) -> str | None:
        if (status := other.record()["status"]) != "finished":
            return f"{status}, not finished"
        if other.data != run.data:
            return "other data"
        if not same_shape(run.rates, other.rates):
            return "a schedule of another shape"
        return None


def same_shape(first: Rates, second: Rates) -> bool:
    """Whether two schedules, after both warm-ups, are the same as shares of their peaks over shares of their lengths.
    Where they differ by more for a moment (the first steps of a decay that begins steeply) does not tell them apart.
    """
    begin = max(each.warmup / each.num_updates for each in (first, second))
    share_T = np.linspace(begin, 1.0, COMPARED)
    rate_2T = [np.interp(share_T * (r.num_updates - 1), r.step_J, r.rate_J) / r.peak for r in (first, second)]
    return bool(np.mean(np.abs(rate_2T[0] - rate_2T[1])) < SAME)
