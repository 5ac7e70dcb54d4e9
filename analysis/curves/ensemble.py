"""Several laws as one: the mean of what they say, each with a weight that inner validation gives it.

Weights are inverse to the mean squared error of inner validation (Bates & Granger 1969, The Combination of Forecasts):
laws that err differently correct each other, and with a handful of training curves it is often chance which one comes
out first. A combination is written `0.6*annealing+0.4*multi-power`; its parameters are `annealing.alpha` and so on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from windtunnel.analysis.curves.cross_validation import InnerScore, inner_score
from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.fit import CurveFit, CurveStatus, fit_curves
from windtunnel.analysis.curves.laws import NAMES, curve_law, is_baseline, law_of_fit
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.train.errors import InputError

LEAST_WEIGHT = 0.01  # a law of less is left out
DIGITS = 3
# From the best to the worst: a combination is as good as its worst member.
STATUSES: tuple[CurveStatus, ...] = ("converged", "edge", "not_identified", "not_converged", "too_few_points")


@dataclass(frozen=True)
class CombinedLaw(CurveLaw):
    """The members and their weights, which sum to one. It is fitted member by member (`combine_fits`)."""

    members: tuple[CurveLaw, ...] = ()
    weights: tuple[float, ...] = ()

    def predict(self, values: Values, curve: Curve) -> Any:
        own = [{name: values[f"{law.name}.{name}"] for name in law.names} for law in self.members]
        parts = [law.predict(each, curve) for law, each in zip(self.members, own, strict=True)]
        return np.sum([weight * part for weight, part in zip(self.weights, parts, strict=True)], axis=0)


def combined(members: Sequence[CurveLaw], weights: Sequence[float]) -> CombinedLaw:
    """The combination; weights are given in any unit."""
    share = np.round(np.asarray(weights) / np.sum(weights), DIGITS)
    share[int(np.argmax(share))] += 1 - share.sum()
    name = "+".join(f"{weight:.{DIGITS}f}*{law.name}" for law, weight in zip(members, share, strict=True))

    def unused(*_: Any) -> Any:
        raise NotImplementedError("a combination is fitted member by member")

    return CombinedLaw(
        name=name,
        title="Combination of laws",
        formula="; ".join(f"{law.name}: {law.formula}" for law in members),
        citation="weights: Bates & Granger 1969, The Combination of Forecasts; of its members, their own",
        runs="; ".join(law.runs for law in members),
        parameters=tuple(
            replace(parameter, name=f"{law.name}.{parameter.name}") for law in members for parameter in law.parameters
        ),
        linear=(),
        terms=unused,
        start_grid=unused,
        members=tuple(members),
        weights=tuple(float(each) for each in share),
    )


def combine_fits(law: CombinedLaw, fits: Sequence[CurveFit]) -> CurveFit:
    """The fits of its members, in their order, as one. A member that is refused refuses the whole."""
    worst = max(fits, key=lambda each: STATUSES.index(each.status))
    told = "; ".join(f"{each.law.name}: {each.reason}" for each in fits if each.reason)
    refused = any(not each.parameters for each in fits)
    parameters = {f"{each.law.name}.{name}": value for each in fits for name, value in each.parameters.items()}
    return CurveFit(
        law=replace(combined([each.law for each in fits], law.weights), name=law.name),
        objective=fits[0].objective,
        parameters={} if refused else parameters,
        value=float(np.dot(law.weights, [each.value for each in fits])),
        status=worst.status,
        reason=told,
        not_identified=tuple(f"{each.law.name}.{name}" for each in fits for name in each.not_identified),
        num_points=fits[0].num_points,
        starts=min(each.starts for each in fits),
        starts_agreeing=min(each.starts_agreeing for each in fits),
        newton_decrement=max(each.newton_decrement for each in fits),
        seconds=sum(each.seconds for each in fits),
        members=tuple(fits),
    )


def combined_of_fit(name: str, parameters: Collection[str]) -> CurveLaw:
    """The law that was fitted under that name, a combination or a single one. Raises InputError."""
    if "*" not in name:
        return law_of_fit(name, parameters)
    members, weights = [], []
    for part in name.split("+"):
        text, _, member = part.partition("*")
        try:
            weights.append(float(text))
        except ValueError:
            raise InputError(f"curve law {name!r}: write a combination as 0.6*annealing+0.4*multi-power") from None
        own = [each.removeprefix(f"{member}.") for each in parameters if each.startswith(f"{member}.")]
        members.append(law_of_fit(member, own))
    return replace(combined(members, weights), name=name)


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
