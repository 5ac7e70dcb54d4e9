"""The certificate of an optimum: agreement of independent starts, gradient, bounds, and the status that follows.

Legend: R starts, K parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from windtunnel.analysis.laws.law import Array
from windtunnel.analysis.signed_json import NumberOrNull
from windtunnel.analysis.solver.coordinates import AT_BOUND

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
# The gradient is small when a Newton step would lower the objective by less than this share of it.
MAX_DECREMENT = 1e-6


@dataclass(frozen=True)
class Certificate:
    """starts: number of independent starts. starts_agreeing: of those that reached the best value. newton_decrement:
    the predicted decrease of a further Newton step, relative to the value. at_bound: parameters that ended at a bound.
    """

    starts: int
    starts_agreeing: int
    newton_decrement: NumberOrNull
    at_bound: tuple[str, ...]


def certify(
    names: Sequence[str],
    internal_K: Array,
    bounds: tuple[Array, Array],
    value_R: Array,
    best_value: float,
    decrement: float,
    *,
    agreement: float,
    rounding: float,
) -> Certificate:
    """The certificate of an optimum. Starts agree whose value is within the share `agreement` of the best, `rounding`
    allowed.
    """
    lower_K, upper_K = bounds
    at_bound_K = (internal_K <= lower_K + AT_BOUND) | (internal_K >= upper_K - AT_BOUND)
    return Certificate(
        starts=len(value_R),
        starts_agreeing=count_agreeing(value_R, best_value, agreement, rounding),
        newton_decrement=decrement / max(best_value, rounding),
        at_bound=tuple(name for name, at_bound in zip(names, at_bound_K, strict=True) if at_bound),
    )


def count_agreeing(value_R: Array, best_value: float, agreement: float, rounding: float) -> int:
    return int(np.sum(value_R <= best_value * (1 + agreement) + rounding))


def verdict(certificate: Certificate, at_bound: Sequence[str], not_identified: str) -> tuple[Status, str]:
    """Status and reason of a fit. at_bound: the parameters at a bound that give it the status `edge`. not_identified:
    the reason why parameters are not identified, "" where all are.
    """
    if certificate.starts_agreeing < 2 and certificate.starts > 1:
        return "not_converged", f"only one of {certificate.starts} independent starts reached this value"
    if certificate.newton_decrement > MAX_DECREMENT:
        return "not_converged", f"the gradient is not small (relative decrement {certificate.newton_decrement:.1e})"
    if at_bound:
        return "edge", f"{', '.join(at_bound)} ended at a bound"
    if not_identified:
        return "not_identified", not_identified
    return "converged", ""
