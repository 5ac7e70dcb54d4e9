"""What a report says first: how the predictions fared, or else what state the fit is in."""

import math
from collections.abc import Mapping, Sequence

from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.prediction.predict import Prediction, describe
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.report.known_entropy import compared, known_entropy
from windtunnel.analysis.tables.table import Table


def headline(
    table: Table,
    fit: Fit,
    predictions: Sequence[Prediction],
    scores: Sequence[Score],
    own: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    """One sentence a prediction, scored ones first, one on the fit, and one on its floor where the truth is known.

    own: the target at which a study's first law, that of `fit`, makes the study's prediction. That comes first, or a
    sentence that it is missing: never another law's in its place.
    """
    scored = {each.prediction.sealed for each in scores}
    waiting = [each for each in predictions if each.sealed is None or each.sealed not in scored]
    told = [(each.prediction, _scored(each)) for each in scores] + [(each, _waiting(each)) for each in waiting]
    told.sort(key=lambda each: not _is_own(each[0], fit, own))  # stable
    lines = [text if made.law == fit.law.name else f"{made.law} at {text}" for made, text in told]
    if own is not None and not any(_is_own(made, fit, own) for made, _ in told):
        lines.insert(0, missing(fit.law.name, own))
    entropy = known_entropy(table, fit)
    floor = () if entropy is None else (compared(fit, entropy),)
    return (*lines, _state(fit), *floor)


def missing(law: str, own: Mapping[str, float]) -> str:
    """That a study's own prediction is not there."""
    return (
        f"The study's own prediction, of its first law {law} at {describe(own)}, is MISSING: it was not sealed, or its "
        "file is gone; what other laws predicted does not stand for it."
    )


def _is_own(made: Prediction, fit: Fit, own: Mapping[str, float] | None) -> bool:
    return own is not None and made.law == fit.law.name and dict(made.at) == dict(own)


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
