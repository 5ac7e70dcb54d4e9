"""Results of fits, and their files.

The file of a fit contains the fitted points, so that a prediction made from the file alone has an interval.

Legend: P points, R replicates, K parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainSerializer, PlainValidator

from windtunnel.analysis.fitting.certificate import REFUSED, Certificate, Status
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import Array, Columns, Law
from windtunnel.analysis.laws.two_step import parameter_label
from windtunnel.analysis.signed_json import (
    Interval,
    JsonArray,
    NumberOrNull,
    finite_or_none,
    from_document,
    parsing,
    read_signed,
    to_document,
    write_signed,
)
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.analysis.solver.problem import Problem
from windtunnel.train.errors import InputError

MADE_BY = "windtunnel fit"
INTERVAL_LEVEL = 0.95  # of parameters; predictions have 90 % unless another level is named
# A recomputed objective agrees with the recorded one to this share of it, and to this much for each point.
SAME_OBJECTIVE, SAME_POINT = 1e-6, 1e-9


class _Named(Protocol):
    @property
    def name(self) -> str: ...


AnyLaw = TypeVar("AnyLaw", bound=_Named)


@dataclass(frozen=True, kw_only=True)
class FitResult(Generic[AnyLaw]):
    """The result of a fit, of final losses or of whole curves.

    objective, value: name and value of the objective. parameters: empty where the fit was refused; `reason` then says
    why and how to fix it.
    """

    law: AnyLaw
    objective: str
    parameters: dict[str, float]
    value: NumberOrNull
    status: Status
    reason: str
    not_identified: tuple[str, ...]
    num_points: int
    seconds: float
    certificate: Certificate | None

    def check_fitted(self) -> None:
        """Raises InputError where the fit was refused."""
        if not self.parameters:
            raise InputError(f"the fit of {self.law.name} was refused ({self.status}): {self.reason}")


@dataclass(frozen=True)
class Points:
    """What was fitted: the law's columns, the target, the weights of the objective, the run (cluster) of each point."""

    columns: Mapping[str, JsonArray]
    target_P: Annotated[JsonArray, Field(alias="target")]
    weights_P: Annotated[JsonArray, Field(alias="weights")]
    run_P: Annotated[
        NDArray[Any],
        Field(alias="run"),
        PlainValidator(lambda runs: np.array(runs, dtype=np.str_)),
        PlainSerializer(lambda run_P: [str(run) for run in run_P]),
    ]


@dataclass(frozen=True, kw_only=True)
class Fit(FitResult[Law]):
    """The fit of a law to a table.

    seed_noise: standard deviation of the log of the target between seed replicates of the table. replicates: bootstrap
    replicates of the natural parameters, (K, R). source: of the table; predictions look there for existing results
    before they are sealed. column_mapping: the `columns` that the source was loaded with.
    """

    law: Annotated[Law, PlainValidator(lambda law: law if isinstance(law, Law) else get_law(law))]
    intervals: dict[str, Interval]
    interval_method: str
    table_digest: str
    seed_noise: float | None
    points: Points
    replicates: JsonArray | None = None
    source: str = ""
    column_mapping: str = ""

    def predict(self, columns: Columns) -> Array:
        """The law at the fitted parameters: (P,). Raises InputError where the fit was refused."""
        self.check_fitted()
        return self.law.predict_one(self.parameters, columns)

    def natural_row(self) -> Array:
        """The fitted parameters in the order of the law: (1, K)."""
        return np.array([[self.parameters[name] for name in self.law.names]])

    def problem(self) -> Problem:
        """The fitting problem of the fitted points."""
        points, objective = self.points, parse_objective(self.objective)
        return Problem.from_points(self.law, points.columns, points.target_P, points.weights_P, objective)

    def steps_or_self(self) -> "tuple[Fit, ...]":
        """The fits that this fit is made of: itself, or its steps."""
        return (self,)

    def to_dict(self, *, points: bool = False) -> dict[str, Any]:
        """The fit as JSON; an unbounded end of an interval is null. points: with the fitted points and the replicates,
        as `from_dict` needs them.
        """
        fit = {
            "law": self.law.name,
            "objective": {"name": self.objective, "value": finite_or_none(self.value)},
            "parameters": self.parameters,
            "intervals": {name: [finite_or_none(end) for end in ends] for name, ends in self.intervals.items()},
            "interval_level": INTERVAL_LEVEL,
            "interval_method": self.interval_method,
            "status": self.status,
            "reason": self.reason,
            "not_identified": list(self.not_identified),
            "num_points": self.num_points,
            "seconds": self.seconds,
            "table_digest": self.table_digest,
            "source": self.source,
            "columns": self.column_mapping,
            "seed_noise": self.seed_noise,
            "certificate": None if self.certificate is None else to_document(self.certificate),
        }
        if points:
            fit["points"] = to_document(self.points)
            fit["replicates"] = None if self.replicates is None else self.replicates.tolist()
        return fit

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Fit":
        """The fit of `to_dict(points=True)`. Raises KeyError, TypeError or ValueError where it is not a fit."""
        if "steps" in content:
            return TwoStepFit.from_dict(content)
        objective = content["objective"]
        flat = {"objective": objective["name"], "value": objective["value"], "column_mapping": content["columns"]}
        return from_document(Fit, {**content, **flat})

    def to_json(self, path: Path) -> None:
        """Writes the whole fit with its digest."""
        write_signed(path, self.to_dict(points=True))

    @classmethod
    def from_json(cls, path: Path) -> "Fit":
        """Reads what `to_json` wrote. Raises InputError where the file is missing, not a fit or was changed, or its
        law no longer gives the recorded objective.
        """
        content = read_signed(path, "a fit", MADE_BY)
        with parsing(path, "a fit", MADE_BY):
            fit = cls.from_dict(content)
        for step in fit.steps_or_self():
            step._check_objective(path)
        return fit

    def _check_objective(self, path: Path) -> None:
        """Raises InputError where the recorded objective is not that of the parameters at the points."""
        if not self.parameters or not math.isfinite(self.value):
            return
        points = self.points
        prediction_RP = self.predict(points.columns)[None]
        value = float(parse_objective(self.objective).value(prediction_RP, points.target_P, points.weights_P)[0])
        if not abs(value - self.value) <= SAME_OBJECTIVE * self.value + SAME_POINT * len(points.target_P):
            raise InputError(
                f"{path}: {self.law.name} has {self.objective} = {value:.6g} at the recorded parameters, not the "
                f"recorded {self.value:.6g}: the code of the law has changed, or another law made the fit; fit again"
            )


