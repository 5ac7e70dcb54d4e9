"""Several laws as one: the mean of what they say, each with a weight that inner validation gives it.

Weights are inverse to the mean squared error of inner validation (Bates & Granger 1969, The Combination of Forecasts):
laws that err differently correct each other, and with a handful of training curves it is often chance which one comes
out first. A combination is written `0.6*annealing+0.4*multi-power`; its parameters are `annealing.alpha` and so on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.curves.curve import Curve
from analysis.curves.fitting import CurveFit, CurveStatus
from analysis.curves.law import CurveLaw, Values
from analysis.curves.laws import law_of_fit
from train.errors import InputError

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
