"""The result of a report in sentences: the predictions and their outcomes, or what the fit predicts and leaves open."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.predict import Prediction, predict
from windtunnel.analysis.prediction.score import Score
from windtunnel.analysis.report.figures.fitted_rows import fitted_rows
from windtunnel.analysis.report.known_entropy import compare_entropy, known_entropy
from windtunnel.analysis.report.number_format import format_interval, format_loss, format_magnitudes
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError

# Ten times the compute: the size and the data each grow by the root of it.
OUTLOOK_FACTORS = {"N": math.sqrt(10), "D": math.sqrt(10), "U": math.sqrt(10), "C": 10.0}


def headline(
    table: Table,
    fit: Fit,
    predictions: Sequence[Prediction],
    scores: Sequence[Score],
    own_point: Mapping[str, float] | None = None,
    outlook: Prediction | None = None,
) -> tuple[str, ...]:
    """The sentences about the predictions, then those about the fit."""
    return (
        *prediction_sentences(fit, predictions, scores, own_point),
        *fit_sentences(table, fit, None if predictions else outlook),
    )


def prediction_sentences(
    fit: Fit, predictions: Sequence[Prediction], scores: Sequence[Score], own_point: Mapping[str, float] | None
) -> tuple[str, ...]:
    """One sentence for each prediction, scored ones first.

    `own_point` is where the first law of a study, that of `fit`, makes the prediction of the study. That prediction is
    first, or a sentence that it is missing, never the prediction of another law.
    """
    scored = {score.prediction.sealed for score in scores}
    waiting = [prediction for prediction in predictions if not prediction.sealed or prediction.sealed not in scored]
    sentences = [(score.prediction, _describe_score(score)) for score in scores]
    sentences += [(prediction, _describe_prediction(prediction)) for prediction in waiting]
    sentences.sort(key=lambda pair: not _is_own(pair[0], fit, own_point))  # stable
    missing: tuple[str, ...] = ()
    if own_point is not None and not any(_is_own(prediction, fit, own_point) for prediction, _ in sentences):
        missing = (missing_prediction(fit.law.name, own_point),)
    return (*missing, *(sentence for _, sentence in sentences))


def fit_sentences(table: Table, fit: Fit, outlook: Prediction | None) -> tuple[str, ...]:
    """The result of the fit: its irreducible loss beside a known entropy, `outlook`, and its state."""
    entropy = known_entropy(table, fit)
    compared = () if entropy is None else (compare_entropy(fit, entropy),)
    expected = () if outlook is None else (f"{outlook.law} predicts {_loss_at(outlook)}.",)
    return (*compared, *expected, describe_fit(fit))


def predict_outlook(table: Table, fit: Fit) -> Prediction | None:
    """The prediction at ten times the largest compute of the table, with the columns of its largest run.

    None where the fit was refused or the law has no value there.
    """
    if fit.status in REFUSED:
        return None
    rows = fitted_rows(table, fit)
    names = ("C",) if "C" in rows.magnitudes else ("N", "D")
    scale = [rows.magnitudes[name] for name in names if name in rows.magnitudes]
    if not scale:
        return None
    largest = int(np.argmax(np.prod(scale, axis=0)))
    columns = rows.table.require(*fit.law.columns)
    at = {name: float(column[largest]) * OUTLOOK_FACTORS.get(name, 1.0) for name, column in columns.items()}
    try:
        return predict(fit, at)
    except InputError:
        return None


def missing_prediction(law: str, own_point: Mapping[str, float]) -> str:
    """A sentence that the prediction of the study itself is missing."""
    return (
        f"The study's own prediction, of its first law {law} at {format_magnitudes(own_point)}, is MISSING: it was not "
        "sealed, or its file was removed. Predictions of other laws do not replace it."
    )


def describe_fit(fit: Fit) -> str:
    """The state of a fit in one sentence."""
    if fit.status in REFUSED:
        return f"The fit of {fit.law.name} was refused ({fit.status}): {fit.reason}."
    text = f"{fit.law.name}, {fit.law.formula}, was fitted to {fit.num_points} points"
    if len(fit.not_identified) > 1:
        names = f"{', '.join(fit.not_identified[:-1])} and {fit.not_identified[-1]}"
        return f"{text}; {names} are not identified: their profile likelihoods are unbounded on one side."
    if fit.not_identified:
        return f"{text}; {fit.not_identified[0]} is not identified: its profile likelihood is unbounded on one side."
    if fit.status != "converged":
        return f"{text}; its status is {fit.status}{': ' + fit.reason if fit.reason else ''}."
    return f"{text}; every parameter is identified."


def _is_own(prediction: Prediction, fit: Fit, own_point: Mapping[str, float] | None) -> bool:
    return own_point is not None and prediction.law == fit.law.name and dict(prediction.at) == dict(own_point)


def _describe_score(score: Score) -> str:
    prediction, mean = score.prediction, score.mean
    runs = f"mean of {len(score.runs)} runs" if len(score.runs) > 1 else "one run"
    position = "inside" if mean.inside_90 else "OUTSIDE"
    return (
        f"{prediction.law} predicted {_loss_at(prediction)}; measured {format_loss(mean.loss)} ({runs}), {position} "
        f"the interval: error {mean.error_percent:+.3g} % (predicted / measured = {prediction.loss / mean.loss:.4f})."
    )


def _describe_prediction(prediction: Prediction) -> str:
    seal = "sealed, not measured yet" if prediction.sealed else "not sealed, not measured yet"
    return f"{prediction.law} predicts {_loss_at(prediction)} ({seal})."


def _loss_at(prediction: Prediction) -> str:
    """`1.3785 (90 % interval [1.3376, 1.4226]) for N = 714k, D = 1.2M, 3.13 times the largest compute of the data`."""
    ratio = prediction.extrapolation.get("C")
    reach = f", {ratio:.3g} times the largest compute of the data" if ratio is not None else ""
    interval = format_interval(*prediction.interval_90, format_loss)
    return f"{format_loss(prediction.loss)} (90 % interval {interval}) for {format_magnitudes(prediction.at)}{reach}"
