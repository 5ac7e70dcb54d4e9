"""A fit of curves as JSON: law, parameters, status, and how far it is from the test curves."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.curves.combined_law import CombinedLaw
from analysis.curves.fitting import CurveFit
from analysis.curves.scores import CurveScore, InnerScore


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
