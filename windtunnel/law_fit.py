"""`windtunnel.fit`, `windtunnel.rank` and what they return: laws of final losses, for notebooks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from windtunnel.analysis.comparison import ranking as law_ranking
from windtunnel.analysis.fitting import fit as law_fitting
from windtunnel.analysis.fitting import result as fit_result
from windtunnel.analysis.fitting.profile import profile_parameters
from windtunnel.analysis.laws.catalog import all_laws, get_law
from windtunnel.analysis.laws.mixture import resolve_columns
from windtunnel.analysis.prediction import predict as prediction
from windtunnel.analysis.prediction import score as scoring
from windtunnel.analysis.prediction.existing_results import ResultSource, fitted_sources
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.prediction.target import check_extrapolation, columns_at, complete
from windtunnel.analysis.report.text import format_fit, format_prediction, format_ranking, format_score
from windtunnel.analysis.tables.columns import Array
from windtunnel.analysis.tables.load import Source, load_table
from windtunnel.analysis.tables.selection import format_columns
from windtunnel.analysis.tables.table import POSITIVE_COLUMNS, Table
from windtunnel.text import Text, check_count, check_level, law_names
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit

if TYPE_CHECKING:  # for start-up time: matplotlib loads when something is plotted
    from matplotlib.axes import Axes

AXES = ("N", "D", "C")
ColumnNames = str | Mapping[str, str] | None  # as `load_table` takes them


class Prediction(Text):
    """The predicted loss of one run. Made by `Fit.predict`.

    at: the columns of the target. loss: in the unit of the table, nats per token. extrapolation: the target as a
    multiple of the data's largest N, D and C. notes: warnings.
    """

    def __init__(self, fit: "Fit", result: prediction.Prediction) -> None:
        self._fit = fit
        self.result = result
        self.at, self.loss = dict(result.at), result.loss
        self.extrapolation, self.notes = dict(result.extrapolation), list(result.notes)

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Low and high of the loss of a new run, seed noise included. level: between 0 and 1."""
        if level == prediction.INTERVAL_LEVEL:
            return self.result.interval_90
        check_level(level)
        columns = columns_at(self._fit.result.law, self.at)
        _, low_Q, high_Q = predict_interval(self._fit.result, columns, level)
        return float(low_Q[0]), float(high_Q[0])

    def seal(self, folder: str | Path, *, results: Sequence[ResultSource] = (), columns: ColumnNames = None) -> Path:
        """Writes the prediction into a file named after the hash of its content, and returns the path.

        results: sources in which the target may have been trained, besides the one that was fitted. columns: the names
        of their columns, as in `load_table`.

        Raises InputError where the target has results already, or the fit does not support a prediction.
        """
        fit = self._fit.result
        sources = [*fitted_sources(fit, results), *results]
        return seal(self.result, fit, Path(folder), results=sources, columns=_text(columns), commit=commit())

    @classmethod
    def read(cls, path: str | Path) -> prediction.Prediction:
        """The sealed prediction in a file, verified. Raises InputError where it was changed."""
        return read_sealed(Path(path))

    def _lines(self) -> list[str]:
        return format_prediction(self.result)


