"""The law that inner validation on the training curves chooses. Test curves are never looked at here."""

from collections.abc import Sequence

import numpy as np

from analysis.curves.curve import Curve
from analysis.curves.law import CurveLaw
from analysis.curves.laws import NAMES, curve_law
from analysis.curves.scores import InnerScore, inner_score
from train.errors import InputError

AUTO = "auto"


def candidates(curves: Sequence[Curve]) -> list[str]:
    """The catalogue: of curves of several sizes, the laws over sizes."""
    if len({curve.size for curve in curves if curve.size is not None}) < 2:
        return list(NAMES)
    return [name if curve_law(name).specialise is not None else f"{name}:N" for name in NAMES]


def ranked(laws: Sequence[CurveLaw], curves: Sequence[Curve], objective: str | None = None) -> list[InnerScore]:
    """The laws by the mean error of inner validation, best first."""
    scores = [inner_score(law, curves, objective) for law in laws]
    return sorted(scores, key=lambda each: each.mean_abs_relative_error)


def choose(curves: Sequence[Curve], objective: str | None = None) -> tuple[CurveLaw, list[InnerScore]]:
    """The best law of the catalogue, and all of them. Raises InputError where none can be fitted."""
    scores = ranked([curve_law(name) for name in candidates(curves)], curves, objective)
    if not np.isfinite(scores[0].mean_abs_relative_error):
        raise InputError(f"no law can be validated on these curves: {scores[0].law}: {scores[0].reason}; add curves")
    return curve_law(scores[0].law), scores
