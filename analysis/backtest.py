"""Laws ranked by what they say of runs they have not seen: fitted to the smaller budgets, scored on the larger ones.

Each cut trains on the lowest 50 to 80 % of the runs by compute and holds out all above. The ranking is by held-out
error, where a law that is overconfident counts with twice its error, and of laws within a tenth of each other the
simpler comes first. Beside it stands the interval score of log loss, width + (2 / 0.1) * distance outside (Gneiting &
Raftery 2007), which a law lowers only by being both close and honest.

Legend: P points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.fit_document import REFUSED, Fit
from analysis.fitting import fit
from analysis.law import Array, Law
from analysis.prediction_interval import predict_interval
from analysis.rivals import plain_rivals
from analysis.table import Table
from analysis.target import complete
from analysis.where import choose_rows
from train.errors import InputError

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
    """Best first. cuts: (points fitted, points held out, largest fitted and smallest held-out compute)."""

    laws: tuple[Ranked, ...]
    cuts: tuple[tuple[int, int, float, float], ...]
    notes: tuple[str, ...]

    @property
    def best(self) -> str | None:
        return self.laws[0].law if self.laws and self.laws[0].held_out_mean_abs_relative_error is not None else None

    def document(self) -> dict[str, Any]:
        return {
            "laws": [vars(each) for each in self.laws],
            "best": self.best,
            "cuts": [
                {"fitted": fitted, "held_out": held, "largest_fitted": low, "smallest_held_out": high}
                for fitted, held, low, high in self.cuts
            ],
            "notes": list(self.notes),
        }


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
    cuts expand over compute. Raises InputError where nothing can be held out or a law's columns are missing.
    """
    if len({law.target for law in laws}) > 1:
        raise InputError("the laws predict different columns and cannot be ranked together")
    table = _with_compute(table)
    size_P, axis = _axis(table, laws)
    splits = _held(table, hold) if hold is not None else _cuts(size_P, axis)
    wanted = [*laws]
    if rivals:
        known = [*(name for name in ("C", "D", "N") if name in table.numeric), *laws[0].columns]
        plain = [law for law in plain_rivals(known) if law.name not in {each.name for each in laws}]
        wanted += [replace(law, target=laws[0].target) for law in plain]
    fits = {law.name: [_fit(table.take(~held_P), law, objective, few_points) for held_P in splits] for law in wanted}
    last = {name: each[-1] for name, each in fits.items()}
    # Laws are compared on the same cuts: those on which every law that the largest one allows can be fitted.
    able = [name for name, found in last.items() if found.parameters]
    used = [cut for cut in range(len(splits)) if all(fits[name][cut].parameters for name in able)]
    ranked = [
        _judge(table, law, [fits[law.name][cut] for cut in used], [splits[cut] for cut in used], intervals)
        if law.name in able
        else _unfitted(law, last[law.name])
        for law in wanted
    ]
    named = {law.name for law in laws}
    ranked = [Ranked(**{**vars(each), "rival": each.law not in named}) for each in ranked]
    notes = _notes(table, splits, used)
    cuts = tuple(
        (int((~held_P).sum()), int(held_P.sum()), float(size_P[~held_P].max()), float(size_P[held_P].min()))
        for held_P in (splits[cut] for cut in used)
    )
    return Ranking(_ordered(ranked), cuts, notes)


def _ordered(ranked: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """Best first: again and again the simplest of the laws that are about as good as the best one left."""
    left, found = [each for each in ranked if each.held_out_mean_abs_relative_error is not None], []
    while left:
        limit = (1 + EQUAL) * min(_counted_error(each) for each in left)
        good = [each for each in left if _counted_error(each) <= limit]
        found.append(min(good, key=lambda each: (each.num_parameters, _counted_error(each))))
        left.remove(found[-1])
    return (*found, *(each for each in ranked if each.held_out_mean_abs_relative_error is None))


def _counted_error(each: Ranked) -> float:
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
    held_P = choose_rows(hold, {"run": table.run, **table.columns}, len(table))
    if not held_P.any() or held_P.all():
        which = "no" if not held_P.any() else "every"
        raise InputError(f"--hold {hold!r} holds out {which} row of {len(table)}; hold out the largest runs")
    return [np.asarray(held_P)]


def _fit(table: Table, law: Law, objective: str | None, few_points: bool) -> Fit:
    return fit(table, law, objective, profile=False, few_points=few_points)


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


def _notes(table: Table, splits: Sequence[NDArray[np.bool_]], used: Sequence[int]) -> tuple[str, ...]:
    notes = []
    if len(used) < len(splits):
        notes.append(f"{len(splits) - len(used)} of {len(splits)} cuts have too few points for some law: left out")
    shared = [float(np.isin(table.run[splits[cut]], table.run[~splits[cut]]).mean()) for cut in used]
    if shared and max(shared) > 0:
        notes.append(
            f"up to {100 * max(shared):.0f} % of the held-out rows share a trunk, and so noise, with fitted ones"
        )
    num_held = sum(int(splits[cut].sum()) for cut in used)
    if num_held < 10:
        notes.append(f"{num_held} held-out points: coverage in steps of {100 / max(num_held, 1):.0f} %")
    return tuple(notes)
