"""The rows that a law was fitted to, with its prediction and residual for each.

Legend: P rows, U runs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.tables.table import Table


@dataclass(frozen=True)
class FittedRows:
    """`observed_P` and `predicted_P` are values of the target of the law; None where the fit was refused."""

    table: Table
    observed_P: Array
    predicted_P: Array | None

    @cached_property
    def magnitudes(self) -> dict[str, Array]:
        """The numeric columns that fit on a logarithmic axis: finite and above zero in every row."""
        columns = ((name, self.table.columns[name]) for name in self.table.numeric)
        return {name: values for name, values in columns if np.isfinite(values).all() and (values > 0).all()}

    @property
    def residual(self) -> Array:
        """measured / fitted - 1 in per cent: (P,)."""
        assert self.predicted_P is not None
        return np.asarray(100.0 * (self.observed_P / self.predicted_P - 1.0))

    def between_share(self) -> float | None:
        """Share of the residual variance that lies between runs, by analysis of variance and at least 0.

        None where no run has two rows.
        """
        runs, which = np.unique(self.table.run, return_inverse=True)
        which = which.reshape(-1)
        count_U = np.bincount(which).astype(np.float64)
        num_rows, num_runs = len(which), len(runs)
        if num_runs < 2 or num_runs == num_rows:
            return None
        mean_U = np.bincount(which, weights=self.residual) / count_U
        within = float(np.sum((self.residual - mean_U[which]) ** 2)) / (num_rows - num_runs)
        between = float(count_U @ (mean_U - self.residual.mean()) ** 2) / (num_runs - 1)
        effective = (num_rows - float(count_U @ count_U) / num_rows) / (num_runs - 1)
        between = max(0.0, (between - within) / effective)
        return between / (between + within) if between + within > 0 else None


def fitted_rows(table: Table, fit: Fit) -> FittedRows:
    """The rows of `table` that the law applies to. Raises ValueError where `fit` was fitted to another table."""
    law = fit.law
    rows = table if law.rows is None else table.take(law.rows(table.columns))
    if fit.table_digest not in (table.digest, rows.digest):
        raise ValueError("the fit of a report is of another table")
    columns = rows.require(*law.columns, law.target)
    observed_P = columns.pop(law.target)
    return FittedRows(rows, observed_P, fit.predict(columns) if fit.parameters else None)


def distinct_sizes(values_P: Array, tolerance: float = 0.03) -> Array:
    """The distinct values in increasing order. Values within `tolerance` in logarithm count as one, their mean."""
    log_P = np.sort(np.log(values_P))
    groups = np.split(log_P, np.flatnonzero(np.diff(log_P) > tolerance) + 1)
    return np.exp([group.mean() for group in groups])


def select_evenly(values: Array, max_values: int) -> Array:
    """At most `max_values` of the sorted values, evenly spaced in logarithm, with both ends."""
    if len(values) <= max_values:
        return values
    grid = np.linspace(np.log(values[0]), np.log(values[-1]), max_values)
    nearest = np.unique([int(np.argmin(np.abs(np.log(values) - point))) for point in grid])
    return np.asarray(values[nearest])
