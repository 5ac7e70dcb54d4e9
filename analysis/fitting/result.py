"""A fit as a value and as a file: law, objective, table digest, parameters, status, intervals, and the points it was
fitted to, so that a prediction made later from the file alone can have its interval.

Legend: P points, R replicates, K parameters.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.laws.law import Array, Columns, Law
from windtunnel.analysis.signed_json import digest_of, read_json
from windtunnel.analysis.solver.objective import parse_objective
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

Status = Literal[
    "converged",
    "edge",
    "not_identified",
    "not_converged",
    "too_few_points",
    "one_size",
    "one_budget",
    "one_ratio",
]
REFUSED: tuple[Status, ...] = ("too_few_points", "one_size", "one_budget", "one_ratio")
MADE_BY = "windtunnel fit SOURCE --output FIT.json"
# A recomputed objective agrees with the recorded one to this share, and to this much a point.
SAME_OBJECTIVE, ROUNDING = 1e-6, 1e-9
INTERVAL_LEVEL = 0.95  # of parameters; predictions have 90 % unless asked otherwise


@dataclass(frozen=True)
class Points:
    """What was fitted: the law's columns, the target, the weights of the objective, the run (cluster) of each point."""

    columns: Mapping[str, Array]
    target_P: Array
    weights_P: Array
    run_P: NDArray[Any]


@dataclass(frozen=True)
class Certificate:
    """How the fitter knows: how many of the independent starts reached the value, and the decrease (relative to the
    value) that a Newton step would still promise.
    """

    starts: int
    starts_agreeing: int
    newton_decrement: float
    at_bound: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """`parameters` is empty where the fit was refused, and `reason` then says why and what mends it."""

    law: Law
    objective: str
    parameters: dict[str, float]
    value: float
    status: Status
    reason: str
    not_identified: tuple[str, ...]
    intervals: dict[str, tuple[float, float]]
    interval_method: str
    num_points: int
    seconds: float
    table_digest: str
    seed_noise: float | None  # s.d. of the logarithm of the loss between runs equal but for the seed
    certificate: Certificate | None
    points: Points
    replicates: Array | None = field(default=None)  # bootstrap: natural parameters (K, R)
    source: str = ""  # of the table: where a prediction looks for results before it is sealed
    named: str = ""  # what N, D, ... stand for in that source, as `--columns` takes it

    def predict(self, columns: Columns) -> Array:
        """The law at the fitted parameters: (P,). Raises InputError where the fit was refused."""
        if not self.parameters:
            raise InputError(f"the fit of {self.law.name} was refused ({self.status}): {self.reason}")
        return self.law.predict_one(self.parameters, columns)

    def natural_row(self) -> Array:
        """The fitted parameters in the order of the law: (1, K)."""
        return np.array([[self.parameters[name] for name in self.law.names]])

    def document(self) -> dict[str, Any]:
        """The fit as JSON: an unbounded end of an interval is null."""
        return {
            "law": self.law.name,
            "objective": {"name": self.objective, "value": _number(self.value)},
            "parameters": self.parameters,
            "intervals": {name: [_number(low), _number(high)] for name, (low, high) in self.intervals.items()},
            "interval_level": INTERVAL_LEVEL,
            "interval_method": self.interval_method,
            "status": self.status,
            "reason": self.reason,
            "not_identified": list(self.not_identified),
            "num_points": self.num_points,
            "seconds": self.seconds,
            "table_digest": self.table_digest,
            "source": self.source,
            "columns": self.named,
            "seed_noise": self.seed_noise,
            "certificate": None if self.certificate is None else vars(self.certificate),
        }

    def content(self) -> dict[str, Any]:
        """The whole fit as JSON, points and replicates included."""
        return {
            **self.document(),
            "points": {
                "columns": {name: column.tolist() for name, column in self.points.columns.items()},
                "target": self.points.target_P.tolist(),
                "weights": self.points.weights_P.tolist(),
                "run": [str(run) for run in self.points.run_P],
            },
            "replicates": None if self.replicates is None else self.replicates.tolist(),
        }

    def to_json(self, path: Path) -> None:
        """Writes `content` with the digest of itself."""
        content = self.content()
        signed = {**content, "digest": digest_of(content, "digest")}
        write_atomically(Path(path), (json.dumps(signed, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def from_json(cls, path: Path) -> "Fit":
        """Reads what `to_json` wrote. Raises InputError where the file is missing, no fit, or was changed, and where
        its law does not give the recorded objective any more.
        """
        content = read_json(path, MADE_BY)
        try:
            if digest_of(content, "digest") != content["digest"]:
                raise InputError(f"{path}: changed after it was fitted (its content has another digest); fit again")
            found = cls.of_content(content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not a fit ({error!s:.80}); name a file written by {MADE_BY}") from None
        for step in found.parts():
            step.check_objective(path)
        return found

    def parts(self) -> "tuple[Fit, ...]":
        """The fits that this one is made of: itself."""
        return (self,)

    def check_objective(self, path: Path) -> None:
        """Raises InputError where the parameters do not have the recorded objective at the points: other code made it,
        or another hand.
        """
        if not self.parameters or not math.isfinite(self.value):
            return
        points = self.points
        prediction_RP = self.predict(points.columns)[None]
        value = float(parse_objective(self.objective).value(prediction_RP, points.target_P, points.weights_P)[0])
        if not abs(value - self.value) <= SAME_OBJECTIVE * self.value + ROUNDING * len(points.target_P):
            raise InputError(
                f"{path}: {self.law.name} has {self.objective} = {value:.6g} at its parameters where {self.value:.6g} "
                "is recorded: the code of the law has changed since, or it was not made by this law; fit again"
            )

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> "Fit":
        """What `content` gave. Raises KeyError, TypeError or ValueError where it is no such thing."""
        if cls is Fit and law_named(content["law"]).steps is not None:
            from windtunnel.analysis.fitting.two_step import Chain

            return Chain.of_content(content)
        if content["status"] not in get_args(Status):
            raise ValueError(f"status {content['status']}")
        points = content["points"]
        certificate = content["certificate"]
        return cls(
            law=law_named(content["law"]),
            objective=content["objective"]["name"],
            parameters={name: float(value) for name, value in content["parameters"].items()},
            value=math.nan if content["objective"]["value"] is None else float(content["objective"]["value"]),
            status=content["status"],
            reason=content["reason"],
            not_identified=tuple(content["not_identified"]),
            intervals={
                name: (-math.inf if low is None else float(low), math.inf if high is None else float(high))
                for name, (low, high) in content["intervals"].items()
            },
            interval_method=content["interval_method"],
            num_points=int(content["num_points"]),
            seconds=float(content["seconds"]),
            table_digest=content["table_digest"],
            source=content["source"],
            named=content["columns"],
            seed_noise=content["seed_noise"],
            certificate=None
            if certificate is None
            else Certificate(**{**certificate, "at_bound": tuple(certificate["at_bound"])}),
            points=Points(
                {name: np.array(column, dtype=np.float64) for name, column in points["columns"].items()},
                np.array(points["target"], dtype=np.float64),
                np.array(points["weights"], dtype=np.float64),
                np.array(points["run"], dtype=np.str_),
            ),
            replicates=None if content["replicates"] is None else np.array(content["replicates"], dtype=np.float64),
        )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
