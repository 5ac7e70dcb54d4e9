"""A fit of curves as JSON and as a file: law, parameters, status, and how far it is from the test curves.

The file (`--output`) has the bootstrap replicates too, so that a prediction made from it alone can have its interval.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from analysis.curves.curve import Curve
from analysis.curves.fitting import CurveFit
from analysis.curves.law import CurveLaw
from analysis.curves.laws import law_of_fit
from analysis.curves.scores import CurveScore, InnerScore
from analysis.law import Array
from analysis.signed_json import digest_of, read_json
from train.errors import InputError
from train.records import write_atomically

MADE_BY = "windtunnel curves fit --output FIT.json"


def fit_document(fit: CurveFit, tests: Sequence[CurveScore], inner: Sequence[InnerScore]) -> dict[str, Any]:
    """The fit for programs. Errors are shares of the loss; `mean_abs_relative_error` is the mean over the test curves,
    `worst` the largest at any point of any, `mean_worst` the mean of the curves' own.
    """
    return {
        "law": fit.law.name,
        "parameters": fit.parameters,
        "status": fit.status,
        "reason": fit.reason,
        "not_identified": list(fit.not_identified),
        "objective": {"name": fit.objective, "value": finite(fit.value)},
        "num_points": fit.num_points,
        "certificate": {
            "starts": fit.starts,
            "starts_agreeing": fit.starts_agreeing,
            "newton_decrement": finite(fit.newton_decrement),
        },
        "seconds": fit.seconds,
        "test": [vars(each) for each in tests],
        **summary(tests),
        "inner_validation": [
            {
                "law": each.law,
                "mean_abs_relative_error": finite(each.mean_abs_relative_error),
                "worst": finite(each.worst),
                "reason": each.reason,
            }
            for each in inner
        ],
    }


def summary(tests: Sequence[CurveScore]) -> dict[str, float | None]:
    """Over the test curves; null where there are none."""
    if not tests:
        return {"mean_abs_relative_error": None, "worst": None, "mean_worst": None}
    return {
        "mean_abs_relative_error": float(np.mean([each.mean_abs_relative_error for each in tests])),
        "worst": max(each.worst for each in tests),
        "mean_worst": float(np.mean([each.worst for each in tests])),
    }


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class FittedCurves:
    """What a prediction needs of a fit: the law by name and what it was made for, parameters, replicates (R of them),
    and how far whole curves lay from it (s.d. of log loss near their ends).
    """

    law: str
    parameters: dict[str, float]
    status: str
    replicates: dict[str, Array]
    noise: float
    last_update: float
    peaks: tuple[float, float]  # lowest and highest peak rate that was fitted

    @cached_property
    def fitted_law(self) -> CurveLaw:
        return law_of_fit(self.law, self.parameters)

    @property
    def num_replicates(self) -> int:
        return len(next(iter(self.replicates.values()), ()))

    def predict(self, curve: Curve) -> Array:
        """The loss at the logged times of a curve, which need no losses: (P,)."""
        return np.asarray(self.fitted_law.predict(self.parameters, curve), dtype=np.float64)

    def final_losses(self, curve: Curve) -> Array:
        """The loss at the last of those times under each replicate: (R,)."""
        last = curve.points(np.arange(curve.num_points) == curve.num_points - 1)
        drawn = (
            {name: values[place] for name, values in self.replicates.items()} for place in range(self.num_replicates)
        )
        return np.array([float(self.fitted_law.predict(values, last)[0]) for values in drawn])

    def to_json(self, path: Path) -> None:
        content: dict[str, Any] = {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "replicates": {name: values.tolist() for name, values in self.replicates.items()},
        }
        signed = {**content, "digest": digest_of(content, "digest")}
        write_atomically(Path(path), (json.dumps(signed, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def from_json(cls, path: Path) -> "FittedCurves":
        """Raises InputError where the file is missing, no fit of curves, or was changed."""
        content = read_json(path, MADE_BY)
        try:
            if digest_of(content, "digest") != content["digest"]:
                raise InputError(f"{path}: changed after it was fitted (its content has another digest); fit again")
            return cls(
                law=str(content["law"]),
                parameters={name: float(value) for name, value in content["parameters"].items()},
                status=str(content["status"]),
                replicates={name: np.array(values, dtype=float) for name, values in content["replicates"].items()},
                noise=float(content["noise"]),
                last_update=float(content["last_update"]),
                peaks=(float(content["peaks"][0]), float(content["peaks"][1])),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: no fit of curves ({error!s:.80}); name a file written by {MADE_BY}") from None
