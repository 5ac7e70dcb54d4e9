"""Scores of sealed predictions: the error in per cent, in interval widths, and in seed noise.

Legend: P runs at the target.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.existing_results import ExistingRun, ResultSource, find_runs_at, source_name
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.analysis.prediction.target import columns_at, format_target, matching_rows
from windtunnel.analysis.tables.from_runs import RunSet
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

# Why an existing run at the target is in no row of the table.
BY_WHERE, OTHER_COUNT = "left out by the condition on rows", "it is the target in another count of parameters or FLOPs"
# Runs this far from the target, as a share of any column, get a note.
AWAY_FROM_TARGET = 1e-3


@dataclass(frozen=True)
class RunScore:
    """A measured loss against the prediction of it.

    interval_widths: predicted - measured, as a share of the 90 % interval; None where the interval has no width
    (noise-free data) or is open. seed_noise: log(predicted / measured) in standard deviations between seeds; None where
    that is not known. inside_90: whether the measured loss is in the interval; None without an interval.
    """

    run: str
    predicted: float
    loss: float
    interval_widths: float | None
    seed_noise: float | None
    inside_90: bool | None

    @classmethod
    def from_losses(
        cls,
        run: str,
        predicted: float,
        loss: float,
        interval_90: tuple[float, float] | None,
        noise: float | None = None,
    ) -> "RunScore":
        """The score of a measured loss. noise: standard deviation of the log of the loss between seeds."""
        low, high = interval_90 or (math.nan, math.nan)
        return cls(
            run=run,
            predicted=predicted,
            loss=loss,
            interval_widths=(predicted - loss) / (high - low) if 0 < high - low < math.inf else None,
            seed_noise=math.log(predicted / loss) / noise if noise else None,
            inside_90=None if interval_90 is None else low <= loss <= high,
        )

    @property
    def error(self) -> float:
        """predicted / measured - 1."""
        return self.predicted / self.loss - 1.0

    @property
    def error_percent(self) -> float:
        return 100.0 * self.error

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "loss": self.loss,
            "error_percent": self.error_percent,
            "interval_widths": self.interval_widths,
            "seed_noise": self.seed_noise,
            "inside_90": self.inside_90,
        }


@dataclass(frozen=True)
class Score:
    """The runs at the target of a sealed prediction, and their mean. The interval is of one run, so a mean over seeds
    should lie well inside.
    """

    prediction: Prediction
    source: str
    mean: RunScore
    runs: tuple[RunScore, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "sealed": self.prediction.sealed,
            "time": self.prediction.time,
            "law": self.prediction.law,
            "at": dict(self.prediction.at),
            "predicted": self.prediction.loss,
            "interval_90": self.prediction.to_dict()["interval_90"],
            "observed": self.mean.loss,
            "error_percent": self.mean.error_percent,
            "error_interval_widths": self.mean.interval_widths,
            "error_seed_noise": self.mean.seed_noise,
            "inside_90": self.mean.inside_90,
            "runs": [run.to_dict() for run in self.runs],
            "source": self.source,
            "notes": list(self.notes),
        }


def score(
    path: Path, source: ResultSource, *, columns: str | None = None, where: str | None = None, allow_mixed: bool = False
) -> Score:
    """Scores the sealed prediction in the file `path` against the finished runs of `source` at its target.

    columns, where, allow_mixed: as `load_table` takes them; `columns` are by default those of the fit where `source` is
    the one it was made from.

    Raises InputError where the prediction is not sealed or was changed, or the target has no finished run, was fitted,
    or started before the prediction was sealed.
    """
    prediction = read_sealed(path)
    at = prediction.at
    name = source_name(source)
    if columns is None and isinstance(source, str) and source == prediction.fit.get("source"):
        columns = prediction.fit.get("columns") or None
    existing = {run.run: run for run in find_runs_at(source, at, columns)}
    if isinstance(source, Table):
        table = source.select(where)
    else:
        with_targets = replace(source, with_held_out=True) if isinstance(source, RunSet) else source
        table = load_table(with_targets, columns=columns, where=where, allow_mixed=allow_mixed)
    rows = np.flatnonzero(matching_rows(table.columns, at, len(table))) if len(table) else np.zeros(0, dtype=np.intp)
    if not len(rows):
        raise InputError(_nothing_to_score(name, at, table, list(existing.values()), where))
    target = table.take(rows)
    law = get_law(prediction.law)
    loss_P = target.require(law.target)[law.target]
    notes = _check_hindsight(prediction, target, existing, name)
    notes += [
        f"{label} is at the target and not in this score: {reason}"
        for label, run in existing.items()
        if label not in set(target.label.tolist()) and (reason := _reason_left_out(run, table, where)) != OTHER_COUNT
    ]
    noise = prediction.fit.get("seed_noise")
    if noise is None:
        noise = seed_noise(target, law.target)
        if noise is not None:
            notes.append("the seed noise is that of the runs at the target: the fitted table had no repeated seeds")
    runs = tuple(
        score_run(prediction, str(label), float(loss), noise) for label, loss in zip(target.label, loss_P, strict=True)
    )
    mean = score_run(prediction, "mean", float(np.mean(loss_P)), noise)
    notes += _away_from_target(prediction, target)
    return Score(prediction, name, mean, runs, tuple(notes))


def score_run(prediction: Prediction, run: str, loss: float, noise: float | None) -> RunScore:
    """The score of a measured loss. noise: standard deviation of the log of the loss between seeds."""
    return RunScore.from_losses(run, prediction.loss, loss, prediction.interval_90, noise)


def _reason_left_out(run: ExistingRun, table: Table, where: str | None) -> str:
    """Why a run at the target is not among the rows that are scored."""
    reason = {excluded.run: excluded.reason for excluded in table.excluded}.get(run.run) or run.problem
    return reason or (OTHER_COUNT if where is None else BY_WHERE)


def _nothing_to_score(
    source: str, at: Mapping[str, float], table: Table, existing: Sequence[ExistingRun], where: str | None
) -> str:
    if not existing:
        return f"{source}: no run at {format_target(at)}; train the target, or name its columns with columns=..."
    reason = _reason_left_out(existing[0], table, where)
    hints = {BY_WHERE: "widen the condition", OTHER_COUNT: "name the column of the fit with columns=..."}
    hint = hints.get(reason, "it has no loss to compare" if "diverged" in reason else "finish it first")
    return f"{source}: the target {existing[0].run} cannot be scored: {reason}; {hint}"


def _check_hindsight(
    prediction: Prediction, target: Table, existing: Mapping[str, ExistingRun], source: str
) -> list[str]:
    """Notes where the target shares a fitted trunk, or the source has no time of its start. Raises InputError where
    the target was fitted or started before the seal.
    """
    # "row 7" and "3.0" are the place of a line in some file, not the name of a run.
    fitted = {run for run in prediction.fitted_runs if not run.removeprefix("row ").replace(".", "").isdigit()}
    names = target.columns.get("run", target.label)
    for label, name in zip(target.label.tolist(), map(str, names), strict=True):
        if name in fitted:
            raise InputError(f"{source}: the target {name} was in the table that was fitted: it is not held out")
        started = existing[label].started if label in existing else None
        if started is not None and prediction.time is not None and started < prediction.time:
            raise InputError(
                f"{source}: the target {label} started at {started}, before the prediction was sealed at "
                f"{prediction.time}: hindsight cannot be scored"
            )
    notes = []
    if not all(label in existing and existing[label].started is not None for label in target.label.tolist()):
        notes.append("the source does not say when its runs started: that it was after the seal is not checked")
    shared = fitted & set(target.run.tolist())
    if shared:
        notes.append(f"the target branches off {min(shared)}, which was fitted: their noise is shared")
    return notes


def _away_from_target(prediction: Prediction, target: Table) -> list[str]:
    """A note where the runs are not quite at the target: how the law's loss changes over the difference."""
    law = get_law(prediction.law)
    if not all(name in target.columns for name in law.columns):
        return []
    target_at = columns_at(law, prediction.at)
    measured = {name: np.asarray(target.columns[name], dtype=np.float64) for name in law.columns}
    furthest = max(float(np.max(np.abs(np.log(measured[name] / target_at[name])))) for name in law.columns)
    if furthest < AWAY_FROM_TARGET:
        return []
    loss = float(np.mean(law.predict_one(prediction.fit["parameters"], measured)))
    return [
        f"the runs are up to {100 * furthest:.2g} % from {format_target(prediction.at)}; the law gives {loss:.5g} "
        f"there, {100 * (loss / prediction.loss - 1):+.2g} % of the sealed loss"
    ]
