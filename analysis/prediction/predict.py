"""A prediction: what a fit says of a run that does not exist, with its interval and how far it reaches.

`seal` writes one down so that it cannot be changed afterwards; `analysis.prediction.score` compares it with the run.
"""

import hashlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.laws.law import Law
from windtunnel.analysis.prediction.prediction_interval import predict_interval
from windtunnel.analysis.prediction.target import columns_at, extrapolation, matches, refuse_far
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.train.errors import InputError

LEVEL = 0.9
# A fit in another state may be looked at, but no prediction of it may be sealed.
SEALABLE = ("converged", "not_identified", "edge")


@dataclass(frozen=True)
class Prediction:
    """at: the columns asked for. extrapolation: times beyond the data's largest N, D and C. fitted_runs: the runs of
    the fitted table, none of which may be the target. rivals: held-out mean absolute relative error of the law and of
    plain forms on the same table. commit, time, sealed: None until it is sealed.
    """

    law: str
    formula: str
    law_digest: str
    fit: Mapping[str, Any]  # the document of the fit
    fitted_runs: tuple[str, ...]
    at: Mapping[str, float]
    loss: float
    interval_90: tuple[float, float]
    extrapolation: Mapping[str, float | None]
    rivals: Mapping[str, float | None]
    notes: tuple[str, ...]
    commit: str | None = None
    time: str | None = None
    sealed: str | None = None

    def document(self) -> dict[str, Any]:
        """The prediction as JSON: an unbounded end of the interval is null."""
        low, high = self.interval_90
        return {
            "at": dict(self.at),
            "loss": self.loss,
            "interval_90": [low if math.isfinite(low) else None, high if math.isfinite(high) else None],
            "sealed": self.sealed,
            "extrapolation": dict(self.extrapolation),
            "law": self.law,
            "formula": self.formula,
            "law_digest": self.law_digest,
            "fit": dict(self.fit),
            "fitted_runs": list(self.fitted_runs),
            "rivals": dict(self.rivals),
            "notes": list(self.notes),
            "commit": self.commit,
            "time": self.time,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Prediction":
        """The prediction of a document. Raises KeyError, TypeError or ValueError where it is none."""
        low, high = document["interval_90"]
        found = cls(
            law=str(document["law"]),
            formula=str(document["formula"]),
            law_digest=str(document["law_digest"]),
            fit=dict(document["fit"]),
            fitted_runs=tuple(document["fitted_runs"]),
            at={name: float(value) for name, value in document["at"].items()},
            loss=float(document["loss"]),
            interval_90=(-math.inf if low is None else float(low), math.inf if high is None else float(high)),
            extrapolation=dict(document["extrapolation"]),
            rivals=dict(document["rivals"]),
            notes=tuple(document["notes"]),
            commit=document["commit"],
            time=document["time"],
            sealed=document["sealed"],
        )
        magnitudes = [found.loss, *found.at.values()]
        if not all(0 < each < math.inf for each in magnitudes) or not found.interval_90[0] <= found.interval_90[1]:
            raise ValueError("a loss and a target are above zero, and an interval has its lower end first")
        return found


def predict(fit: Fit, at: Mapping[str, float], *, far: bool = False, rivals: bool = True) -> Prediction:
    """The fit's prediction at a target, `{"N": 1e9, "D": 2e10}`; missing ones of N, D, C, M follow from the others.

    far: allow a target more than 30 times beyond the data in N, D or C, or below it. rivals: hold out the largest runs
    of the fitted table and compare the law with plain forms.

    Raises InputError where the fit was refused, a column is missing, or the target is too far.
    """
    if fit.status in REFUSED:
        raise InputError(f"the fit of {fit.law.name} was refused ({fit.status}): {fit.reason}")
    columns = columns_at(fit.law, at)
    ratios = extrapolation(fit.points.columns, at)
    notes = refuse_far(fit.points.columns, at, far)
    loss_Q, low_Q, high_Q = predict_interval(fit, columns, LEVEL)
    loss, low, high = float(loss_Q[0]), float(low_Q[0]), float(high_Q[0])
    if not math.isfinite(loss):
        raise InputError(f"law {fit.law.name} has no value at {describe(at)}; fit another law, or ask nearer the data")
    if fit.status != "converged":
        notes.append(f"the fit is {fit.status}: {fit.reason}")
    if not (math.isfinite(low) and math.isfinite(high)) or low == 0.0:
        notes.append("the data do not bound the loss at the target: the interval is open")
    num_points, num_parameters = fit.num_points, fit.law.num_parameters
    if num_points < num_parameters + 2:
        notes.append(f"{num_points} points for {num_parameters} parameters: almost an interpolation")
    if fit.seed_noise is None:
        notes.append("the table has no repeated seeds: the noise in the interval is that of the residuals")
    return Prediction(
        law=fit.law.name,
        formula=fit.law.formula,
        law_digest=law_digest(fit.law),
        fit=fit.document(),
        fitted_runs=tuple(sorted({str(run) for run in fit.points.run_P})),
        at=dict(at),
        loss=loss,
        interval_90=(low, high),
        extrapolation=ratios,
        rivals=_rivals(fit) if rivals else {},
        notes=tuple(notes),
    )


def law_digest(law: Law) -> str:
    """sha256 of the law's formula, its parameters and the source file that computes it."""
    stem = law.name.partition(":")[0].partition("@")[0].replace("-", "_")
    found = find_spec(f"windtunnel.analysis.laws.{stem}")
    source = found.origin if found is not None else inspect.getsourcefile(law.predict)
    content = Path(source).read_bytes() if source else b""
    heading = "\0".join((law.name, law.formula, *law.names))
    return hashlib.sha256(heading.encode() + b"\0" + content).hexdigest()


def is_fitted(fit: Fit, at: Mapping[str, float]) -> bool:
    """Whether the target is among the points that were fitted."""
    wanted = {name: float(value[0]) for name, value in columns_at(fit.law, at).items()}
    return bool(matches(fit.points.columns, wanted, len(fit.points.target_P)).any())


def describe(at: Mapping[str, float]) -> str:
    """`N=1.2e+07, D=2e+08`: size first, whatever order a file sorted them in."""
    usual = ("N", "D", "C", "M")
    names = [*(name for name in usual if name in at), *(name for name in at if name not in usual)]
    return ", ".join(f"{name}={at[name]:.4g}" for name in names)


def _rivals(fit: Fit) -> dict[str, float | None]:
    """Held-out errors on the fitted points themselves: the table is not at hand, its points are."""
    from windtunnel.analysis.comparison.backtest import rank
    from windtunnel.analysis.tables.table import Table

    columns = {**fit.points.columns, fit.law.target: fit.points.target_P}
    noise_column = parse_objective(fit.objective).noise_column
    if noise_column and noise_column not in columns:
        columns[noise_column] = fit.points.weights_P**-0.5  # up to a factor, which changes no fit
    table = Table.of(columns, run=[str(run) for run in np.asarray(fit.points.run_P)])
    try:
        ranking = rank(table, [fit.law], objective=fit.objective, intervals=False)
    except InputError:
        return {}  # too few scales to hold one out
    return {each.law: each.held_out_mean_abs_relative_error for each in ranking.laws}
