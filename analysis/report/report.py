"""The data of a report on final losses: table, fits, backtest, predictions and scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from windtunnel.analysis.comparison.ranking import Ranking
from windtunnel.analysis.compute_optimal.isoflop import IsoflopFit
from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.report.checklist import ChecklistItem, answer_checklist
from windtunnel.analysis.report.checklist_facts import table_facts
from windtunnel.analysis.report.headline import headline, predict_outlook
from windtunnel.analysis.tables.table import Table


@dataclass(frozen=True)
class Report:
    """What was computed for a report.

    fits: of `table`. The report is about the first; of the others it has the parameters.
    scores: of some of the predictions, matched by their seal.
    absent: why "ranking" or "isoflop" is None.
    own_point: where the first law of a study makes the prediction of the study; None without a study or targets.
    """

    table: Table
    fits: tuple[Fit, ...]
    ranking: Ranking | None = None
    isoflop: IsoflopFit | None = None
    predictions: tuple[Prediction, ...] = ()
    scores: tuple[Score, ...] = ()
    notes: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    own_point: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not self.fits:
            raise ValueError("a report needs at least one fit, which may be refused")
        sealed = {prediction.sealed for prediction in self.predictions}
        if any(score.prediction.sealed not in sealed for score in self.scores):
            raise ValueError("a score of a report needs its prediction in the report")

    @property
    def fit(self) -> Fit:
        """The fit that the report is about."""
        return self.fits[0]

    @property
    def is_refused(self) -> bool:
        return self.fit.status in REFUSED

    @property
    def is_of_records(self) -> bool:
        """Whether the rows come from run records, whose columns have known meanings."""
        return table_facts(self.table).is_records

    @property
    def scored_predictions(self) -> list[tuple[Prediction, Score | None]]:
        """Every prediction with its score; None where the target was not measured."""
        score_of = {score.prediction.sealed: score for score in self.scores}
        return [(made, score_of.get(made.sealed) if made.sealed else None) for made in self.predictions]

    @cached_property
    def outlook(self) -> Prediction | None:
        """The prediction at ten times the largest compute, where nothing else is predicted."""
        return None if self.predictions or self.own_point is not None else predict_outlook(self.table, self.fit)

    @cached_property
    def headline(self) -> tuple[str, ...]:
        """The result in sentences, the most important first."""
        return headline(self.table, self.fit, self.predictions, self.scores, self.own_point, self.outlook)

    @cached_property
    def checklist(self) -> tuple[ChecklistItem, ...]:
        return answer_checklist(self.table, self.fit, self.ranking, self.predictions, self.commit)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON, without figures."""
        return {
            "headline": list(self.headline),
            "law": self.fit.law.name,
            "status": self.fit.status,
            "refused": self.is_refused,
            "checklist": [vars(item) for item in self.checklist],
            "fits": [fit.to_dict() for fit in self.fits],
            "ranking": None if self.ranking is None else self.ranking.to_dict(),
            "isoflop": None if self.isoflop is None else self.isoflop.to_dict(),
            "predictions": [prediction.to_dict() for prediction in self.predictions],
            "scores": [score.to_dict() for score in self.scores],
            "absent": dict(self.absent),
            "notes": [*self.table.notes, *self.notes],
            "excluded": [vars(exclusion) for exclusion in self.table.excluded],
            "source": self.table.source,
            "table_digest": self.table.digest,
            "commit": self.commit,
        }
