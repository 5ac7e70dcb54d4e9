"""The rows a fit was fitted to, what it says of each, and how the residuals share out among runs.

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
    """observed_P and predicted_P are of the law's target; predicted_P is None where the fit was refused."""

    table: Table
    observed_P: Array
    predicted_P: Array | None

    @cached_property
    def magnitudes(self) -> dict[str, Array]:
        """The number columns that are finite and above zero in every row: what may stand on a logarithmic axis."""
        columns = ((name, self.table.columns[name]) for name in self.table.numeric)
        return {name: values for name, values in columns if np.isfinite(values).all() and (values > 0).all()}

    @property
    def residual(self) -> Array:
        """measured / fitted - 1, in per cent: (P,)."""
        assert self.predicted_P is not None
        return np.asarray(100.0 * (self.observed_P / self.predicted_P - 1.0))

    def between_share(self) -> float | None:
        """The share of the residual variance that lies between runs (analysis of variance, not below 0); None where no
        run has two rows.
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
    """The rows of `table` that the law is of. Raises ValueError where `fit` is not of this table."""
    law = fit.law
    rows = table if law.rows is None else table.take(law.rows(table.columns))
    if fit.table_digest not in (table.digest, rows.digest):
        raise ValueError("the fit of a report is of another table")
    columns = rows.require(*law.columns, law.target)
    observed_P = columns.pop(law.target)
    return FittedRows(rows, observed_P, fit.predict(columns) if fit.parameters else None)


def sizes_of(values_P: Array, same: float = 0.03) -> Array:
    """The distinct values, smallest first: those closer than `same` in logarithm are one, at their mean."""
    log_P = np.sort(np.log(values_P))
    groups = np.split(log_P, np.flatnonzero(np.diff(log_P) > same) + 1)
    return np.exp([group.mean() for group in groups])


def some_of(values: Array, most: int) -> Array:
    """At most `most` of sorted values, evenly spread in logarithm, both ends among them."""
    if len(values) <= most:
        return values
    wanted = np.linspace(np.log(values[0]), np.log(values[-1]), most)
    nearest = np.unique([int(np.argmin(np.abs(np.log(values) - each))) for each in wanted])
    return np.asarray(values[nearest])
