"""What the report of laws of whole curves is, and writing it: as with `report.py`, everything is computed before."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws import is_baseline
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.score import LawOutcome, NoiseAlone
from windtunnel.analysis.curves.seal import SealedCurves
from windtunnel.analysis.report.schedule_labels import HeldOut, held_out_schedules
from windtunnel.analysis.report.write import CURVES_PAGE, write_page

NAMES = ("curves", "curve-errors")


@dataclass(frozen=True)
class CurveReport:
    """asked: the laws as the study names them, its own first; a law that was refused or not sealed is in `asked` alone.
    fitted: the curves that the laws were fitted to, by run, and `digest` of their points. outcomes: scores in the order
    of the laws, none before a target was trained. trained: the targets' curves by run. noise: standard deviation of the
    log of the final loss between seeds. floor: what a law that is right would be off.
    """

    study: str
    asked: tuple[str, ...]
    losses: str
    fitted: tuple[str, ...]
    digest: str
    fits: Mapping[str, FittedCurves]
    sealed: tuple[SealedCurves, ...]
    outcomes: tuple[LawOutcome, ...]
    trained: Mapping[str, Curve]
    noise: float | None
    floor: NoiseAlone | None
    commit: str | None = None

    def __post_init__(self) -> None:
        if not self.asked:
            raise ValueError("a report of curves is about a law: name one")

    @cached_property
    def own(self) -> str:
        """The law that the page is about: the study's own, or where that could not be sealed the first that was."""
        sealed = [each.asked for each in self.sealed]
        return self.asked[0] if self.asked[0] in sealed or not sealed else sealed[0]

    @property
    def outcome(self) -> LawOutcome | None:
        return next((each for each in self.outcomes if each.asked == self.own), None)

    @property
    def prediction(self) -> SealedCurves | None:
        return next((each for each in self.sealed if each.asked == self.own), None)

    @property
    def baselines(self) -> tuple[LawOutcome, ...]:
        return tuple(each for each in self.outcomes if is_baseline(each.asked) and each.asked != self.own)

    @cached_property
    def schedules(self) -> tuple[HeldOut, ...]:
        """What was held out, of the report's own law."""
        return held_out_schedules(self.prediction.targets, self.trained) if self.prediction is not None else ()


def write_curve_report(report: CurveReport, folder: Path, page: str = CURVES_PAGE) -> list[Path]:
    """Writes the page under that name and `figures/*.svg`, `figures/*.png` into `folder` and returns their paths, the
    page first. The same report gives the same bytes. Raises InputError where the folder cannot be written.
    """
    from windtunnel.analysis.report.curve_page import curve_page
    from windtunnel.analysis.report.figures.curve_errors_figure import curve_errors_figure
    from windtunnel.analysis.report.figures.curves_figure import curves_figure

    made = (curves_figure(report), curve_errors_figure(report))
    drawings = {each.name: each for each in made if each is not None}
    return write_page(Path(folder), page, curve_page(report, drawings), drawings, NAMES)
