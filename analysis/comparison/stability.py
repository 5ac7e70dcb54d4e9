"""Whether the best law of a ranking stays the best when nothing changes but a choice that the data did not make: the
Huber threshold, the smallest size, what N counts (Choshen et al. 2024, arXiv 2410.11840; Li et al. 2025, arXiv
2502.18969 name these as what moves a fit).

The held-out rows stay those of the ranking, and coverage is taken from it: a variant asks for held-out errors alone.

Legend: P points.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.comparison.backtest import (
    Backtest,
    Ranked,
    Ranking,
    backtest,
    counted_error,
    held_out,
    judge,
    ordered,
    with_rivals,
)
from windtunnel.analysis.laws.law import Law
from windtunnel.analysis.prediction.target import FLOPS_PER_PARAMETER_TOKEN
from windtunnel.analysis.solver.objective import Objective, parse_objective
from windtunnel.analysis.tables.conventions import counts, distinct, under
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table

Cuts = Sequence[NDArray[np.bool_]]

DELTAS = (1e-4, 1e-3, 1e-2)
# Sizes closer than this (in logarithm) are one.
SAME_SIZE = 0.05
# A plain rival whose held-out error is more than this many times the best one's is left out of the variants.
NO_RIVAL = 3.0


@dataclass(frozen=True)
class Variant:
    """One change, the law that is best under it, and that law's held-out mean absolute relative error. `best` is None
    where no law could be fitted, and `reason` says why. holds: the best law is the ranking's.
    """

    change: str
    best: str | None
    held_out_mean_abs_relative_error: float | None
    holds: bool
    reason: str = ""


@dataclass(frozen=True)
class _Setup:
    """What a variant is made of, as `backtest` takes it. objectives: by law; None is the law's own."""

    change: str
    table: Table
    splits: Cuts
    objectives: dict[str, str | None]


def stability(
    table: Table,
    laws: Sequence[Law],
    found: Ranking,
    *,
    hold: str | None = None,
    objective: str | None = None,
    few_points: bool = False,
) -> tuple[Variant, ...]:
    """The ranking `found` of the same arguments repeated under every variant that the table allows, among the laws
    named and the plain rivals near the best. Empty where it has no best.
    """
    table, splits = held_out(table, laws, hold)
    coverage = {each.law: each.coverage_90 for each in found.laws}
    errors = {each.law: counted_error(each) for each in found.laws if each.held_out_mean_abs_relative_error is not None}
    if found.best is None:
        return ()
    limit = NO_RIVAL * min(errors.values())
    near = [law for law in with_rivals(table, laws) if law in laws or errors.get(law.name, np.inf) <= limit]
    objectives: dict[str, str | None] = dict.fromkeys((law.name for law in near), objective)
    variants = []
    for setup in (*_thresholds(table, splits, near, objectives), *_tables(table, splits, near, objectives)):
        tested = backtest(setup.table, near, setup.splits, setup.objectives, few_points)
        ranked = [replace(each, coverage_90=coverage[each.law]) for each in judge(tested, intervals=False)]
        variants.append(_variant(setup.change, tested, ordered(ranked)[0], str(found.best)))
    return tuple(variants)


def describe(variants: Sequence[Variant], best: str | None) -> list[str]:
    """One line for each variant, and what they say together."""
    if not variants or best is None:
        return []
    width = max(len(each.change) for each in variants)
    lines = [f"best law under other choices than the ranking's {best}:"]
    for each in variants:
        error = each.held_out_mean_abs_relative_error
        shown = each.reason if each.best is None else f"{each.best}, {100 * (error or 0.0):.3f} %"
        lines.append(f"  {each.change:<{width}}  {shown}")
    told = [each for each in variants if each.best is not None]
    flips = sum(not each.holds for each in told)
    if flips:
        lines.append(f"the decision flips under {flips} of {len(told)}: {best} is not the best there")
    elif told:
        lines.append(f"{best} stays the best under all {len(told)}")
    return lines


def _variant(change: str, tested: Backtest, first: Ranked, best: str) -> Variant:
    if not tested.fits:
        return Variant(change, None, None, False, first.reason)
    return Variant(change, first.law, first.held_out_mean_abs_relative_error, first.law == best)


def _thresholds(table: Table, splits: Cuts, laws: Sequence[Law], objectives: dict[str, str | None]) -> Iterator[_Setup]:
    """Every law at the other Huber thresholds; a law in two steps has its own objectives and stays."""
    plain = {
        law.name: parse_objective(objectives[law.name] or law.objective, seed_noise(table, law.target))
        for law in laws
        if law.steps is None
    }
    for delta in DELTAS:
        changed: dict[str, Objective] = {name: replace(aim, kind="huber", delta=delta) for name, aim in plain.items()}
        if any(changed[name] != plain[name] for name in plain):
            names = {name: aim.name for name, aim in changed.items()}
            yield _Setup(f"with a Huber threshold of {delta:g}", table, splits, {**objectives, **names})


def _tables(table: Table, splits: Cuts, laws: Sequence[Law], objectives: dict[str, str | None]) -> Iterator[_Setup]:
    """The table without its smallest size, and under every other count of N."""
    axis = next((name for name in ("N", "C", "D") if name in table.numeric), None)
    if axis is not None:
        size_P = np.log(table.require(axis)[axis])
        kept_P = size_P > size_P.min() + SAME_SIZE
        # Without its held-out rows too: nobody asks a law for a size below its data.
        without = [held_P[kept_P] for held_P in splits]
        without = [held_P for held_P in without if held_P.any() and not held_P.all()]
        if without:
            yield _Setup(f"without the smallest {axis}", table.take(kept_P), without, objectives)
    if not {"N", "D"} <= set(table.numeric):
        return
    size_P, tokens_P = table.columns["N"], table.columns["D"]
    cost_P = table.columns["C"]
    of_size = np.allclose(cost_P, FLOPS_PER_PARAMETER_TOKEN * size_P * tokens_P, rtol=1e-6)
    if not any({"N", "M", *(["C"] if of_size else [])} & set(law.columns) for law in laws):
        return
    sizes = distinct({name: table.columns[name] for name in counts(table, "N")})
    for name, values_P in sizes.items():
        # A column that some rows lack is no count of this table.
        if name != "N" and np.isfinite(values_P).all() and (values_P > 0).all():
            cost = FLOPS_PER_PARAMETER_TOKEN * values_P * tokens_P if of_size else cost_P
            yield _Setup(f"with {name} for N", under(table, values_P, cost), splits, objectives)
