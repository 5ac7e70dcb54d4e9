"""Rankings of laws by how well they predict larger runs than they were fitted to.

Laws are ranked by held-out error. The error of an overconfident law counts double, and of laws whose errors are within
a tenth of each other the simpler one comes first. The ranking also reports the interval score of log loss, width +
(2 / 0.1) * distance outside (Gneiting & Raftery 2007): a law lowers it only by being both accurate and calibrated.

Legend: P points, Q held-out points that get an interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.comparison.backtest import MIN_ERROR, Backtest, Split, backtest, holdout_splits, scale_column
from windtunnel.analysis.comparison.significance import indistinguishable_laws
from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.baselines import baseline_laws
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

INTERVAL_LEVEL = 0.9
# An interval costs some twenty fits: of a larger held-out set, this many evenly spaced points get one.
MAX_INTERVALS = 8
# Distance in log loss that an unbounded end of an interval counts as.
UNBOUNDED_DISTANCE = 1.0
# A law whose 90 % intervals contain a smaller share of the outcomes is overconfident: its error is multiplied.
MIN_COVERAGE, OVERCONFIDENCE_FACTOR = 0.7, 2.0
# Laws whose errors differ by less than this share are equally good.
TIE_TOLERANCE = 0.1
WORST_STATUS_FIRST = ("not_converged", "edge", "not_identified")


@dataclass(frozen=True)
class RankedLaw:
    """The held-out results of one law.

    Errors are |predicted / observed - 1| over all held-out points of all cuts; None where the law could not be fitted.
    coverage_90: share of the outcomes inside the 90 % intervals. baseline: the law is one of the plain baselines.
    """

    law: str
    held_out_mean_abs_relative_error: float | None
    held_out_worst: float | None
    coverage_90: float | None
    status: str
    interval_score: float | None
    num_parameters: int
    baseline: bool
    reason: str = ""


class Cut(NamedTuple):
    """One cut: the numbers of points on both sides, and the compute (or other scale) next to it."""

    fitted: int
    held_out: int
    largest_fitted: float
    smallest_held_out: float


@dataclass(frozen=True)
class Ranking:
    """Laws, best first. indistinguishable: laws whose held-out error differs from the best law's by no more than noise;
    None where it was not computed.
    """

    laws: tuple[RankedLaw, ...]
    cuts: tuple[Cut, ...]
    notes: tuple[str, ...]
    indistinguishable: tuple[str, ...] | None = None

    @property
    def best(self) -> str | None:
        return self.laws[0].law if self.laws and self.laws[0].held_out_mean_abs_relative_error is not None else None

    def to_dict(self) -> dict[str, Any]:
        """The ranking as JSON."""
        return {
            "laws": [vars(law) for law in self.laws],
            "best": self.best,
            "indistinguishable": None if self.indistinguishable is None else list(self.indistinguishable),
            "cuts": [cut._asdict() for cut in self.cuts],
            "notes": list(self.notes),
        }


def rank(
    table: Table,
    laws: Sequence[Law],
    *,
    holdout: str | None = None,
    objective: str | None = None,
    baselines: bool = True,
    intervals: bool = True,
    allow_few_points: bool = False,
) -> Ranking:
    """Rank laws by held-out error, together with the plain baselines.

    holdout: condition on the rows to hold out; default: expanding cuts over compute. objective: one objective for every
    law; default: each law's own. intervals: also compute coverage, interval scores and the indistinguishable laws.

    Raises InputError where no rows can be held out or a column of a law is missing.
    """
    table, splits = holdout_splits(table, laws, holdout)
    scale_P, _ = scale_column(table, laws)
    candidates = with_baselines(table, laws) if baselines else tuple(laws)
    tested = backtest(
        table, candidates, splits, dict.fromkeys((law.name for law in candidates), objective), allow_few_points
    )
    names = {law.name for law in laws}
    order = sort_laws([replace(law, baseline=law.law not in names) for law in score_laws(tested, intervals)])
    cuts = tuple(
        Cut(int((~held_P).sum()), int(held_P.sum()), float(scale_P[~held_P].max()), float(scale_P[held_P].min()))
        for held_P in tested.splits
    )
    fitted = [law.law for law in order if law.law in tested.fits]
    return Ranking(
        order,
        cuts,
        _notes(table, len(splits), tested.splits),
        indistinguishable_laws(tested, fitted) if intervals else None,
    )


def baseline_errors(fit: Fit) -> dict[str, float | None]:
    """Held-out mean absolute relative error of the fit's law and of the plain baselines on the fitted points, by law.

    Empty where the points span too few scales to hold any out. `predict` takes it as `baselines`.
    """
    points = fit.points
    columns = {**points.columns, fit.law.target: points.target_P}
    noise_column = parse_objective(fit.objective).noise_column
    if noise_column and noise_column not in columns:
        columns[noise_column] = points.weights_P**-0.5  # up to a factor, which changes no fit
    table = Table.from_columns(columns, run=[str(run) for run in points.run_P])
    try:
        ranking = rank(table, [fit.law], objective=fit.objective, intervals=False)
    except InputError:
        return {}
    return {law.law: law.held_out_mean_abs_relative_error for law in ranking.laws}


def with_baselines(table: Table, laws: Sequence[Law]) -> tuple[Law, ...]:
    """The laws, and the plain baselines that are not among them."""
    columns = [*(name for name in ("C", "D", "N") if name in table.numeric), *laws[0].columns]
    names = {law.name for law in laws}
    plain = [law for law in baseline_laws(columns) if law.name not in names]
    return (*laws, *(replace(law, target=laws[0].target) for law in plain))


def score_laws(tested: Backtest, intervals: bool) -> list[RankedLaw]:
    """The held-out results of each law, in the order of the backtest's laws."""
    return [
        _score(tested.table, law, tested.fits[law.name], tested.splits, intervals)
        if law.name in tested.fits
        else _unfitted(law, tested.refused[law.name])
        for law in tested.laws
    ]