class Fit(Text):
    """A law fitted to a table of runs. Made by `windtunnel.fit`, or read from a file by `Fit.load`.

    result: the fit as the library has it. status: `converged`, `edge`, `not_identified`, ...; reason: why.
    not_identified: the parameters that the data do not determine; `params` still has the optimum's value for them.
    """

    def __init__(self, result: fit_result.Fit) -> None:
        self.result = result
        self.law, self.formula = result.law.name, result.law.formula
        self.objective, self.value = result.objective, result.value
        self.status, self.reason = result.status, result.reason
        self.not_identified, self.num_points = list(result.not_identified), result.num_points

    @classmethod
    def load(cls, path: str | Path) -> "Fit":
        """The fit in a file of `save` or of `windtunnel fit`. Raises InputError where it is not a fit."""
        return cls(fit_result.Fit.from_json(Path(path)))

    def save(self, path: str | Path) -> None:
        """Writes the fit with the fitted points, so that predictions from the file have intervals."""
        self.result.to_json(Path(path))

    @property
    def params(self) -> "pd.Series[float]":
        """The parameters by name."""
        return pd.Series(self.result.parameters, dtype=np.float64, name=self.law)

    def conf_int(self, level: float = fit_result.INTERVAL_LEVEL) -> pd.DataFrame:
        """Intervals of the parameters: columns `low` and `high`, infinite where the data do not bound the parameter.

        level: between 0 and 1. The default interval was computed with the fit; others are profiled on demand.
        """
        intervals = self.result.intervals
        if level != fit_result.INTERVAL_LEVEL:
            check_level(level)
            intervals = {}
            for step in self.result.steps_or_self():
                problem = step.problem()
                internal_K = problem.coordinates.to_internal(step.natural_row())[0]
                intervals |= profile_parameters(problem, internal_K, step.points.run_P, level=level)
        return pd.DataFrame.from_dict(intervals, orient="index", columns=["low", "high"]).reindex(self.params.index)

    def summary_frame(self) -> pd.DataFrame:
        """A row per parameter: `value`, the ends `low` and `high` of its 95 % interval, `identified`, `meaning`."""
        meanings = {parameter.name: parameter.meaning for parameter in self.result.law.parameters}
        frame = self.params.to_frame("value").join(self.conf_int())
        frame["identified"] = [name not in self.not_identified for name in frame.index]
        frame["meaning"] = [meanings.get(name, "") for name in frame.index]
        return frame

    def predict(
        self,
        at: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
        *,
        level: float = 0.9,
        allow_extrapolation: bool = False,
        **columns: ArrayLike,
    ) -> Any:
        """The predicted loss of new runs: a `Prediction` for numbers, a DataFrame for arrays and DataFrames.

        at, columns: the target in the columns of the law, such as `N=1e9, D=2e10`; missing ones of N, D, C and M follow
            from C = 6 N D and M = D / N. level: of the intervals in a DataFrame, whose columns `low` and `high` are for
            the loss of one new run, seed noise included. allow_extrapolation: allow targets more than 30 times beyond
            the data in N, D or C, or below them.

        Raises InputError where a column is missing, the fit was refused, or a target is too far from the data.
        """
        requested: dict[str, Any] = {str(name): value for name, value in ({} if at is None else at).items()} | columns
        if not requested:
            raise InputError(f"name the target in the columns of {self.law}: {', '.join(self.result.law.columns)}")
        values = {name: _numbers(name, value) for name, value in requested.items()}
        if all(value.ndim == 0 for value in values.values()):
            target = {name: float(value) for name, value in values.items()}
            return Prediction(self, prediction.predict(self.result, target, allow_extrapolation=allow_extrapolation))
        check_level(level)
        frame = pd.DataFrame({name: np.atleast_1d(value) for name, value in _broadcast(values).items()})
        if isinstance(at, pd.DataFrame):
            frame.index = at.index
        self._check_targets(frame, allow_extrapolation)
        columns_Q = complete({str(name): values.to_numpy() for name, values in frame.items()})
        loss_Q, low_Q, high_Q = predict_interval(
            self.result, {name: columns_Q[name] for name in self.result.law.columns}, level
        )
        return frame.assign(loss=loss_Q, low=low_Q, high=high_Q)

    def _check_targets(self, frame: pd.DataFrame, allow_extrapolation: bool) -> None:
        """Raises InputError for a target that cannot be predicted; the extremes of every axis are checked."""
        rows = {0} if len(frame) else set()
        columns_Q = complete({str(name): values.to_numpy() for name, values in frame.items()})
        for axis in AXES:
            if axis in columns_Q and len(frame):
                rows |= {int(np.argmin(columns_Q[axis])), int(np.argmax(columns_Q[axis]))}
        for row in sorted(rows):
            target = {str(name): float(value) for name, value in frame.iloc[row].items()}
            columns_at(self.result.law, target)
            check_extrapolation(self.result.points.columns, target, allow_extrapolation)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Measured losses of the fitted runs against those of the law, with the residuals in per cent."""
        import matplotlib.pyplot as plt  # for start-up time

        axes = plt.subplots(figsize=(5.0, 4.0))[1] if ax is None else ax
        points = self.result.points
        predicted_P = self.result.predict(points.columns)
        scale_P = points.columns.get("N", predicted_P)
        dots = axes.scatter(predicted_P, points.target_P, c=np.log10(scale_P), s=18, cmap="viridis")
        ends = [min(predicted_P.min(), points.target_P.min()), max(predicted_P.max(), points.target_P.max())]
        axes.plot(ends, ends, color="0.5", linewidth=1, zorder=0)
        residual = 100 * float(np.sqrt(np.mean(np.log(points.target_P / predicted_P) ** 2)))
        axes.set_xlabel(f"{self.law}: loss")
        axes.set_ylabel("measured loss")
        axes.set_title(f"{self.law}, {self.num_points} runs, residuals {residual:.2g} % (root mean square)", fontsize=9)
        if "N" in points.columns:
            axes.figure.colorbar(dots, ax=axes, label="log10 N (parameters)")
        return axes

    def _lines(self) -> list[str]:
        return format_fit(self.result)


class Ranking(Text):
    """Laws ranked by their error on held-out runs, best first. Made by `windtunnel.rank`."""

    def __init__(self, result: law_ranking.Ranking) -> None:
        self.result = result
        self.best, self.indistinguishable = result.best, list(result.indistinguishable or ())

    def to_pandas(self) -> pd.DataFrame:
        """A row for each law, by its name."""
        return pd.DataFrame(self.result.to_dict()["laws"]).set_index("law")

    def _lines(self) -> list[str]:
        return format_ranking(self.result)


class Score(Text):
    """A sealed prediction compared with the trained runs. Made by `windtunnel.score`.

    loss: the mean over the runs at the target. error_percent: of the prediction, 100 (predicted / measured - 1).
    inside_90: whether that mean is in the 90 % interval, which is for a single run. notes: warnings.
    """

    def __init__(self, result: scoring.Score) -> None:
        self.result = result
        self.loss, self.error_percent = result.mean.loss, result.mean.error_percent
        self.inside_90, self.notes = result.mean.inside_90, list(result.notes)

    def to_pandas(self) -> pd.DataFrame:
        """A row for each run at the target, by its name."""
        return pd.DataFrame([run.to_dict() for run in self.result.runs]).set_index("run")

    def _lines(self) -> list[str]:
        return format_score(self.result)


def fit(
    runs: Table | Source | Any,
    law: str = "chinchilla",
    *,
    objective: str | None = None,
    columns: ColumnNames = None,
    where: str | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    allow_few_points: bool = False,
    allow_mixed: bool = False,
) -> Fit:
    """Fits a law to runs.

    runs: a table of `load_table`, or whatever `load_table` reads: a DataFrame, a file, a folder of runs, a study's
        results, `wandb:ENTITY/PROJECT`. law: a name of `laws()`; `"chinchilla@alpha=0.35"` fixes a parameter.
    objective: such as `"log-huber:1e-3"`; by default the law's own. columns, where, allow_mixed: as in `load_table`.
    bootstrap: replicates over runs for the intervals, in place of profile likelihood. allow_few_points: allow as few
        points as parameters.

    Raises InputError where the runs cannot identify the law, and for bad input.
    """
    check_count("bootstrap", bootstrap)
    check_count("seed", seed)
    table = _table(runs, columns, where, allow_mixed)
    result = law_fitting.fit(
        table, get_law(law), objective, bootstrap=bootstrap, seed=seed, allow_few_points=allow_few_points
    )
    result.check_fitted()
    return Fit(result)


def rank(
    runs: Table | Source | Any,
    laws: str | Sequence[str] = ("chinchilla", "general", "kaplan"),
    *,
    holdout: str | None = None,
    objective: str | None = None,
    columns: ColumnNames = None,
    where: str | None = None,
    allow_few_points: bool = False,
    allow_mixed: bool = False,
) -> Ranking:
    """Ranks laws by backtests: each is fitted to the smaller runs and scored on the larger ones.

    holdout: a condition on the rows to hold out, such as `"N > 1e9"`; by default several cuts by compute. The other
    arguments are those of `fit`.

    Raises InputError where nothing can be held out, and for bad input.
    """
    names = law_names(laws)
    table = _table(runs, columns, where, allow_mixed)
    resolved = [resolve_columns(get_law(name), table.columns) for name in names]
    return Ranking(
        law_ranking.rank(table, resolved, holdout=holdout, objective=objective, allow_few_points=allow_few_points)
    )


def score(
    path: str | Path,
    runs: ResultSource,
    *,
    columns: ColumnNames = None,
    where: str | None = None,
    allow_mixed: bool = False,
) -> Score:
    """Compares the sealed prediction in a file with the finished runs at its target.

    runs: a table of `load_table`, or whatever `load_table` reads. columns, where, allow_mixed: as in `load_table`.

    Raises InputError where the prediction was changed after it was sealed, and where the target has no finished run,
    was fitted, or started before the seal.
    """
    return Score(scoring.score(Path(path), runs, columns=_text(columns), where=where, allow_mixed=allow_mixed))


def laws() -> pd.DataFrame:
    """The catalog of laws: a row each with `formula`, `columns` and `citation`."""
    rows = {law.name: (law.formula, ", ".join(law.columns), law.citation) for law in all_laws()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["formula", "columns", "citation"])


def _table(runs: Table | Source | Any, columns: ColumnNames, where: str | None, allow_mixed: bool) -> Table:
    if not isinstance(runs, Table):
        return load_table(runs, columns=columns, where=where, allow_mixed=allow_mixed)
    if columns is not None or allow_mixed:
        raise InputError("the runs are a table already: give columns and allow_mixed to load_table")
    return runs.select(where)


def _text(columns: ColumnNames) -> str | None:
    return columns if columns is None or isinstance(columns, str) else format_columns(columns)


def _numbers(name: str, value: Any) -> Array:
    """Positive numbers, but for a share of the data, which may be 0. Raises InputError for anything else."""
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}={value!r} is not a number or an array of numbers") from None
    is_in_range = np.isfinite(numbers) & ((numbers >= 0) if name not in POSITIVE_COLUMNS else (numbers > 0))
    if not is_in_range.all():
        wrong = np.atleast_1d(numbers)[np.atleast_1d(~is_in_range)][0]
        raise InputError(f"{name}={wrong:g}: a target is a finite number above zero")
    return numbers


def _broadcast(values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        arrays = np.broadcast_arrays(*values.values())
    except ValueError:
        lengths = ", ".join(f"{name}: {value.size}" for name, value in values.items())
        raise InputError(f"the columns of the targets differ in length ({lengths})") from None
    return dict(zip(values, (array.ravel() for array in arrays), strict=True))
