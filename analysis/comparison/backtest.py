"""Backtests of laws: each law is fitted to the smaller budgets and tested on the larger ones.

Each cut trains on the lowest 50 to 80 % of the runs by compute and holds out all runs above it.

Legend: P points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array, Law
from windtunnel.analysis.prediction.target import complete
from windtunnel.analysis.tables.expressions import column_names_in, evaluate_condition
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

TRAINING_SHARES = (0.5, 0.6, 0.7, 0.8)
# Values that differ by less than this, in log, are on the same side of a cut.
SAME_SCALE = 0.05
# Relative errors below this are rounding errors: the data have no noise.
MIN_ERROR = 1e-7

Split = NDArray[np.bool_]  # the held-out rows of a table (P,)


@dataclass(frozen=True)
class Backtest:
    """Every law fitted to the training rows of every split.

    splits: those on which every law in `fits` can be fitted. fits: by law, one fit per split. refused: by law, the fit
    on the largest split of each law that cannot be fitted there.
    """

    table: Table
    laws: tuple[Law, ...]
    splits: tuple[Split, ...]
    fits: Mapping[str, tuple[Fit, ...]]
    refused: Mapping[str, Fit]


def backtest(
    table: Table,
    laws: Sequence[Law],
    splits: Sequence[Split],
    objectives: Mapping[str, str | None],
    allow_few_points: bool = False,
) -> Backtest:
    """Fit every law to the training rows of every split. objectives: by law; None is the law's own."""
    fits = {
        law.name: [
            fit(table.take(~held_P), law, objectives[law.name], profile=False, allow_few_points=allow_few_points)
            for held_P in splits
        ]
        for law in laws
    }
    fitted = [name for name, law_fits in fits.items() if law_fits[-1].parameters]
    used = [cut for cut in range(len(splits)) if all(fits[name][cut].parameters for name in fitted)]
    return Backtest(
        table=table,
        laws=tuple(laws),
        splits=tuple(splits[cut] for cut in used),
        fits={name: tuple(fits[name][cut] for cut in used) for name in fitted},
        refused={name: law_fits[-1] for name, law_fits in fits.items() if name not in fitted},
    )


def holdout_splits(table: Table, laws: Sequence[Law], holdout: str | None = None) -> tuple[Table, list[Split]]:
    """The table, with C = 6 N D added where it is missing, and its splits.

    holdout: condition on the rows to hold out, which makes one split; default: expanding cuts over compute. Raises
    InputError where no rows can be held out.
    """
    if len({law.target for law in laws}) > 1:
        raise InputError("the laws predict different columns and cannot be ranked together")
    table = _with_compute(table)
    return table, [_split_by(table, holdout)] if holdout is not None else _expanding_cuts(*scale_column(table, laws))


def scale_column(table: Table, laws: Sequence[Law]) -> tuple[Array, str]:
    """The column that cuts expand along, and its name: C, else D or N, else the first column of the laws."""
    name = next((name for name in ("C", "D", "N") if name in table.numeric), laws[0].columns[0])
    return table.require(name)[name], name


def _with_compute(table: Table) -> Table:
    if "C" in table.columns or not {"N", "D"} <= set(table.numeric):
        return table
    completed = complete({name: table.columns[name] for name in ("N", "D")})
    return replace(table, columns={**table.columns, "C": completed["C"]})


def _expanding_cuts(scale_P: Array, name: str) -> list[Split]:
    """The held-out rows of each cut, from the smallest training share to the largest."""
    value_P = np.log(scale_P) if (scale_P > 0).all() else scale_P
    order = np.sort(value_P)
    steps = np.flatnonzero(np.diff(order) > SAME_SCALE)
    if len(steps) == 0:
        raise InputError(f"every row has the same {name}: no larger rows to hold out; name the rows with holdout=...")
    splits: dict[int, Split] = {}
    for share in TRAINING_SHARES:
        enough = steps[steps + 1 >= share * len(scale_P)]
        step = int(enough[0] if len(enough) else steps[-1])
        splits[step] = value_P > 0.5 * (order[step] + order[step + 1])
    return [splits[step] for step in sorted(splits)]


def _split_by(table: Table, holdout: str) -> Split:
    columns = {"run": table.run, **table.columns}
    held_P = evaluate_condition(holdout, columns, len(table))
    if "isnan" not in holdout:  # comparisons with a missing value are false: its row would silently be a training row
        for name in sorted(column_names_in(holdout, columns)):
            missing_P = columns[name] != columns[name]
            if missing_P.any():
                raise InputError(
                    f"holdout condition {holdout!r}: run {table.run[int(np.argmax(missing_P))]} has no {name}; "
                    f"exclude it: where=... with 'not isnan({name})'"
                )
    if not held_P.any() or held_P.all():
        count = "no" if not held_P.any() else "every"
        raise InputError(
            f"holdout condition {holdout!r} holds out {count} row of {len(table)}; hold out the largest runs"
        )
    return np.asarray(held_P)
