"""Sensitivity of a ranking: whether its best law stays the best under other choices of the analysis.

The choices are the Huber threshold, the smallest size, and what N counts; Choshen et al. 2024 (arXiv 2410.11840) and Li
et al. 2025 (arXiv 2502.18969) name these as choices that change a fit. The held-out rows and the coverage of each law
are those of the ranking; a variant computes held-out errors alone.

Legend: P points.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from windtunnel.analysis.comparison.backtest import Backtest, Split, backtest, holdout_splits
from windtunnel.analysis.comparison.ranking import (
    RankedLaw,
    Ranking,
    penalized_error,
    score_laws,
    sort_laws,
    with_baselines,
)
from windtunnel.analysis.laws.law import Law
from windtunnel.analysis.prediction.target import FLOPS_PER_PARAMETER_TOKEN
from windtunnel.analysis.solver.objective import Objective, parse_objective
from windtunnel.analysis.tables.conventions import count_columns, distinct_columns, with_convention
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table

HUBER_THRESHOLDS = (1e-4, 1e-3, 1e-2)
# Sizes that differ by less than this, in log, are one size.
SAME_SIZE = 0.05
# A baseline whose held-out error is more than this many times the best law's is left out of the variants.
MAX_BASELINE_ERROR_RATIO = 3.0


@dataclass(frozen=True)
class Variant:
    """One changed choice, the law that is best under it, and that law's held-out mean absolute relative error.

    holds: the best law is the ranking's. `best` is None where no law could be fitted, for the given reason.
    """

    change: str
    best: str | None
    held_out_mean_abs_relative_error: float | None
    holds: bool
    reason: str = ""


@dataclass(frozen=True)
class _Setup:
    """The arguments of the backtest of a variant. objectives: by law; None is the law's own."""

    change: str
    table: Table
    splits: Sequence[Split]
    objectives: dict[str, str | None]


def stability(
    table: Table,
    laws: Sequence[Law],
    ranking: Ranking,
    *,
    holdout: str | None = None,
    objective: str | None = None,
    allow_few_points: bool = False,
) -> tuple[Variant, ...]:
    """Repeat a ranking under every variant that the table allows; the other arguments are those of the ranking.

    The candidates are `laws` and the baselines whose error is close to the best. Empty where the ranking has no best.
    """
    table, splits = holdout_splits(table, laws, holdout)
    if ranking.best is None:
        return ()
    coverage = {law.law: law.coverage_90 for law in ranking.laws}
    errors = {law.law: penalized_error(law) for law in ranking.laws if law.held_out_mean_abs_relative_error is not None}
    limit = MAX_BASELINE_ERROR_RATIO * min(errors.values())
    candidates = [law for law in with_baselines(table, laws) if law in laws or errors.get(law.name, np.inf) <= limit]
    objectives: dict[str, str | None] = dict.fromkeys((law.name for law in candidates), objective)
    variants = []
    for setup in (
        *_threshold_setups(table, splits, candidates, objectives),
        *_table_setups(table, splits, candidates, objectives),
    ):
        tested = backtest(setup.table, candidates, setup.splits, setup.objectives, allow_few_points)
        scored = [replace(law, coverage_90=coverage[law.law]) for law in score_laws(tested, intervals=False)]
        variants.append(_variant(setup.change, tested, sort_laws(scored)[0], ranking.best))
    return tuple(variants)


def format_stability(variants: Sequence[Variant], best: str | None) -> list[str]:
    """One line for each variant, and a summary."""
    if not variants or best is None:
        return []
    width = max(len(variant.change) for variant in variants)
    lines = [f"best law under other choices (the ranking: {best}):"]
    for variant in variants:
        error = variant.held_out_mean_abs_relative_error
        shown = variant.reason if variant.best is None else f"{variant.best}, {100 * (error or 0.0):.3f} %"
        lines.append(f"  {variant.change:<{width}}  {shown}")
    ranked = [variant for variant in variants if variant.best is not None]
    changed = sum(not variant.holds for variant in ranked)
    if changed:
        lines.append(f"the best law changes under {changed} of {len(ranked)} choices: {best} is not the best there")
    elif ranked:
        lines.append(f"{best} stays the best under all {len(ranked)}")
    return lines


def _variant(change: str, tested: Backtest, first: RankedLaw, best: str) -> Variant:
    if not tested.fits:
        return Variant(change, None, None, False, first.reason)
    return Variant(change, first.law, first.held_out_mean_abs_relative_error, first.law == best)


def _threshold_setups(
    table: Table, splits: Sequence[Split], laws: Sequence[Law], objectives: dict[str, str | None]
) -> Iterator[_Setup]:
    """Every law at the other Huber thresholds. A two-step law has its own objectives, which stay."""
    originals = {
        law.name: parse_objective(objectives[law.name] or law.objective, seed_noise(table, law.target))
        for law in laws
        if law.steps is None
    }
    for delta in HUBER_THRESHOLDS:
        changed: dict[str, Objective] = {
            name: replace(objective, kind="huber", delta=delta) for name, objective in originals.items()
        }
        if changed != originals:
            names = {name: objective.name for name, objective in changed.items()}
            yield _Setup(f"with a Huber threshold of {delta:g}", table, splits, {**objectives, **names})


def _table_setups(
    table: Table, splits: Sequence[Split], laws: Sequence[Law], objectives: dict[str, str | None]
) -> Iterator[_Setup]:
    """The table without its smallest size, and under every other count of N."""
    axis = next((name for name in ("N", "C", "D") if name in table.numeric), None)
    if axis is not None:
        log_size_P = np.log(table.require(axis)[axis])
        larger_P = log_size_P > log_size_P.min() + SAME_SIZE
        # Held-out rows of the smallest size go too: no law is used below the sizes it was fitted to.
        remaining = [held_P[larger_P] for held_P in splits]
        remaining = [held_P for held_P in remaining if held_P.any() and not held_P.all()]
        if remaining:
            yield _Setup(f"without the smallest {axis}", table.take(larger_P), remaining, objectives)
    if not {"N", "D"} <= set(table.numeric):
        return
    size_P, tokens_P = table.columns["N"], table.columns["D"]
    cost_P = table.columns["C"]
    cost_follows_size = np.allclose(cost_P, FLOPS_PER_PARAMETER_TOKEN * size_P * tokens_P, rtol=1e-6)
    if not any({"N", "M", *(["C"] if cost_follows_size else [])} & set(law.columns) for law in laws):
        return
    sizes = distinct_columns({name: table.columns[name] for name in count_columns(table, "N")})
    for name, values_P in sizes.items():
        # A column with missing values is not a count of this table.
        if name != "N" and np.isfinite(values_P).all() and (values_P > 0).all():
            cost = FLOPS_PER_PARAMETER_TOKEN * values_P * tokens_P if cost_follows_size else cost_P
            yield _Setup(f"with {name} for N", with_convention(table, values_P, cost), splits, objectives)
