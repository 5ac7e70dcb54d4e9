"""Laws ranked by what they say of runs they have not seen: fitted to the smaller budgets, scored on the larger ones.

Each cut trains on the lowest 50 to 80 % of the runs by compute and holds out all above. The ranking is by held-out
error, where a law that is overconfident counts with twice its error, and of laws within a tenth of each other the
simpler comes first. Beside it stands the interval score of log loss, width + (2 / 0.1) * distance outside (Gneiting &
Raftery 2007), which a law lowers only by being both close and honest.

Legend: P points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.laws.baselines import plain_rivals
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.prediction.target import complete
from windtunnel.analysis.tables.expressions import choose_rows, names_in
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

LEVEL = 0.9
SHARES = (0.5, 0.6, 0.7, 0.8)
# Budgets closer than this (in logarithm) are one.
SAME_BUDGET = 0.05
# An interval costs some twenty fits: of a larger held-out set this many points, evenly spread, have one.
INTERVALS = 8
# An end that the data leave open counts as this far away in log loss.
OPEN_END = 1.0
# Errors below this differ by rounding: noise-free data.
ROUNDING = 1e-7
# A law whose 90 % intervals hold fewer of the outcomes than this is overconfident, and its error counts so many times.
OVERCONFIDENT, PENALTY = 0.7, 2.0
# Laws whose errors are within this share of each other are as good as one another.
EQUAL = 0.1
WORST_FIRST = ("not_converged", "edge", "not_identified")


@dataclass(frozen=True)
class Ranked:
    """One law's showing. Errors are |predicted / observed - 1| over all held-out points of all cuts; None where the law
    could not be fitted. coverage_90: the share of outcomes inside its intervals.
    """

    law: str
    held_out_mean_abs_relative_error: float | None
    held_out_worst: float | None
    coverage_90: float | None
    status: str
    interval_score: float | None
    num_parameters: int
    rival: bool  # one of the plain forms that are always there
    reason: str = ""


@dataclass(frozen=True)
class Ranking:
    """Best first. cuts: (points fitted, points held out, largest fitted and smallest held-out compute). not_told_apart:
    laws whose held-out error differs from the best one's by no more than noise; None where that was not asked.
    """

    laws: tuple[Ranked, ...]
    cuts: tuple[tuple[int, int, float, float], ...]
    notes: tuple[str, ...]
    not_told_apart: tuple[str, ...] | None = None

    @property
    def best(self) -> str | None:
        return self.laws[0].law if self.laws and self.laws[0].held_out_mean_abs_relative_error is not None else None

    def document(self) -> dict[str, Any]:
        return {
            "laws": [vars(each) for each in self.laws],
            "best": self.best,
            "not_told_apart": None if self.not_told_apart is None else list(self.not_told_apart),
            "cuts": [
                {"fitted": fitted, "held_out": held, "largest_fitted": low, "smallest_held_out": high}
                for fitted, held, low, high in self.cuts
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Backtest:
    """Each law fitted below each cut, to be judged above it. splits: the held-out rows (P,) of the cuts used, those on
    which every law that the largest cut allows can be fitted. fits: by law, one for each of those cuts. refused: by
    law, what the largest cut said of the others.
    """

    table: Table
    laws: tuple[Law, ...]
    splits: tuple[NDArray[np.bool_], ...]
    fits: Mapping[str, tuple[Fit, ...]]
    refused: Mapping[str, Fit]


def rank(
    table: Table,
    laws: Sequence[Law],
    *,
    hold: str | None = None,
    objective: str | None = None,
    rivals: bool = True,
    intervals: bool = True,
    few_points: bool = False,
) -> Ranking:
    """Ranks the laws, with the plain rivals among them. `hold` is a condition on the rows to hold out; without it the
    cuts expand over compute. Without `intervals` there is no coverage, and no word on what is told apart. Raises
    InputError where nothing can be held out or a law's columns are missing.
    """
    from windtunnel.analysis.comparison.significance import not_told_apart

    table, splits = held_out(table, laws, hold)
    size_P, _ = _axis(table, laws)
    wanted = with_rivals(table, laws) if rivals else tuple(laws)
    tested = backtest(table, wanted, splits, dict.fromkeys((law.name for law in wanted), objective), few_points)
    named = {law.name for law in laws}
    ranked = [replace(each, rival=each.law not in named) for each in judge(tested, intervals)]
    order = ordered(ranked)
    cuts = tuple(
        (int((~held_P).sum()), int(held_P.sum()), float(size_P[~held_P].max()), float(size_P[held_P].min()))
        for held_P in tested.splits
    )
    alike = not_told_apart(tested, [each.law for each in order if each.law in tested.fits]) if intervals else None
    return Ranking(order, cuts, _notes(table, len(splits), tested.splits), alike)


def held_out(table: Table, laws: Sequence[Law], hold: str | None) -> tuple[Table, list[NDArray[np.bool_]]]:
    """The table, with C = 6 N D where it has N and D alone, and the rows that each cut holds out. Raises InputError
    where nothing can be held out.
    """
    if len({law.target for law in laws}) > 1:
        raise InputError("the laws predict different columns and cannot be ranked together")
    table = _with_compute(table)
    return table, _held(table, hold) if hold is not None else _cuts(*_axis(table, laws))


def with_rivals(table: Table, laws: Sequence[Law]) -> tuple[Law, ...]:
    """The laws, and the plain rivals that are not among them."""
    known = [*(name for name in ("C", "D", "N") if name in table.numeric), *laws[0].columns]
    plain = [law for law in plain_rivals(known) if law.name not in {each.name for each in laws}]
    return (*laws, *(replace(law, target=laws[0].target) for law in plain))


def backtest(
    table: Table,
    laws: Sequence[Law],
    splits: Sequence[NDArray[np.bool_]],
    objectives: Mapping[str, str | None],
    few_points: bool = False,
) -> Backtest:
    """Every law fitted below every cut. `objectives`: by law; None is the law's own."""
    fits = {
        law.name: [
            fit(table.take(~held_P), law, objectives[law.name], profile=False, few_points=few_points)
            for held_P in splits
        ]
        for law in laws
    }
    able = [name for name, found in fits.items() if found[-1].parameters]
    used = [cut for cut in range(len(splits)) if all(fits[name][cut].parameters for name in able)]
    return Backtest(
        table=table,
        laws=tuple(laws),
        splits=tuple(splits[cut] for cut in used),
        fits={name: tuple(fits[name][cut] for cut in used) for name in able},
        refused={name: found[-1] for name, found in fits.items() if name not in able},
    )


