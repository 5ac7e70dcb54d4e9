"""Chinchilla's three approaches to the best size and tokens of a budget, side by side, and whether they disagree.

(1) where the sizes' curves of loss against compute cross, (2) the minimum of each curve of equal compute, (3) the law
E + A/N^alpha + B/D^beta fitted to every run (Hoffmann et al. 2022, arXiv 2203.15556). They see the same runs, so their
intervals are not independent: two that overlap may differ by more than noise explains. Each difference is therefore
judged by refitting both to the same draws of noise. What the runs have in common beyond their noise (a schedule too
short, a rate not tuned) moves all three and shows in no difference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from windtunnel.analysis.compute_optimal.approach import (
    Approach,
    Estimate,
    Interval,
    Name,
    by_envelope,
    by_isoflop,
    by_law,
)
from windtunnel.analysis.compute_optimal.weighted_line import LEVEL, quantile
from windtunnel.analysis.prediction.target import refuse_far
from windtunnel.analysis.tables.table import LARGEST, Table
from windtunnel.train.errors import InputError

# The approaches are themselves approximations: a cubic about a minimum is off by up to 2.5 % in N, the midpoint of two
# sizes by .5 % and more. Differences below these are not called disagreement, however small the noise.
EXACT_LOG = 0.05
EXACT_EXPONENT = 0.005
BEYOND = 10.0  # budgets asked for by default: the table's largest, and this many times it
Verdict = Literal["agree", "disagree", "too_few_approaches"]


@dataclass(frozen=True)
class Difference:
    """One minus other. quantity: "a" (of N), "b" (of D), or "log N" at a budget of C FLOPs. The interval holds, with
    95 % over all pairs of one quantity, what the runs' common noise makes of it.
    """

    one: Name
    other: Name
    quantity: Literal["a", "b", "log N"]
    C: float | None
    value: float
    interval: Interval
    disagree: bool


@dataclass(frozen=True)
class Approaches:
    approaches: tuple[Approach, ...]
    budgets: tuple[float, ...]
    differences: tuple[Difference, ...]
    verdict: Verdict
    sentence: str
    notes: tuple[str, ...]


def compare_approaches(table: Table, flops: Sequence[float] = (), *, far: bool = False, seed: int = 0) -> Approaches:
    """All three on a table with columns C, N, D and loss, at the budgets `flops` (default: the largest of the table,
    and ten times it). Refused approaches are there with their reason. Raises InputError where a column is missing or
    wrong, or a budget is no number above zero, or so far beyond the data that no prediction is made there either.
    """
    columns = table.require("N", "D", "loss", "C")  # C last: it is there where N and D are
    reach = []
    for each in flops:
        if not 0 < each < LARGEST:
            raise InputError(f"a budget of {each:g} FLOPs; give a number above 0 and below {LARGEST:g}, such as 1e20")
        reach += refuse_far({"C": columns["C"]}, {"C": each}, far)
    largest = float(columns["C"].max())
    budgets = tuple(dict.fromkeys(flops)) or (largest, BEYOND * largest)
    envelope, _ = by_envelope(table, budgets, seed)
    isoflop, _ = by_isoflop(table, budgets, seed)
    noise = next((each.noise for each in (isoflop, envelope) if not each.refused and each.noise > 0), 0.0)
    parametric, _ = by_law(table, budgets, noise, seed)
    approaches = (envelope, isoflop, parametric)
    differences = _differences(approaches)
    verdict, sentence = _verdict(approaches, differences, budgets)
    return Approaches(approaches, budgets, differences, verdict, sentence, (*dict.fromkeys(reach), *_notes(table)))


def _differences(approaches: Sequence[Approach]) -> tuple[Difference, ...]:
    pairs = list(combinations([each for each in approaches if not each.refused], 2))
    found = []
    for one, other in pairs:
        sought: list[tuple[Literal["a", "b", "log N"], float | None, Estimate | None, Estimate | None, float]] = [
            ("a", None, one.exponent_N, other.exponent_N, EXACT_EXPONENT),
            ("b", None, one.exponent_D, other.exponent_D, EXACT_EXPONENT),
        ]
        sought += [
            ("log N", mine.C, mine.log_N, its.log_N, EXACT_LOG)
            for mine, its in zip(one.optima, other.optima, strict=True)
        ]
        for quantity, C, mine, its, exact in sought:
            if mine is not None and its is not None:
                value, interval = _difference(mine, its, len(pairs))
                beyond = not interval[0] <= 0 <= interval[1] and abs(value) > exact
                found.append(Difference(one.name, other.name, quantity, C, value, interval, beyond))
    return tuple(found)


def _difference(one: Estimate, other: Estimate, num_pairs: int) -> tuple[float, Interval]:
    """Noise is the same draws in both, scatter about a line is each one's own. A level for all pairs (Bonferroni)."""
    shared = min(len(one.noise_R), len(other.noise_R))
    variance = float(np.var(one.noise_R[:shared] - other.noise_R[:shared])) + one.scatter + other.scatter
    degrees = min(one.degrees, other.degrees)
    half = quantile(degrees, 1 - (1 - LEVEL) / num_pairs) * math.sqrt(variance)
    value = one.value - other.value
    return value, (value - half, value + half)


def _verdict(
    approaches: Sequence[Approach], differences: Sequence[Difference], budgets: Sequence[float]
) -> tuple[Verdict, str]:
    usable = [each for each in approaches if not each.refused]
    if len(usable) < 2:
        named = f"only {usable[0].name}" if usable else "none"
        return "too_few_approaches", f"no comparison: {named} of the three has an answer"
    a = [each.exponent_N.value for each in usable if each.exponent_N is not None]
    parts = [f"a between {min(a):.3f} and {max(a):.3f}"]
    for place, C in enumerate(budgets):
        sizes = [math.exp(each.optima[place].log_N.value) for each in usable]
        parts.append(f"N at C = {C:.3g} between {min(sizes):.3g} and {max(sizes):.3g} ({max(sizes) / min(sizes):.2f}x)")
    ranges = "; ".join(parts)
    apart = list(dict.fromkeys(f"{each.one} and {each.other}" for each in differences if each.disagree))
    if apart:
        return "disagree", f"the approaches disagree beyond noise ({', '.join(apart)}): {ranges}"
    number = "three" if len(usable) == 3 else "two"
    hidden = max((each.interval[1] - each.interval[0]) / 2 for each in differences if budgets[0] == each.C)
    return "agree", (
        f"the {number} approaches agree within noise, which would hide a difference of {_factor(hidden)} in N at "
        f"C = {budgets[0]:.3g}: {ranges}"
    )


def _factor(log_ratio: float) -> str:
    return f"{math.exp(log_ratio):.3g}x" if log_ratio < math.log(1e6) else "any size"


def _notes(table: Table) -> tuple[str, ...]:
    notes = []
    columns = table.columns
    if "progress" in columns and bool((columns["progress"] < 1).any()):
        notes.append(
            "mid-run evaluations were used: before the rate has decayed a run lies above the loss of a run that ends "
            "there, and moves every approach; leave --evaluations at final for exponents"
        )
    ratio = columns["C"] / (6 * columns["N"] * columns["D"])
    if bool((np.abs(ratio - 1) > 0.01).any()):
        notes.append(f"C is as the table gives it, {ratio.min():.3g} to {ratio.max():.3g} times 6 N D")
    return tuple(notes)
