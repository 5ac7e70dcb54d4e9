"""What a report is, and writing it: one page, and each of its figures as SVG and PNG.

Everything in it is computed before: a report draws and tells, and decides nothing. What could not be computed is in
`absent` with the reason, and the page says so where it would have stood.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windtunnel.analysis.comparison.backtest import Ranking
from windtunnel.analysis.compute_optimal.isoflop import Isoflop
from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.report.checklist import Item, checklist
from windtunnel.analysis.report.headline import headline
from windtunnel.analysis.report.write import PAGE, write_page
from windtunnel.analysis.tables.table import Table

NAMES = ("loss", "predictions", "backtest", "residuals", "profiles", "isoflop")


@dataclass(frozen=True)
class Report:
    """fits: of `table`; the first is what the report is about, of the others it shows the parameters. scores: of some
    of the predictions, by their seal. absent: "ranking" or "isoflop" -> why it is not there.
    own: of a study, where its first law makes the study's prediction.
    """

    table: Table
    fits: tuple[Fit, ...]
    ranking: Ranking | None = None
    isoflop: Isoflop | None = None
    predictions: tuple[Prediction, ...] = ()
    scores: tuple[Score, ...] = ()
    notes: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    own: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not self.fits:
            raise ValueError("a report is about a fit: give one, refused or not")
        sealed = {each.sealed for each in self.predictions}
        if any(each.prediction.sealed not in sealed for each in self.scores):
            raise ValueError("a score of a report is of a prediction that the report does not have")

    @property
    def fit(self) -> Fit:
        return self.fits[0]

    def items(self) -> tuple[Item, ...]:
        """The checklist, answered."""
        return checklist(self.table, self.fit, self.ranking, self.predictions, self.commit)

    def document(self) -> dict[str, Any]:
        """The report for programs, without its figures."""
        from windtunnel.sweeps.cli.isoflop import document

        return {
            "headline": list(headline(self.table, self.fit, self.predictions, self.scores, self.own)),
            "law": self.fit.law.name,
            "status": self.fit.status,
            "refused": self.fit.status in REFUSED,
            "checklist": [vars(each) for each in self.items()],
            "fits": [each.document() for each in self.fits],
            "ranking": None if self.ranking is None else self.ranking.document(),
            "isoflop": None if self.isoflop is None else document(self.isoflop),
            "predictions": [each.document() for each in self.predictions],
            "scores": [each.document() for each in self.scores],
            "absent": dict(self.absent),
            "notes": [*self.table.notes, *self.notes],
            "excluded": [vars(each) for each in self.table.excluded],
            "source": self.table.source,
            "table_digest": self.table.digest,
            "commit": self.commit,
        }


def write_report(report: Report, folder: Path, progress: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Writes `report.html` and `figures/*.svg`, `figures/*.png` into `folder` and returns their paths, the page first.
    Figures of an earlier report that this one does not have are removed. The same report gives the same bytes. Raises
    InputError where the folder cannot be written.
    """
    from windtunnel.analysis.report.page import page
    from windtunnel.analysis.report.write import drawings

    found = drawings(report, progress)
    return write_page(Path(folder), PAGE, page(report, found), found, NAMES)