def sort_laws(laws: Sequence[RankedLaw]) -> tuple[RankedLaw, ...]:
    """Best first: repeatedly the simplest of the remaining laws that are about as good as the best of them."""
    remaining = [law for law in laws if law.held_out_mean_abs_relative_error is not None]
    order: list[RankedLaw] = []
    while remaining:
        limit = (1 + TIE_TOLERANCE) * min(penalized_error(law) for law in remaining)
        tied = [law for law in remaining if penalized_error(law) <= limit]
        order.append(min(tied, key=lambda law: (law.num_parameters, penalized_error(law))))
        remaining.remove(order[-1])
    return (*order, *(law for law in laws if law.held_out_mean_abs_relative_error is None))


def penalized_error(law: RankedLaw) -> float:
    """The mean held-out error, doubled where the law is overconfident."""
    error = max(law.held_out_mean_abs_relative_error or 0.0, MIN_ERROR)
    overconfident = law.coverage_90 is not None and law.coverage_90 < MIN_COVERAGE
    return error * OVERCONFIDENCE_FACTOR if overconfident else error


def _score(table: Table, law: Law, fits: Sequence[Fit], splits: Sequence[Split], intervals: bool) -> RankedLaw:
    errors, inside, scores = [], [], []
    for fitted, held_P in zip(fits, splits, strict=True):
        columns = table.take(held_P).require(*law.columns, law.target)
        observed_P = columns.pop(law.target)
        errors.append(np.abs(fitted.predict(columns) / observed_P - 1.0))
        if not intervals:
            continue
        places = np.linspace(0, len(observed_P) - 1, min(len(observed_P), MAX_INTERVALS)).astype(np.intp)
        rows_Q = np.argsort(observed_P, kind="stable")[np.unique(places)]
        _, low_Q, high_Q = predict_interval(
            fitted, {name: values[rows_Q] for name, values in columns.items()}, INTERVAL_LEVEL
        )
        inside_Q, score_Q = _interval_score(observed_P[rows_Q], low_Q, high_Q)
        inside.append(inside_Q)
        scores.append(score_Q)
    error_P = np.concatenate(errors)
    return RankedLaw(
        law=law.name,
        held_out_mean_abs_relative_error=float(error_P.mean()),
        held_out_worst=float(error_P.max()),
        coverage_90=float(np.concatenate(inside).mean()) if inside else None,
        status=min((fitted.status for fitted in fits), key=_status_order),
        interval_score=float(np.concatenate(scores).mean()) if scores else None,
        num_parameters=law.num_parameters,
        baseline=False,
    )


def _interval_score(observed_P: Array, low_P: Array, high_P: Array) -> tuple[NDArray[np.bool_], Array]:
    """Whether each outcome is inside its interval, up to rounding, and the interval score in log loss."""
    log_P = np.log(observed_P)
    with np.errstate(divide="ignore", invalid="ignore"):
        low_P = np.maximum(np.nan_to_num(np.log(np.maximum(low_P, 0.0)), neginf=-math.inf), log_P - UNBOUNDED_DISTANCE)
        high_P = np.minimum(np.log(high_P), np.maximum(log_P, low_P) + UNBOUNDED_DISTANCE)
    outside_P = np.maximum(low_P - log_P, 0.0) + np.maximum(log_P - high_P, 0.0)
    return outside_P <= 1e-9, high_P - low_P + 2.0 / (1.0 - INTERVAL_LEVEL) * outside_P


def _status_order(status: str) -> int:
    return WORST_STATUS_FIRST.index(status) if status in WORST_STATUS_FIRST else len(WORST_STATUS_FIRST)


def _unfitted(law: Law, refused: Fit) -> RankedLaw:
    status = refused.status if refused.status in REFUSED else "not_converged"
    return RankedLaw(law.name, None, None, None, status, None, law.num_parameters, False, refused.reason)


def _notes(table: Table, num_cuts: int, splits: Sequence[Split]) -> tuple[str, ...]:
    notes = []
    if len(splits) < num_cuts:
        notes.append(f"{num_cuts - len(splits)} of {num_cuts} cuts left out: too few points for some law")
    shared = [float(np.isin(table.run[held_P], table.run[~held_P]).mean()) for held_P in splits]
    if shared and max(shared) > 0:
        notes.append(
            f"up to {100 * max(shared):.0f} % of the held-out rows share a trunk, and so noise, with fitted rows"
        )
    num_held = sum(int(held_P.sum()) for held_P in splits)
    if num_held < 10:
        notes.append(f"{num_held} held-out points: coverage has steps of {100 / max(num_held, 1):.0f} %")
    return tuple(notes)
