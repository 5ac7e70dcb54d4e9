"""How a sealed prediction fared: its error in per cent, in widths of its interval, and in seed noise.

Legend: P runs at the target.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.prediction.existing_results import Known, runs_at
from windtunnel.analysis.prediction.predict import Prediction, describe
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.analysis.prediction.target import columns_at, matches
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.analysis.tables.table import RunSet, Source, Table, load_table
from windtunnel.train.errors import InputError

# Why a run that is known at the target is in no row there.
BY_WHERE, OTHERWISE = "left out by --where", "it is the target in another count of parameters or FLOPs"


@dataclass(frozen=True)
class Outcome:
    """One run at the target; error is prediction - outcome."""

    run: str
    loss: float
    error_percent: float
    interval_widths: float | None  # None where the interval has no width (noise-free data) or is open
    seed_noise: float | None
    inside_90: bool


@dataclass(frozen=True)
class Score:
    """`mean` is of the runs at the target (seeds of it); the interval is of one run, so a mean should lie well in."""

    prediction: Prediction
    source: str
    mean: Outcome
    runs: tuple[Outcome, ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        return {
            "sealed": self.prediction.sealed,
            "time": self.prediction.time,
            "law": self.prediction.law,
            "at": dict(self.prediction.at),
            "predicted": self.prediction.loss,
            "interval_90": self.prediction.document()["interval_90"],
            "observed": self.mean.loss,
            "error_percent": self.mean.error_percent,
            "error_interval_widths": self.mean.interval_widths,
            "error_seed_noise": self.mean.seed_noise,
            "inside_90": self.mean.inside_90,
            "runs": [vars(each) for each in self.runs],
            "source": self.source,
            "notes": list(self.notes),
        }


def score(
    path: Path, source: Source, *, columns: str | None = None, where: str | None = None, mixed: bool = False
) -> Score:
    """Scores the sealed prediction in the file `path` against the finished runs of `source` at its target. `columns`
    are by default those of the fit, where `source` is the one it was made from.

    Raises InputError where the prediction is not sealed or was changed, the target has no finished run, was fitted, or
    was begun before the prediction was sealed.
    """
    prediction = read_sealed(path)
    at = prediction.at
    if columns is None and source == prediction.fit.get("source"):
        columns = prediction.fit.get("columns") or None
    known = {each.run: each for each in runs_at(source, at, columns)}
    wanted = replace(source, with_held_out=True) if isinstance(source, RunSet) else source
    table = load_table(wanted, columns=columns, where=where, mixed=mixed)
    rows = np.flatnonzero(matches(table.columns, at, len(table))) if len(table) else np.zeros(0, dtype=np.intp)
    if not len(rows):
        raise InputError(_nothing_to_score(source, at, table, list(known.values()), where))
    target = table.take(rows)
    law = law_named(prediction.law)
    loss_P = target.require(law.target)[law.target]
    notes = _refuse_hindsight(prediction, target, known, source)
    notes += [
        f"{run} is at the target and not in this score: {reason}"
        for run, each in known.items()
        if run not in set(target.label.tolist()) and (reason := _left_out(each, table, where)) != OTHERWISE
    ]
    sigma = prediction.fit.get("seed_noise")
    if sigma is None:
        sigma = seed_noise(target, law.target)
        if sigma is not None:
            notes.append("the seed noise is that of the runs at the target: the fitted table had no repeated seeds")
    outcomes = tuple(
        outcome(prediction, str(label), float(loss), sigma) for label, loss in zip(target.label, loss_P, strict=True)
    )
    mean = outcome(prediction, "mean", float(np.mean(loss_P)), sigma)
    notes += _away_from_target(prediction, target)
    return Score(prediction, str(source), mean, outcomes, tuple(notes))


def outcome(prediction: Prediction, run: str, loss: float, sigma: float | None) -> Outcome:
    """What `loss` says of the prediction, with `sigma` of seed noise in log loss."""
    low, high = prediction.interval_90
    return Outcome(
        run=run,
        loss=loss,
        error_percent=100.0 * (prediction.loss / loss - 1.0),
        interval_widths=(prediction.loss - loss) / (high - low) if 0 < high - low < math.inf else None,
        seed_noise=math.log(prediction.loss / loss) / sigma if sigma else None,
        inside_90=low <= loss <= high,
    )


def _left_out(known: Known, table: Table, where: str | None) -> str:
    """Why a run at the target is not among the rows that are scored."""
    reason = {each.run: each.reason for each in table.excluded}.get(known.run) or known.fault
    return reason or (OTHERWISE if where is None else BY_WHERE)


def _nothing_to_score(
    source: Source, at: Mapping[str, float], table: Table, known: Sequence[Known], where: str | None
) -> str:
    if known:
        reason = _left_out(known[0], table, where)
        mend = {BY_WHERE: "widen the condition", OTHERWISE: "name the column of the fit with --columns"}.get(
            reason, "it has no loss to compare" if "diverged" in reason else "finish it first"
        )
        return f"{source}: the target {known[0].run} cannot be scored: {reason}; {mend}"
    return f"{source}: no run at {describe(at)}; train the target, or name its columns with --columns"


def _refuse_hindsight(prediction: Prediction, target: Table, known: Mapping[str, Known], source: Source) -> list[str]:
    """Raises InputError where the target was fitted or begun before the seal; a note where it shares a fitted trunk, or
    where the source does not say when it was begun.
    """
    # "row 7" and "3.0" say where a line stands in some file, not which run it is.
    fitted = {run for run in prediction.fitted_runs if not run.removeprefix("row ").replace(".", "").isdigit()}
    names = target.columns.get("run", target.label)
    for label, name in zip(target.label.tolist(), map(str, names), strict=True):
        if name in fitted:
            raise InputError(f"{source}: the target {name} was in the table that was fitted: it is no held-out run")
        started = known[label].started if label in known else None
        if started is not None and prediction.time is not None and started < prediction.time:
            raise InputError(
                f"{source}: the target {label} was begun at {started}, before the prediction was sealed at "
                f"{prediction.time}: it is no prediction of it"
            )
    notes = []
    if not all(label in known and known[label].started is not None for label in target.label.tolist()):
        notes.append("the source does not say when its runs were begun: that it was after the seal is not checked")
    shared = fitted & set(target.run.tolist())
    if shared:
        notes.append(f"the target branches off {min(shared)}, which was fitted: their noise is shared")
    return notes


def _away_from_target(prediction: Prediction, target: Table) -> list[str]:
    """A note where the runs are not quite what was asked: the law's change of loss over the difference."""
    law = law_named(prediction.law)
    if not all(name in target.columns for name in law.columns):
        return []
    wanted = columns_at(law, prediction.at)
    found = {name: np.asarray(target.columns[name], dtype=np.float64) for name in law.columns}
    furthest = max(float(np.max(np.abs(np.log(found[name] / wanted[name])))) for name in law.columns)
    if furthest < 1e-3:
        return []
    loss = float(np.mean(law.predict_one(prediction.fit["parameters"], found)))
    return [
        f"the runs are up to {100 * furthest:.2g} % from {describe(prediction.at)}; the law gives {loss:.5g} there, "
        f"{100 * (loss / prediction.loss - 1):+.2g} % of the sealed loss"
    ]
