"""What a report says first: how the predictions fared, or else what state the fit is in."""

import math
from collections.abc import Sequence

from analysis.fit_document import REFUSED, Fit
from analysis.prediction import Prediction, describe
from analysis.report.known_entropy import compared, known_entropy
from analysis.score import Score
from analysis.table import Table


def headline(table: Table, fit: Fit, predictions: Sequence[Prediction], scores: Sequence[Score]) -> tuple[str, ...]:
    """One sentence a prediction, scored ones first, one on the fit, and one on its floor where the truth is known."""
    scored = {each.prediction.sealed for each in scores}
    waiting = [each for each in predictions if each.sealed is None or each.sealed not in scored]
    entropy = known_entropy(table, fit)
    floor = () if entropy is None else (compared(fit, entropy),)
    return (*map(_scored, scores), *map(_waiting, waiting), _state(fit), *floor)


def interval(low: float, high: float) -> str:
    return f"[{low:.5g}, {'unbounded' if math.isinf(high) else format(high, '.5g')}]"


def _scored(found: Score) -> str:
    made, mean = found.prediction, found.mean
    runs = f"mean of {len(found.runs)} runs" if len(found.runs) > 1 else "one run"
    where = "inside" if mean.inside_90 else "OUTSIDE"
    return (
        f"{describe(made.at)}: predicted {made.loss:.5g}, 90 % interval {interval(*made.interval_90)}; measured "
        f"{mean.loss:.5g} ({runs}), {where} the interval; predicted / measured = {made.loss / mean.loss:.4f}"
        f"{_reach(made)}. Sealed {made.time} as {(made.sealed or '')[:16]}."
    )


def _waiting(made: Prediction) -> str:
    seal = f"sealed {made.time} as {made.sealed[:16]}" if made.sealed else "not sealed"
    return (
        f"{describe(made.at)}: predicted {made.loss:.5g}, 90 % interval {interval(*made.interval_90)}; "
        f"no measured loss yet{_reach(made)} ({seal})."
    )


def _reach(made: Prediction) -> str:
    ratio = made.extrapolation.get("C")
    return f", {ratio:.3g} times the data's largest compute" if ratio is not None else ""


def _state(fit: Fit) -> str:
    if fit.status in REFUSED:
        return f"The fit of {fit.law.name} was refused ({fit.status}): {fit.reason}."
    state = f"{fit.law.name}, {fit.law.formula}: {fit.status} on {fit.num_points} points"
    if fit.not_identified:
        return f"{state}; the data do not identify {', '.join(fit.not_identified)}."
    return f"{state}{': ' + fit.reason if fit.reason else ''}; every parameter is identified."