@dataclass(frozen=True, kw_only=True)
class TwoStepFit(Fit):
    """The fit of a law in two steps, one fit a step. The first step predicts a loss from scale, the second what follows
    from that loss, such as accuracy. The points are those of the first step.
    """

    steps: tuple[Fit, Fit]

    @classmethod
    def from_steps(cls, law: Law, first: Fit, second: Fit, table_digest: str) -> "TwoStepFit":
        """Two fits as one. The fit is refused where a step is, and has the status of the worse step."""
        steps = (first, second)

        def merge(values: list[Mapping[str, Any]]) -> dict[str, Any]:
            return {
                parameter_label(step.law, name, first.law, second.law): value
                for step, own in zip(steps, values, strict=True)
                for name, value in own.items()
            }

        worst = min(steps, key=lambda step: (step.status not in REFUSED, step.status == "converged"))
        refused = worst.status in REFUSED
        replicates = [step.replicates for step in steps if step.replicates is not None]
        return cls(
            law=law,
            objective=second.objective,
            parameters={} if refused else merge([step.parameters for step in steps]),
            value=second.value,
            status=worst.status,
            reason="; ".join(f"{step.law.name}: {step.reason}" for step in steps if step.reason),
            not_identified=tuple(merge([dict.fromkeys(step.not_identified) for step in steps])),
            intervals={} if refused else merge([step.intervals for step in steps]),
            interval_method=second.interval_method,
            num_points=second.num_points,
            seconds=first.seconds + second.seconds,
            table_digest=table_digest,
            source=first.source,
            column_mapping=first.column_mapping,
            seed_noise=second.seed_noise,
            certificate=None,
            points=first.points,
            replicates=np.concatenate(replicates) if len(replicates) == 2 else None,
            steps=steps,
        )

    def steps_or_self(self) -> tuple[Fit, ...]:
        return self.steps

    def to_dict(self, *, points: bool = False) -> dict[str, Any]:
        """As `Fit.to_dict`, with each step."""
        return {**super().to_dict(), "steps": [step.to_dict(points=points) for step in self.steps]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "TwoStepFit":
        """The fit of `to_dict(points=True)`. Raises KeyError, TypeError or ValueError where it is not a fit."""
        law = get_law(content["law"])
        if law.steps is None:
            raise ValueError(f"law {law.name} has no steps")
        # A step's law need not be in the catalog under its own name.
        known = {step.name: step for step in law.steps}
        first, second = (
            Fit.from_dict({**step, "law": known.get(step["law"], step["law"])}) for step in content["steps"]
        )
        return cls.from_steps(law, first, second, content["table_digest"])
