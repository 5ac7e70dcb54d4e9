"""The law that inner validation on the training curves chooses. Test curves are never looked at here."""

from collections.abc import Sequence

import numpy as np

from analysis.curves.curve import Curve
from analysis.curves.law import CurveLaw
from analysis.curves.laws import NAMES, curve_law
from analysis.curves.scores import InnerScore, inner_score
from train.errors import InputError

AUTO = "auto"


def choose(curves: Sequence[Curve], objective: str | None = None) -> tuple[CurveLaw, list[InnerScore]]:
    """The law of least mean error in inner validation, and all of them, best first. Raises InputError where no law can
    be fitted.
    """
    scores = sorted(
        (inner_score(curve_law(name), curves, objective) for name in NAMES),
        key=lambda each: each.mean_abs_relative_error,
    )
    if not np.isfinite(scores[0].mean_abs_relative_error):
        raise InputError(f"no law can be validated on these curves: {scores[0].law}: {scores[0].reason}; add curves")
    return curve_law(scores[0].law), scores
