"""The law that inner validation on the training curves chooses: a combination, in which laws weigh by how well they
predict each curve from the others. Test curves are never looked at here. Baselines are scored and have no weight: what
a law is measured against must not be in it.
"""

from collections.abc import Sequence

import numpy as np

from analysis.curves.combined_law import LEAST_WEIGHT, CombinedLaw, combine_fits, combined
from analysis.curves.curve import Curve
from analysis.curves.fitting import CurveFit, fit_curves
from analysis.curves.law import CurveLaw
from analysis.curves.laws import NAMES, curve_law, is_baseline
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
    """The combination of the catalogue (the law itself where one law is all of it), and the scores that weigh it.
    Raises InputError where no law can be fitted.
    """
    scores = ranked([curve_law(name) for name in candidates(curves)], curves, objective)
    able = [each for each in scores if not is_baseline(each.law)]
    if not np.isfinite(able[0].mean_abs_relative_error):
        raise InputError(f"no law can be validated on these curves: {able[0].law}: {able[0].reason}; add curves")
    least = min(each.mean_squared_error for each in able)
    if least == 0.0:  # exact curves of one law
        return curve_law(able[0].law), scores
    weights = np.array([least / each.mean_squared_error for each in able])
    kept = weights / weights.sum() >= LEAST_WEIGHT
    laws = [curve_law(each.law) for each, keep in zip(able, kept, strict=True) if keep]
    return (combined(laws, weights[kept]) if len(laws) > 1 else laws[0]), scores


def fit_named(
    name: str, curves: Sequence[Curve], objective: str | None = None, known: dict[str, CurveFit] | None = None
) -> tuple[CurveFit, list[InnerScore]]:
    """The fit of the law of that name, `auto` the one that is chosen here. `known` are fits of single laws to the same
    curves, by name, which are taken and added to. Raises InputError.
    """
    law, scores = choose(curves, objective) if name == AUTO else (curve_law(name), [])
    known = {} if known is None else known
    for each in law.members if isinstance(law, CombinedLaw) else (law,):
        if each.name not in known:
            known[each.name] = fit_curves(each, curves, objective)
    if isinstance(law, CombinedLaw):
        return combine_fits(law, [known[each.name] for each in law.members]), scores
    return known[law.name], scores


def validated(
    fit: CurveFit, curves: Sequence[Curve], objective: str | None, scores: Sequence[InnerScore]
) -> list[InnerScore]:
    """The inner scores of the law of a fit, or of its members: those that are there, and made where they are not."""
    known = {each.law: each for each in scores}
    names = [each.law.name for each in fit.members or (fit,)]
    return [known[name] if name in known else inner_score(curve_law(name), curves, objective) for name in names]
