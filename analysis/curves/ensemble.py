"""Combinations of curve laws: the weighted mean of their predictions, with weights from cross-validation.

Weights are inverse to the mean squared error of cross-validation on the training curves (Bates & Granger 1969, The
Combination of Forecasts): laws with different errors correct each other, and with a handful of training curves it is
often chance which law ranks first. Test curves are never used. Baselines are scored but have no weight, since they are
what a law is compared with.

A combination is written `0.6*annealing+0.4*multi-power`; its parameters are `annealing.alpha` and so on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from windtunnel.analysis.curves.cross_validation import CrossValidationScore, cross_validate
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.fit import CurveFit, fit_curve_law
from windtunnel.analysis.curves.laws import NAMES, curve_law, is_baseline, reconstruct_single_law
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.fitting.certificate import Certificate, Status
from windtunnel.train.errors import InputError

AUTO = "auto"  # the name of the combination that cross-validation chooses
MIN_WEIGHT = 0.01  # a law with less is left out
WEIGHT_DIGITS = 3
# From the best to the worst: a combination is as good as its worst member.
STATUSES: tuple[Status, ...] = ("converged", "edge", "not_identified", "not_converged", "too_few_points")


@dataclass(frozen=True)
class CombinedLaw(CurveLaw):
    """A weighted mean of laws; the weights sum to one. It is fitted member by member (`combine_fits`)."""

    members: tuple[CurveLaw, ...] = ()
    weights: tuple[float, ...] = ()

    def predict(self, values: Values, curve: LossCurve) -> Any:
        own = [{name: values[f"{law.name}.{name}"] for name in law.names} for law in self.members]
        parts = [law.predict(member_values, curve) for law, member_values in zip(self.members, own, strict=True)]
        return np.sum([weight * part for weight, part in zip(self.weights, parts, strict=True)], axis=0)


def combine_laws(members: Sequence[CurveLaw], weights: Sequence[float]) -> CombinedLaw:
    """The combination with these weights, normalized and rounded to `WEIGHT_DIGITS`."""
    share = np.round(np.asarray(weights) / np.sum(weights), WEIGHT_DIGITS)
    share[int(np.argmax(share))] += 1 - share.sum()
    name = "+".join(f"{weight:.{WEIGHT_DIGITS}f}*{law.name}" for law, weight in zip(members, share, strict=True))

    def not_defined(*_: Any) -> Any:
        raise NotImplementedError("a combination is fitted member by member")

    return CombinedLaw(
        name=name,
        title="Combination of laws",
        formula="; ".join(f"{law.name}: {law.formula}" for law in members),
        citation="weights: Bates & Granger 1969, The Combination of Forecasts; members: see each law",
        required_curves="; ".join(law.required_curves for law in members),
        parameters=tuple(
            replace(parameter, name=f"{law.name}.{parameter.name}") for law in members for parameter in law.parameters
        ),
        linear=(),
        terms=not_defined,
        start_grid=not_defined,
        members=tuple(members),
        weights=tuple(share.tolist()),
    )


def combine_fits(law: CombinedLaw, fits: Sequence[CurveFit]) -> CurveFit:
    """The fits of the members of a combination, in their order, as one fit. If one was refused, so is the whole."""
    refused = any(not fit.parameters for fit in fits)
    parameters = {f"{fit.law.name}.{name}": value for fit in fits for name, value in fit.parameters.items()}
    return CurveFit(
        law=replace(combine_laws([fit.law for fit in fits], law.weights), name=law.name),
        objective=fits[0].objective,
        parameters={} if refused else parameters,
        value=float(np.dot(law.weights, [fit.value for fit in fits])),
        status=max((fit.status for fit in fits), key=STATUSES.index),
        reason="; ".join(f"{fit.law.name}: {fit.reason}" for fit in fits if fit.reason),
        not_identified=tuple(f"{fit.law.name}.{name}" for fit in fits for name in fit.not_identified),
        num_points=fits[0].num_points,
        certificate=Certificate(
            starts=min(fit.certificate.starts for fit in fits),
            starts_agreeing=min(fit.certificate.starts_agreeing for fit in fits),
            newton_decrement=max(fit.certificate.newton_decrement for fit in fits),
            at_bound=(),
        ),
        seconds=sum(fit.seconds for fit in fits),
        members=tuple(fits),
    )


def reconstruct_law(name: str, parameters: Collection[str]) -> CurveLaw:
    """The law, a combination or a single one, that was fitted under this name and has these parameters. Raises
    InputError.
    """
    if "*" not in name:
        return reconstruct_single_law(name, parameters)
    members, weights = [], []
    for part in name.split("+"):
        text, _, member = part.partition("*")
        try:
            weights.append(float(text))
        except ValueError:
            raise InputError(f"curve law {name!r}: write a combination as 0.6*annealing+0.4*multi-power") from None
        prefix = f"{member}."
        own = [parameter.removeprefix(prefix) for parameter in parameters if parameter.startswith(prefix)]
        members.append(reconstruct_single_law(member, own))
    return replace(combine_laws(members, weights), name=name)


def candidates(curves: Sequence[LossCurve]) -> list[str]:
    """The names of the catalog; for curves of several sizes, of the laws over sizes."""
    if len({curve.size for curve in curves if curve.size is not None}) < 2:
        return list(NAMES)
    return [name if curve_law(name).specialize is not None else f"{name}:N" for name in NAMES]


def rank_laws(
    laws: Sequence[CurveLaw], curves: Sequence[LossCurve], objective: str | None = None
) -> list[CrossValidationScore]:
    """The cross-validation scores of the laws, the smallest mean error first."""
    scores = [cross_validate(law, curves, objective) for law in laws]
    return sorted(scores, key=lambda score: score.mean_abs_relative_error)


def choose_law(
    curves: Sequence[LossCurve], objective: str | None = None
) -> tuple[CurveLaw, list[CrossValidationScore]]:
    """The combination of the catalog, or a single law where all others have too little weight, and the scores that
    its weights come from. Raises InputError where no law can be fitted.
    """
    scores = rank_laws([curve_law(name) for name in candidates(curves)], curves, objective)
    eligible = [score for score in scores if not is_baseline(score.law)]
    best = eligible[0]
    if not np.isfinite(best.mean_abs_relative_error):
        raise InputError(f"no law can be cross-validated on these curves: {best.law}: {best.reason}; add curves")
    smallest = min(score.mean_squared_error for score in eligible)
    if smallest == 0.0:  # noiseless curves of one law
        return curve_law(best.law), scores
    weights = np.array([smallest / score.mean_squared_error for score in eligible])
    kept = weights / weights.sum() >= MIN_WEIGHT
    laws = [curve_law(score.law) for score, keep in zip(eligible, kept, strict=True) if keep]
    return (combine_laws(laws, weights[kept]) if len(laws) > 1 else laws[0]), scores


def fit_named_law(
    name: str, curves: Sequence[LossCurve], objective: str | None = None, fits: dict[str, CurveFit] | None = None
) -> tuple[CurveFit, list[CrossValidationScore]]:
    """The fit of the law of that name, and for `auto` the scores that chose it. `fits` are fits of single laws to the
    same curves, by name, which are reused and added to. Raises InputError.
    """
    law, scores = choose_law(curves, objective) if name == AUTO else (curve_law(name), [])
    fits = {} if fits is None else fits
    for member in law.members if isinstance(law, CombinedLaw) else (law,):
        if member.name not in fits:
            fits[member.name] = fit_curve_law(member, curves, objective)
    if isinstance(law, CombinedLaw):
        return combine_fits(law, [fits[member.name] for member in law.members]), scores
    return fits[law.name], scores


def member_scores(
    fit: CurveFit, curves: Sequence[LossCurve], objective: str | None, scores: Sequence[CrossValidationScore]
) -> list[CrossValidationScore]:
    """The cross-validation scores of the law of a fit, or of its members; computed where they are not in `scores`."""
    by_law = {score.law: score for score in scores}
    names = [member.law.name for member in fit.members or (fit,)]
    return [by_law[name] if name in by_law else cross_validate(curve_law(name), curves, objective) for name in names]
