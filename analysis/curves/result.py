"""A fit of curves as a file, with the bootstrap replicates, so that a prediction from it alone has its interval."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from windtunnel.analysis.curves.bootstrap import end_noise, replicates
from windtunnel.analysis.curves.cross_validation import CurveScore, InnerScore
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.ensemble import CombinedLaw, combined_of_fit
from windtunnel.analysis.curves.fit import CurveFit
from windtunnel.analysis.curves.from_runs import Losses
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.signed_json import digest_of, read_json
from windtunnel.train.errors import InputError
from windtunnel.train.records import write_atomically

MADE_BY = "windtunnel curves fit --output FIT.json"


def fitted_curves(
    fit: CurveFit, curves: Sequence[Curve], num_replicates: int, seed: int, validated: Sequence[InnerScore] = ()
) -> "FittedCurves":
    """What predictions need of a fit that was not refused to these curves; `validated` are its inner scores, of every
    member where it is a combination, which say how wrong it is of a schedule that it was not fitted to.
    """
    drawn, noise = replicates(fit, num_replicates, seed), end_noise(fit, curves, validated)
    return replace(without_replicates(fit, curves), replicates=drawn, noise=noise)


def without_replicates(fit: CurveFit, curves: Sequence[Curve]) -> "FittedCurves":
    """What says of which runs a fit to these curves speaks, and not how surely."""
    return FittedCurves(
        law=fit.law.name,
        parameters=fit.parameters,
        status=fit.status,
        replicates={},
        noise=math.nan,
        last_update=max(float(curve.time_P[-1]) for curve in curves),
        peaks=(min(curve.rates.peak for curve in curves), max(curve.rates.peak for curve in curves)),
        reason=fit.reason,
        not_identified=fit.not_identified,
        sizes=tuple(sorted({curve.size for curve in curves if curve.size is not None})),
        batches=tuple(sorted({curve.batch for curve in curves if curve.batch is not None})),
        num_curves=len(curves),
        losses=", ".join(sorted({curve.losses for curve in curves if curve.losses is not None})),
    )


@dataclass(frozen=True)
class FittedCurves:
    """What a prediction needs of a fit: the law by name and what it was made for, parameters, replicates (R of them),
    and how far whole curves lay from it (s.d. of log loss near their ends); and what a reader needs: why its status is
    what it is, and the parameters that the curves do not tell. Of the fitted curves: their sizes (parameters), batches
    (tokens an update) and kind of losses, as far as they are known, and their number (0: not known).
    """

    law: str
    parameters: dict[str, float]
    status: str
    replicates: dict[str, Array]
    noise: float
    last_update: float
    peaks: tuple[float, float]  # lowest and highest peak rate that was fitted
    reason: str = ""
    not_identified: tuple[str, ...] = ()
    sizes: tuple[float, ...] = ()
    batches: tuple[float, ...] = ()
    losses: str = ""
    num_curves: int = 0

    @property
    def kind(self) -> Losses:
        """Of the losses that it says; of training where it is not known."""
        return "validation" if self.losses == "validation" else "training"

    @cached_property
    def fitted_law(self) -> CurveLaw:
        return combined_of_fit(self.law, self.parameters)

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
            **{name: list(getattr(self, name)) for name in ("not_identified", "sizes", "batches")},
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
                reason=str(content.get("reason", "")),  # a file of an earlier version has none of these
                not_identified=tuple(map(str, content.get("not_identified", ()))),
                sizes=tuple(map(float, content.get("sizes", ()))),
                batches=tuple(map(float, content.get("batches", ()))),
                losses=str(content.get("losses", "")),
                num_curves=int(content.get("num_curves", 0)),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: no fit of curves ({error!s:.80}); name a file written by {MADE_BY}") from None


def fit_document(fit: CurveFit, tests: Sequence[CurveScore], inner: Sequence[InnerScore]) -> dict[str, Any]:
    """The fit for programs. Errors are shares of the loss; `mean_abs_relative_error` is the mean over the test curves,
    `worst` the largest at any point of any, `mean_worst` the mean of the curves' own.
    """
    weights = fit.law.weights if isinstance(fit.law, CombinedLaw) else ()
    return {
        "law": fit.law.name,
        "weights": dict(zip([each.law.name for each in fit.members], weights, strict=True)),
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
