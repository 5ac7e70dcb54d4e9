"""Chinchilla's three approaches to the optimal size and tokens of a budget, compared.

(1) Crossings of the sizes' curves of loss against compute, (2) the minimum of every isoFLOP curve, (3) the law
E + A/N^alpha + B/D^beta fitted to every run (Hoffmann et al. 2022, arXiv 2203.15556). They use the same runs, so their
intervals are not independent: two that overlap may still differ significantly. Each difference is therefore tested by
refitting both approaches to the same draws of noise. Errors that the runs share beyond their noise (a schedule too
short, a rate not tuned) move all three and show in no difference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from windtunnel.analysis.compute_optimal.approach import (
    Approach,
    ApproachName,
    NoisyEstimate,
    envelope_approach,
    isoflop_approach,
    parametric_approach,
)
from windtunnel.analysis.compute_optimal.weighted_line import student_quantile
from windtunnel.analysis.fitting.result import INTERVAL_LEVEL
from windtunnel.analysis.prediction.target import FLOPS_PER_PARAMETER_TOKEN, check_extrapolation
from windtunnel.analysis.signed_json import Interval, finite_or_none
from windtunnel.analysis.tables.table import MAX_VALUE, Table
from windtunnel.train.errors import InputError

# The approaches are approximations: a cubic about a minimum is off by up to 2.5 % in N, the midpoint of two sizes by
# 0.5 % and more. Differences below these are no disagreement, however small the noise.
LOG_SIZE_TOLERANCE = 0.05
EXPONENT_TOLERANCE = 0.005
DEFAULT_FACTOR = 10.0  # default budgets: the table's largest, and this many times it
MAX_CONVENTION_ERROR = 0.01  # relative difference of C and 6 N D without a note
Agreement = Literal["agree", "disagree", "too_few_approaches"]
Quantity = Literal["a", "b", "log N"]


@dataclass(frozen=True)
class Difference:
    """One approach minus another. quantity: the exponent "a" of N or "b" of D, or "log N" at a budget of C FLOPs.

    The 95 % interval is that of the noise, simultaneous for all pairs of approaches.
    """

    one: ApproachName
    other: ApproachName
    quantity: Quantity
    C: float | None
    value: float
    interval: Interval
    disagree: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "approaches": [self.one, self.other],
            "quantity": self.quantity,
            "C": self.C,
            "value": self.value,
            "interval": [finite_or_none(end) for end in self.interval],
            "disagree": self.disagree,
        }


@dataclass(frozen=True)
class Approaches:
    """The three approaches, their differences, and the conclusion as a word and as a sentence."""

    approaches: tuple[Approach, ...]
    budgets: tuple[float, ...]
    differences: tuple[Difference, ...]
    verdict: Agreement
    sentence: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "interval_level": INTERVAL_LEVEL,
            "budgets": list(self.budgets),
            "approaches": [approach.to_dict() for approach in self.approaches],
            "differences": [difference.to_dict() for difference in self.differences],
            "notes": list(self.notes),
        }


def compare_approaches(
    table: Table, flops: Sequence[float] = (), *, allow_extrapolation: bool = False, seed: int = 0
) -> Approaches:
    """All three approaches on a table with columns C, N, D and loss.

    flops: budgets at which the optima are compared; default the largest of the table and ten times it. A refused
    approach is included with its reason. Raises InputError where a column is missing or invalid, or a budget is not a
    positive number or too far beyond the data.
    """
    columns = table.require("N", "D", "loss", "C")  # C last: tables that have N and D usually have it
    notes = []
    for budget in flops:
        if not 0 < budget < MAX_VALUE:
            raise InputError(
                f"a budget of {budget:g} FLOPs; give a number above 0 and below {MAX_VALUE:g}, such as 1e20"
            )
        notes += check_extrapolation({"C": columns["C"]}, {"C": budget}, allow_extrapolation)
    largest = float(columns["C"].max())
    budgets = tuple(dict.fromkeys(flops)) or (largest, DEFAULT_FACTOR * largest)
    envelope = envelope_approach(table, budgets, seed)
    isoflop = isoflop_approach(table, budgets, seed)
    noise = next((approach.noise for approach in (isoflop, envelope) if not approach.refused and approach.noise), 0.0)
    approaches = (envelope, isoflop, parametric_approach(table, budgets, noise, seed))
    differences = _differences(approaches)
    verdict, sentence = _verdict(approaches, differences, budgets)
    notes = [*dict.fromkeys(notes), *_table_notes(table)]
    return Approaches(approaches, budgets, differences, verdict, sentence, tuple(notes))


def _differences(approaches: Sequence[Approach]) -> tuple[Difference, ...]:
    pairs = list(combinations([approach for approach in approaches if not approach.refused], 2))
    differences = []
    for one, other in pairs:
        compared: list[tuple[Quantity, float | None, NoisyEstimate | None, NoisyEstimate | None, float]] = [
            ("a", None, one.exponent_N, other.exponent_N, EXPONENT_TOLERANCE),
            ("b", None, one.exponent_D, other.exponent_D, EXPONENT_TOLERANCE),
        ]
        compared += [
            ("log N", first.C, first.log_N, second.log_N, LOG_SIZE_TOLERANCE)
            for first, second in zip(one.optima, other.optima, strict=True)
        ]
        for quantity, C, estimate, other_estimate, tolerance in compared:
            if estimate is not None and other_estimate is not None:
                value, interval = _difference(estimate, other_estimate, len(pairs))
                disagree = not interval[0] <= 0 <= interval[1] and abs(value) > tolerance
                differences.append(Difference(one.name, other.name, quantity, C, value, interval, disagree))
    return tuple(differences)


def _difference(one: NoisyEstimate, other: NoisyEstimate, num_pairs: int) -> tuple[float, Interval]:
    """The difference of two estimates and its interval, at one level for all pairs (Bonferroni).

    The draws of noise are common to both; the scatter about a line is independent.
    """
    common = min(len(one.noise_R), len(other.noise_R))
    variance = float(np.var(one.noise_R[:common] - other.noise_R[:common])) + one.scatter + other.scatter
    degrees = min(one.degrees, other.degrees)
    half = student_quantile(degrees, 1 - (1 - INTERVAL_LEVEL) / num_pairs) * math.sqrt(variance)
    value = one.value - other.value
    return value, (value - half, value + half)


def _verdict(
    approaches: Sequence[Approach], differences: Sequence[Difference], budgets: Sequence[float]
) -> tuple[Agreement, str]:
    usable = [approach for approach in approaches if not approach.refused]
    if len(usable) < 2:
        count = f"only {usable[0].name}" if usable else "none"
        return "too_few_approaches", f"no comparison: {count} of the three has an answer"
    a = [approach.exponent_N.value for approach in usable if approach.exponent_N is not None]
    parts = [f"a between {min(a):.3f} and {max(a):.3f}"]
    for place, C in enumerate(budgets):
        sizes = [math.exp(approach.optima[place].log_N.value) for approach in usable]
        parts.append(f"N at C = {C:.3g} between {min(sizes):.3g} and {max(sizes):.3g} ({max(sizes) / min(sizes):.2f}x)")
    ranges = "; ".join(parts)
    pairs = dict.fromkeys(f"{pair.one} and {pair.other}" for pair in differences if pair.disagree)
    if pairs:
        return "disagree", f"the approaches disagree beyond noise ({', '.join(pairs)}): {ranges}"
    number = "three" if len(usable) == 3 else "two"
    half_widths = [(pair.interval[1] - pair.interval[0]) / 2 for pair in differences if budgets[0] == pair.C]
    return "agree", (
        f"the {number} approaches agree within noise, which would hide a difference of {_factor(max(half_widths))} in "
        f"N at C = {budgets[0]:.3g}: {ranges}"
    )


def _factor(log_ratio: float) -> str:
    return f"{math.exp(log_ratio):.3g}x" if log_ratio < math.log(1e6) else "any size"


def _table_notes(table: Table) -> list[str]:
    notes = []
    columns = table.columns
    if "progress" in columns and bool((columns["progress"] < 1).any()):
        notes.append(
            "mid-run evaluations were used: before its rate has decayed a run has a higher loss than a run that ends "
            "there, which biases every approach; use final evaluations for exponents"
        )
    ratio = columns["C"] / (FLOPS_PER_PARAMETER_TOKEN * columns["N"] * columns["D"])
    if bool((np.abs(ratio - 1) > MAX_CONVENTION_ERROR).any()):
        notes.append(f"C is the table's own column, {ratio.min():.3g} to {ratio.max():.3g} times 6 N D")
    return notes
