"""`windtunnel.fit_curves` and what it returns: laws of the schedule on whole loss curves, for notebooks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from windtunnel.analysis.curves import fit_curves as curve_fitting
from windtunnel.analysis.curves import predict as curve_prediction
from windtunnel.analysis.curves.curve import LossKind
from windtunnel.analysis.curves.fit_curves import NUM_REPLICATES
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.load import CurveSource, ScheduleSource, load_curve_groups
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.report.number_format import format_interval
from windtunnel.analysis.report.text import format_notes, format_table
from windtunnel.text import Text, check_count, check_level, law_names
from windtunnel.train.errors import InputError

if TYPE_CHECKING:  # for start-up time: matplotlib loads when something is plotted
    from matplotlib.axes import Axes


class CurvePrediction(Text):
    """The predicted loss curve of a schedule. Made by `CurveFit.predict`.

    loss: after the last update, in nats per token. notes: warnings.
    """

    def __init__(self, fit: "CurveFit", result: curve_prediction.CurvePrediction, settings: Sequence[str] = ()) -> None:
        self._fit, self._settings, self.result = fit, tuple(settings), result
        self.loss, self.notes = result.final_loss, list(result.notes)

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Low and high of the last loss of a new run. level: between 0 and 1. Raises InputError without replicates."""
        check_level(level)
        law = self._fit.fitted_law
        if not law.num_replicates:
            raise InputError("the fit has no bootstrap replicates: fit again with num_replicates=200")
        final_R = law.final_losses(self.result.curve)
        return curve_prediction.final_loss_interval(final_R, law.noise, law.num_curves, level)

    def to_pandas(self) -> pd.DataFrame:
        """The predicted curve: columns `step`, `lr` (relative to its peak) and `loss`."""
        curve = self.result.curve
        return pd.DataFrame({"step": curve.time_P, "lr": curve.relative_rates, "loss": self.result.loss_P})

    def seal(self, folder: str | Path, *, losses: LossKind = "validation") -> Path:
        """Writes the prediction into a file named after the hash of its content, and returns the path.

        losses: which losses of the run are predicted. Raises InputError where the prediction is not of a run by its
        settings, or the run or a seed replicate of it has started.
        """
        from windtunnel.sweeps.pipeline.run_curve import config_from_settings, seal_run_curve  # loads torch and Hydra

        if not self._settings:
            raise InputError('only the prediction of a run is sealed: predict with settings=["size=25k", ...]')
        config = config_from_settings(self._settings)
        return seal_run_curve(self._fit.fitted_law, config, losses, Path(folder), {"file": self._fit.source})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The predicted loss against the step, with the 90 % interval of the last loss."""
        import matplotlib.pyplot as plt  # for start-up time

        axes = plt.subplots(figsize=(5.0, 3.5))[1] if ax is None else ax
        step_P = self.result.curve.time_P
        axes.plot(step_P, self.result.loss_P, label=self.result.law)
        if self.result.interval_90 is not None:
            low, high = self.result.interval_90
            axes.errorbar(step_P[-1], self.loss, [[self.loss - low], [high - self.loss]], capsize=4, color="C0")
        axes.set_xlabel("step")
        axes.set_ylabel("loss (nats per token)")
        axes.legend(frameon=False)
        return axes

    def _lines(self) -> list[str]:
        interval = self.result.interval_90
        shown = "" if interval is None else f", 90 % interval of a new run {format_interval(*interval, '.5g')}"
        last = f"loss {self.loss:.5g} after {self.result.curve.time_P[-1]:.0f} steps{shown}"
        return [f"{self.result.law} ({self.result.status}): {last}", *format_notes(self.notes)]


class CurveFit(Text):
    """A curve law fitted to loss curves. Made by `windtunnel.fit_curves`, or read from a file by `CurveFit.load`.

    fitted_law: the law with bootstrap replicates, as the library has it. tests: errors on the test curves.
    """

    def __init__(self, fitted_law: FittedCurveLaw, tests: pd.DataFrame | None = None, source: str = "Python") -> None:
        self.fitted_law, self.source = fitted_law, source
        self.tests = pd.DataFrame() if tests is None else tests
        self.law, self.status, self.reason = fitted_law.law, fitted_law.status, fitted_law.reason
        self.not_identified = list(fitted_law.not_identified)

    @classmethod
    def load(cls, path: str | Path) -> "CurveFit":
        """The fit in a file of `save` or of `windtunnel curves fit`. Raises InputError where it is not a fit."""
        return cls(FittedCurveLaw.from_json(Path(path)), source=str(path))

    def save(self, path: str | Path) -> None:
        """Writes the fit with its bootstrap replicates."""
        self.fitted_law.to_json(Path(path))

    @property
    def params(self) -> "pd.Series[float]":
        """The parameters by name."""
        return pd.Series(self.fitted_law.parameters, dtype=np.float64, name=self.law)

    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Percentile intervals of the parameters by the bootstrap over curves: columns `low` and `high`."""
        check_level(level)
        ends = {
            name: np.quantile(replicates_R, [(1 - level) / 2, (1 + level) / 2])
            for name, replicates_R in self.fitted_law.replicates.items()
        }
        return pd.DataFrame.from_dict(ends, orient="index", columns=["low", "high"]).reindex(self.params.index)

    def summary_frame(self) -> pd.DataFrame:
        """A row per parameter: `value`, the ends `low` and `high` of its 95 % interval, `identified`, `meaning`."""
        meanings = {parameter.name: parameter.meaning for parameter in self.fitted_law.fitted_law.parameters}
        frame = self.params.to_frame("value").join(self.conf_int())
        frame["identified"] = [name not in self.not_identified for name in frame.index]
        frame["meaning"] = [meanings.get(str(name), "") for name in frame.index]
        return frame

    def predict(
        self,
        schedule: ScheduleSource | None = None,
        *,
        settings: Sequence[str] = (),
        columns: str | Mapping[str, str] | None = None,
        warmup: int | None = None,
        size: float | None = None,
        batch: float | None = None,
    ) -> CurvePrediction:
        """The loss curve under a schedule that was not trained.

        schedule: the learning rate of every update, a file or a DataFrame with the columns step and lr, or a curve.
        settings: a run in settings of `windtunnel train`, such as `["size=25k", "schedule=cosine"]`, in place of it.
        columns, warmup: as in `load_curves`. size, batch: parameters and tokens per update, where the schedule does not
            say.

        Raises InputError where the schedule cannot be read, or is outside the domain of the fit.
        """
        if (schedule is None) == (not settings):
            raise InputError("give either a schedule or the settings of a run")
        if schedule is None:
            from windtunnel.sweeps.pipeline.run_curve import curve_from_settings  # loads torch and Hydra

            schedule = curve_from_settings(settings)
        result = self.fitted_law.predict(schedule, columns=columns, warmup=warmup, size=size, batch=batch)
        return CurvePrediction(self, result, settings)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The errors of the final loss on the test curves, in per cent of the measured loss."""
        import matplotlib.pyplot as plt  # for start-up time

        if self.tests.empty:
            raise InputError("there are no test curves to plot: fit with test=[...]")
        axes = plt.subplots(figsize=(5.0, 3.0))[1] if ax is None else ax
        axes.barh(list(self.tests.index), 100 * self.tests["mean_abs_relative_error"], label="mean")
        axes.scatter(100 * self.tests["worst"], list(self.tests.index), color="C1", label="worst point", zorder=3)
        axes.set_xlabel(f"error of {self.law} (% of the loss)", wrap=True)
        axes.legend(frameon=False)
        return axes

    def _lines(self) -> list[str]:
        law = self.fitted_law
        rows = [["parameter", "value", "95 % interval (bootstrap)", "meaning"]]
        for name, row in self.summary_frame().iterrows():
            shown = f"{row['value']:.6g}" if row["identified"] else "not identified"
            rows.append([str(name), shown, format_interval(row["low"], row["high"], ".5g"), row["meaning"]])
        lines = [
            f"{law.law}: {law.fitted_law.formula}",
            f"status: {law.status}{': ' + law.reason if law.reason else ''}; {law.num_curves} curves",
            *format_table(rows, "<><<"),
        ]
        if not self.tests.empty:
            errors = 100 * self.tests[["mean_abs_relative_error", "worst", "final"]]
            rows = [["test", "mean error", "worst", "final"]]
            rows += [[str(name), *(f"{error:.3f} %" for error in row)] for name, row in errors.iterrows()]
            lines += format_table(rows, "<>>>")
        return lines


def fit_curves(
    curves: CurveSource | Sequence[CurveSource],
    law: str = "auto",
    *,
    test: CurveSource | Sequence[CurveSource] = (),
    columns: str | Mapping[str, str] | None = None,
    warmup: int | None = None,
    losses: LossKind = "training",
    objective: str | None = None,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> CurveFit:
    """Fits a curve law to loss curves; arguments and errors as of `windtunnel.analysis.curves.fit_curves.fit_curves`.

    curves, test: curves to fit and curves to test on: files with the columns step, lr and loss, run folders, folders of
        runs, DataFrames, or curves of `load_curves`.
    law: a name such as "sublinear", or "auto" for a combination of laws with weights from cross-validation.

    Raises InputError where a curve cannot be read or the law cannot be fitted to the curves.
    """
    check_count("num_replicates", num_replicates)
    check_count("seed", seed)
    result = curve_fitting.fit_curves(
        curves,
        law,
        test=test,
        columns=columns,
        warmup=warmup,
        losses=losses,
        objective=objective,
        num_replicates=num_replicates,
        seed=seed,
    )
    result.fit.check_fitted()
    tests = pd.DataFrame([vars(score) for score in result.tests])
    return CurveFit(result.fitted_law, tests if tests.empty else tests.set_index("curve"))


def rank_curves(
    curves: CurveSource | Sequence[CurveSource],
    laws: str | Sequence[str],
    *,
    test: CurveSource | Sequence[CurveSource] = (),
    columns: str | Mapping[str, str] | None = None,
    warmup: int | None = None,
    losses: LossKind = "training",
    objective: str | None = None,
) -> pd.DataFrame:
    """Curve laws by cross-validation on the curves, best first: a row each. Test curves do not enter the order.

    Arguments as of `fit_curves`. Raises InputError where a curve cannot be read.
    """
    names = law_names(laws)
    for name in names:
        curve_law(name)  # check the names before curves are read
    train, tests = load_curve_groups([curves, test], columns=columns, warmup=warmup, losses=losses)
    ranked = curve_fitting.rank_curve_laws(names, train, tests, objective)
    frame = pd.DataFrame([law.to_dict() for law in ranked]).set_index("law")
    return frame.rename(columns=lambda name: str(name).replace("inner_", "cross_validation_"))