def judge(tested: Backtest, intervals: bool) -> list[Ranked]:
    """Each law's showing, in the order of the laws."""
    return [
        _judge(tested.table, law, tested.fits[law.name], tested.splits, intervals)
        if law.name in tested.fits
        else _unfitted(law, tested.refused[law.name])
        for law in tested.laws
    ]


def ordered(ranked: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """Best first: again and again the simplest of the laws that are about as good as the best one left."""
    left, found = [each for each in ranked if each.held_out_mean_abs_relative_error is not None], []
    while left:
        limit = (1 + EQUAL) * min(counted_error(each) for each in left)
        good = [each for each in left if counted_error(each) <= limit]
        found.append(min(good, key=lambda each: (each.num_parameters, counted_error(each))))
        left.remove(found[-1])
    return (*found, *(each for each in ranked if each.held_out_mean_abs_relative_error is None))


def counted_error(each: Ranked) -> float:
    error = max(each.held_out_mean_abs_relative_error or 0.0, ROUNDING)
    return error * PENALTY if each.coverage_90 is not None and each.coverage_90 < OVERCONFIDENT else error


def _with_compute(table: Table) -> Table:
    """The table with C = 6 N D where it has N and D alone."""
    if "C" in table.columns or not {"N", "D"} <= set(table.numeric):
        return table
    completed = complete({name: table.columns[name] for name in ("N", "D")})
    return replace(table, columns={**table.columns, "C": completed["C"]})


def _axis(table: Table, laws: Sequence[Law]) -> tuple[Array, str]:
    """What the cuts expand along: compute, else data or size, else the first column of the laws."""
    axis = next((name for name in ("C", "D", "N") if name in table.numeric), laws[0].columns[0])
    return table.require(axis)[axis], axis


def _cuts(size_P: Array, axis: str) -> list[NDArray[np.bool_]]:
    """Held-out rows of each cut, from the smallest training share to the largest."""
    value_P = np.log(size_P) if (size_P > 0).all() else size_P
    order = np.sort(value_P)
    steps = np.flatnonzero(np.diff(order) > SAME_BUDGET)
    if len(steps) == 0:
        raise InputError(f"every row has one {axis}: nothing larger to hold out; name rows with --hold")
    found: dict[int, NDArray[np.bool_]] = {}
    for share in SHARES:
        enough = steps[steps + 1 >= share * len(size_P)]
        step = int(enough[0] if len(enough) else steps[-1])
        found[step] = value_P > 0.5 * (order[step] + order[step + 1])
    return [found[step] for step in sorted(found)]


def _held(table: Table, hold: str) -> list[NDArray[np.bool_]]:
    columns = {"run": table.run, **table.columns}
    held_P = choose_rows(hold, columns, len(table))
    if "isnan" not in hold:  # an empty cell compares as no, and would join the fitted side unseen
        for name in sorted(names_in(hold, columns)):
            empty_P = columns[name] != columns[name]
            if empty_P.any():
                raise InputError(
                    f"--hold {hold!r}: run {table.run[int(np.argmax(empty_P))]} has no {name}; leave it out with "
                    f"--where 'not isnan({name})'"
                )
    if not held_P.any() or held_P.all():
        which = "no" if not held_P.any() else "every"
        raise InputError(f"--hold {hold!r} holds out {which} row of {len(table)}; hold out the largest runs")
    return [np.asarray(held_P)]


def _judge(table: Table, law: Law, fits: Sequence[Fit], splits: Sequence[NDArray[np.bool_]], intervals: bool) -> Ranked:
    errors, inside, scores = [], [], []
    for found, held_P in zip(fits, splits, strict=True):
        held = table.take(held_P)
        columns = held.require(*law.columns, law.target)
        observed_P = columns.pop(law.target)
        errors.append(np.abs(found.predict(columns) / observed_P - 1.0))
        if not intervals:
            continue
        some = np.unique(np.linspace(0, len(observed_P) - 1, min(len(observed_P), INTERVALS)).astype(np.intp))
        some = np.argsort(observed_P, kind="stable")[some]
        _, low_Q, high_Q = predict_interval(found, {name: values[some] for name, values in columns.items()}, LEVEL)
        inside_Q, score_Q = _interval_score(observed_P[some], low_Q, high_Q)
        inside.append(inside_Q)
        scores.append(score_Q)
    error_P = np.concatenate(errors)
    return Ranked(
        law=law.name,
        held_out_mean_abs_relative_error=float(error_P.mean()),
        held_out_worst=float(error_P.max()),
        coverage_90=float(np.concatenate(inside).mean()) if inside else None,
        status=min((found.status for found in fits), key=_badness),
        interval_score=float(np.concatenate(scores).mean()) if scores else None,
        num_parameters=law.num_parameters,
        rival=False,
    )


def _interval_score(observed_P: Array, low_P: Array, high_P: Array) -> tuple[NDArray[np.bool_], Array]:
    """Whether each outcome is inside its interval, rounding allowed, and the score in log loss."""
    log_P = np.log(observed_P)
    with np.errstate(divide="ignore", invalid="ignore"):
        low_P = np.maximum(np.nan_to_num(np.log(np.maximum(low_P, 0.0)), neginf=-math.inf), log_P - OPEN_END)
        high_P = np.minimum(np.log(high_P), np.maximum(log_P, low_P) + OPEN_END)
    outside_P = np.maximum(low_P - log_P, 0.0) + np.maximum(log_P - high_P, 0.0)
    return outside_P <= 1e-9, high_P - low_P + 2.0 / (1.0 - LEVEL) * outside_P


def _badness(status: str) -> int:
    return WORST_FIRST.index(status) if status in WORST_FIRST else len(WORST_FIRST)


def _unfitted(law: Law, found: Fit) -> Ranked:
    status = found.status if found.status in REFUSED else "not_converged"
    return Ranked(law.name, None, None, None, status, None, law.num_parameters, False, found.reason)


def _notes(table: Table, num_cuts: int, splits: Sequence[NDArray[np.bool_]]) -> tuple[str, ...]:
    notes = []
    if len(splits) < num_cuts:
        notes.append(f"{num_cuts - len(splits)} of {num_cuts} cuts have too few points for some law: left out")
    shared = [float(np.isin(table.run[held_P], table.run[~held_P]).mean()) for held_P in splits]
    if shared and max(shared) > 0:
        notes.append(
            f"up to {100 * max(shared):.0f} % of the held-out rows share a trunk, and so noise, with fitted ones"
        )
    num_held = sum(int(held_P.sum()) for held_P in splits)
    if num_held < 10:
        notes.append(f"{num_held} held-out points: coverage in steps of {100 / max(num_held, 1):.0f} %")
    return tuple(notes)
