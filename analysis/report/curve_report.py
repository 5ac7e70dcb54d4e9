"""The data of a report of curve laws: fits, sealed predictions, scores and the measured curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws import is_baseline
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.score import LawScore, PerfectLawScore
from windtunnel.analysis.curves.seal import SealedCurves
from windtunnel.analysis.report.schedule_labels import HeldOutSchedule, held_out_schedules


@dataclass(frozen=True)
class CurveReport:
    """What a study of curve laws computed.

    laws: the laws as the study names them, its own first. A law that was refused or not sealed is only here.
    losses: "training" or "validation".
    fitted_runs, digest: the runs whose curves were fitted, and the digest of their points.
    fits: by law.
    sealed: the sealed predictions.
    scores: scores in the order of `laws`, empty before a target is trained.
    measured: the curves of the targets, by run.
    seed_noise: standard deviation of the log of the final loss between seeds.
    perfect_law: the errors that a perfect law would have by seed noise.
    """

    study: str
    laws: tuple[str, ...]
    losses: str
    fitted_runs: tuple[str, ...]
    digest: str
    fits: Mapping[str, FittedCurveLaw]
    sealed: tuple[SealedCurves, ...]
    scores: tuple[LawScore, ...]
    measured: Mapping[str, LossCurve]
    seed_noise: float | None
    perfect_law: PerfectLawScore | None
    commit: str | None = None

    def __post_init__(self) -> None:
        if not self.laws:
            raise ValueError("a report of curves needs at least one law")

    @cached_property
    def main_law(self) -> str:
        """The law that the report is about: the first of the study, or else the first that was sealed."""
        sealed = [prediction.requested for prediction in self.sealed]
        return self.laws[0] if self.laws[0] in sealed or not sealed else sealed[0]

    @property
    def score(self) -> LawScore | None:
        """The score of the main law."""
        return next((score for score in self.scores if score.requested == self.main_law), None)

    @property
    def prediction(self) -> SealedCurves | None:
        """The sealed prediction of the main law."""
        return next((prediction for prediction in self.sealed if prediction.requested == self.main_law), None)

    @property
    def baselines(self) -> tuple[LawScore, ...]:
        return tuple(
            score for score in self.scores if is_baseline(score.requested) and score.requested != self.main_law
        )

    @cached_property
    def schedules(self) -> tuple[HeldOutSchedule, ...]:
        """The held-out schedules, with the targets of the main law."""
        return held_out_schedules(self.prediction.targets, self.measured) if self.prediction is not None else ()
