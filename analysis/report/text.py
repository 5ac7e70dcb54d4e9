"""Fits, rankings and predictions as lines of text, for terminals and notebooks."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from windtunnel.analysis.prediction.target import AXES
from windtunnel.analysis.report.number_format import format_interval, format_magnitudes, format_percent

if TYPE_CHECKING:  # for start-up time: a table prints without the fitting modules
    from windtunnel.analysis.comparison.ranking import Ranking
    from windtunnel.analysis.fitting.result import Fit
    from windtunnel.analysis.prediction.predict import Prediction
    from windtunnel.analysis.prediction.score import RunScore, Score
    from windtunnel.analysis.tables.table import Table

UNKNOWN = (math.nan, math.nan)


def format_table(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    """One line per row, columns aligned. `alignment` has one character per column: `<` is left and `>` is right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, alignment, widths, strict=True)).rstrip()
        for row in rows
    ]


def format_notes(notes: Iterable[str]) -> list[str]:
    return [f"note: {note}" for note in notes]


def table_notes(table: "Table") -> list[str]:
    """The rows that are left out of a table and its notes, one line each, for below a result."""
    return [*(f"left out: {row.run}: {row.reason}" for row in table.excluded), *format_notes(table.notes)]


def format_fit(fit: "Fit") -> list[str]:
    """The fit for people. A parameter that is not identified has an interval and no value."""
    meanings = {parameter.name: parameter.meaning for parameter in fit.law.parameters}
    rows = [["parameter", "value", f"95 % interval ({fit.interval_method})", "meaning"]]
    for name, value in fit.parameters.items():
        shown = "not identified" if name in fit.not_identified else f"{value:.6g}"
        rows.append([name, shown, format_interval(*fit.intervals.get(name, UNKNOWN)), meanings[name]])
    lines = [
        f"{fit.law.name}: {fit.law.formula}",
        f"status: {fit.status}{': ' + fit.reason if fit.reason else ''}",
        f"{fit.num_points} points, {fit.objective} = {fit.value:.8g}, {fit.seconds:.2f} s",
        *format_table(rows, "<><<"),
    ]
    if fit.seed_noise is not None:
        lines.append(f"seed noise: {100 * fit.seed_noise:.3g} % of the loss")
    if fit.certificate is not None:
        lines.append(
            f"optimizer: {fit.certificate.starts_agreeing} of {fit.certificate.starts} starts agree; "
            f"another Newton step would improve the objective by {fit.certificate.newton_decrement:.1e}"
        )
    return lines


def format_ranking(ranking: "Ranking") -> list[str]:
    rows = [["law", "mean error", "worst", "in 90 %", "score", "status"]]
    for law in ranking.laws:
        status = law.status + (" (baseline)" if law.baseline else "") + (f": {law.reason}" if law.reason else "")
        rows.append(
            [
                law.law,
                format_percent(law.held_out_mean_abs_relative_error, ".3f"),
                format_percent(law.held_out_worst, ".3f"),
                format_percent(law.coverage_90, ".0f"),
                format_percent(law.interval_score, ".3f"),
                status,
            ]
        )
    lines = format_table(rows, "<>>>><")
    lines += [
        f"cut: {cut.fitted} points up to {cut.largest_fitted:.3g} fitted, "
        f"{cut.held_out} from {cut.smallest_held_out:.3g} held out"
        for cut in ranking.cuts
    ]
    lines.append(
        "order: by mean error, doubled where less than 70 % of losses are in the intervals; simpler laws first in a tie"
    )
    if ranking.indistinguishable:
        lines.append(f"statistically indistinguishable from {ranking.best}: {', '.join(ranking.indistinguishable)}")
    return [*lines, *format_notes(ranking.notes)]


def format_prediction(prediction: "Prediction") -> list[str]:
    ratios = {axis: prediction.extrapolation[axis] for axis in AXES}
    extrapolation = ", ".join(f"{ratio:.3g} x {axis}" for axis, ratio in ratios.items() if ratio is not None)
    lines = [
        f"{prediction.law} at {format_magnitudes(prediction.at)}: {prediction.formula}",
        f"loss {prediction.loss:.5g}, 90 % interval of a new run {format_interval(*prediction.interval_90)}",
        f"relative to the largest of the data: {extrapolation}; {prediction.fit['num_points']} points, "
        f"{len(prediction.fit['parameters'])} parameters",
    ]
    if prediction.baselines:
        ranked = sorted(prediction.baselines.items(), key=lambda pair: float("inf") if pair[1] is None else pair[1])
        errors = ", ".join(f"{law} {format_percent(error, '.2f')}" for law, error in ranked)
        lines.append(f"held-out error on this table: {errors}")
    return [*lines, *format_notes(prediction.notes)]


def format_score(score: "Score") -> list[str]:
    prediction = score.prediction
    scores = [*score.runs, score.mean] if len(score.runs) > 1 else [*score.runs]
    rows = [["run", "loss", "error", "interval widths", "seed noise", "in 90 % interval"], *map(_score_row, scores)]
    return [
        f"{prediction.law} at {format_magnitudes(prediction.at)}",
        f"sealed {prediction.time} as {(prediction.sealed or '')[:16]}",
        f"predicted loss {prediction.loss:.5g}, 90 % interval {format_interval(*prediction.interval_90, '.5g')}",
        *format_table(rows, "<>>>><"),
        "error: predicted / measured - 1",
        *format_notes(score.notes),
    ]


def _score_row(score: "RunScore") -> list[str]:
    return [
        score.run,
        f"{score.loss:.5g}",
        f"{score.error_percent:+.3f} %",
        "-" if score.interval_widths is None else f"{score.interval_widths:+.2f}",
        "-" if score.seed_noise is None else f"{score.seed_noise:+.2f} sd",
        "yes" if score.inside_90 else "no",
    ]
