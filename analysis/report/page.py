"""The page of a report on final losses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.analysis.fitting.certificate import REFUSED
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.report.figures.figure import RenderedFigure
from windtunnel.analysis.report.figures.isoflop_figure import explain_no_minima
from windtunnel.analysis.report.figures.table_axes import target_label
from windtunnel.analysis.report.headline import fit_sentences
from windtunnel.analysis.report.html import (
    HtmlTable,
    code,
    keep_together,
    render,
    seal_table,
    verdict,
    warning,
    with_note,
)
from windtunnel.analysis.report.number_format import (
    format_commit,
    format_interval,
    format_loss,
    format_magnitudes,
    format_number,
    format_percent,
)
from windtunnel.analysis.report.report import Report
from windtunnel.analysis.tables.conventions import describe_size_convention

MAX_EXCLUSIONS = 60  # listed on the page
FITTED_STATUSES = ("converged", "not_identified")


@dataclass(frozen=True)
class Part:
    """A folded part of the page. `reason` says why the part could not be computed."""

    name: str
    title: str
    summary: str = ""
    reason: str = ""
    table: HtmlTable | None = None
    figure: RenderedFigure | None = None


def render_report(report: Report, figures: Mapping[str, RenderedFigure]) -> str:
    """The HTML of the report."""
    return render(
        "report.html.jinja",
        title=f"Report on {report.table.source}",
        source=_source(report),
        headline=_shown_headline(report),
        refused=report.is_refused,
        main_figure=figures.get("headline"),
        predictions=_predictions(report),
        prediction_notes=_prediction_notes(report),
        laws=_laws(report.fits),
        parameters=_parameters(report.fits[:1]),
        parts=_parts(report, figures),
        data=_data(report),
    )


def _source(report: Report) -> str:
    rows = report.table
    runs = len(set(rows.run.tolist()))
    text = f"{len(rows)} rows of {runs} runs or trunks; table sha256 {rows.digest[:16]}"
    return f"{text}; analysis at commit {format_commit(report.commit)}."


def _shown_headline(report: Report) -> list[str]:
    """The first sentence of the headline and those about the fit; the other predictions are in the table."""
    first = report.headline[0]
    about_fit = fit_sentences(report.table, report.fit, report.outlook)
    return [first, *(sentence for sentence in about_fit if sentence != first)]


def _size_convention(report: Report) -> str:
    """What N counts, stated once for all tables."""
    return describe_size_convention(report.table) if report.is_of_records else "N and D as in the source"


def _predictions(report: Report) -> HtmlTable | None:
    if not report.predictions:
        return None
    rows = []
    for prediction, score in report.scored_predictions:
        row = [prediction.law, keep_together(format_magnitudes(prediction.at)), format_loss(prediction.loss)]
        row.append(format_interval(*prediction.interval_90, format_loss))
        if score is None:
            row += ["–", "–", "–"]
        else:
            inside = "yes" if score.mean.inside_90 else warning("no")
            row += [format_loss(score.mean.loss), f"{score.mean.error_percent:+.3g} %", inside]
        rows.append(row)
    header = ("law", "target", "predicted", "90 % interval", "measured", "error", "inside")
    label = target_label(report.fit.law.target)
    caption = (
        f"Predictions of the {label}, sealed before the targets were trained"
        if all(prediction.sealed for prediction in report.predictions)
        else f"Predictions of the {label}"
    )
    caption += f". {_size_convention(report)}; D counts training tokens. Error: predicted / measured - 1"
    return HtmlTable(caption, header, rows, numbers=(2, 3, 4, 5))


def _prediction_notes(report: Report) -> list[str]:
    """Notes of predictions and scores, each once with its laws. The state of a fit is in the table of laws."""
    laws_of: dict[str, dict[str, None]] = {}
    noted = [(prediction.law, prediction.notes) for prediction in report.predictions]
    noted += [(score.prediction.law, score.notes) for score in report.scores]
    for law, notes in noted:
        for note in notes:
            if not note.startswith("the fit is "):
                laws_of.setdefault(note, {})[law] = None
    return [f"{', '.join(laws)}: {note}." for note, laws in laws_of.items()]


def _laws(fits: Sequence[Fit]) -> HtmlTable:
    rows = []
    for fit in fits:
        formula = with_note(code(fit.law.formula), f"{fit.law.title}. {fit.law.citation}.")
        if fit.status in REFUSED:
            rows.append([fit.law.name, formula, f"refused ({fit.status}): {fit.reason}", "–", f"{fit.num_points}", "–"])
            continue
        state = "converged" if fit.status in FITTED_STATUSES else f"{fit.status}: {fit.reason}"
        identified = f"{len(fit.parameters) - len(fit.not_identified)} of {len(fit.parameters)}"
        rows.append([fit.law.name, formula, state, identified, f"{fit.num_points}", f"{fit.value:.6g}"])
    objectives = ", ".join(dict.fromkeys(fit.objective for fit in fits))
    caption = (
        f"Fitted laws. Identified: parameters with an interval that is bounded on both sides. Objective: {objectives}"
    )
    header = ("law", "formula", "state", "identified", "points", "objective")
    return HtmlTable(caption, header, rows, numbers=(3, 4, 5))


def _parameters(fits: Sequence[Fit]) -> HtmlTable | None:
    rows = []
    for fit in fits:
        for parameter in fit.law.parameters if fit.parameters else ():
            name = parameter.name
            low, high = fit.intervals.get(name, (math.nan, math.nan))
            value = warning("not identified") if name in fit.not_identified else format_number(fit.parameters[name])
            interval = "–"
            if not math.isnan(low):
                interval = f"{format_number(low)} to {'unbounded' if math.isinf(high) else format_number(high)}"
            rows.append([fit.law.name, code(name), value, interval, parameter.meaning])
    if not rows:
        return None
    methods = ", ".join(dict.fromkeys(fit.interval_method for fit in fits))
    caption = f"Parameters with 95 % intervals ({methods})"
    return HtmlTable(caption, ("law", "parameter", "value", "95 % interval", "meaning"), rows, numbers=(2, 3))


def _parts(report: Report, figures: Mapping[str, RenderedFigure]) -> list[Part]:
    """The folded parts but the last."""
    checklist = report.checklist
    counts = [f"{sum(item.verdict == word for item in checklist)} {word}" for word in ("ok", "caution", "unknown")]
    parts = [
        _figure_part("predictions", "Predictions by law", figures),
        _figure_part("loss", "Loss against size, data and compute", figures, _why_no_loss(report)),
        _figure_part(
            "backtest", "Backtest on held-out larger runs", figures, _why_no_backtest(report), _ranking(report)
        ),
        _figure_part("residuals", "Residuals", figures, _refused(report)),
        _figure_part("profiles", "Profile likelihood of the parameters", figures, _why_no_profiles(report)),
        _figure_part("isoflop", "Curves of equal compute", figures, _why_no_isoflop(report)),
        Part("checklist", "Checklist", ", ".join(counts), table=_checklist(report)),
    ]
    others = _parameters(report.fits[1:])
    if others is not None:
        laws = ", ".join(fit.law.name for fit in report.fits[1:])
        parts.insert(1, Part("parameters", "Parameters of the other laws", laws, table=others))
    return parts if report.predictions else parts[1:]


def _figure_part(
    name: str, title: str, figures: Mapping[str, RenderedFigure], reason: str = "", table: HtmlTable | None = None
) -> Part:
    figure = figures.get(name)
    if figure is None:
        return Part(name, title, reason=reason or "it was not computed", table=table)
    return Part(name, title, figure.summary, table=table, figure=figure)


def _refused(report: Report) -> str:
    return f"the fit was refused ({report.fit.status})" if report.is_refused else ""


def _why_no_loss(report: Report) -> str:
    return "none of N, D and C has two values in the table"


def _why_no_profiles(report: Report) -> str:
    return _refused(report) or "the data are without noise, so every interval is a point"


def _why_no_backtest(report: Report) -> str:
    return report.absent.get("ranking", "no law could be fitted to a part of the rows")


def _why_no_isoflop(report: Report) -> str:
    if report.isoflop is None:
        return report.absent.get("isoflop", "")
    return explain_no_minima(report.isoflop) or ""


def _ranking(report: Report) -> HtmlTable | None:
    if report.ranking is None:
        return None
    rows = []
    for ranked in report.ranking.laws:
        row = [f"{ranked.law} (baseline)" if ranked.baseline else ranked.law]
        row += [format_percent(ranked.held_out_mean_abs_relative_error), format_percent(ranked.held_out_worst)]
        row += [format_percent(ranked.coverage_90, ".0f"), str(ranked.num_parameters)]
        rows.append([*row, f"{ranked.status}{': ' + ranked.reason if ranked.reason else ''}"])
    header = ("law", "mean error", "worst", "in 90 % interval", "parameters", "status")
    caption = (
        "Best first: by mean error, doubled where under 70 % of the outcomes are in the intervals; of similar errors "
        "the simpler law first"
    )
    return HtmlTable(caption, header, rows, numbers=(1, 2, 3, 4))


def _checklist(report: Report) -> HtmlTable:
    rows = [[item.question, with_note(item.answer, item.rule), verdict(item.verdict)] for item in report.checklist]
    caption = (
        "Questions after Li et al. 2025 (arXiv 2502.18969) and Choshen et al. 2024 (arXiv 2410.11840), answered from "
        "the table and the fit"
    )
    return HtmlTable(caption, ("question", "answer and rule", "verdict"), rows, kind="checklist")


def _data(report: Report) -> dict[str, Any]:
    """The content of the part on data: where they come from, what is sealed, notes and excluded rows."""
    rows = report.table
    units = ", ".join(f"{name} ({unit})" for name, unit in rows.units.items())
    excluded = [f"{exclusion.run}: {exclusion.reason}" for exclusion in rows.excluded[:MAX_EXCLUSIONS]]
    if len(rows.excluded) > MAX_EXCLUSIONS:
        excluded.append(f"and {len(rows.excluded) - MAX_EXCLUSIONS} more")
    return {
        "summary": f"{len(rows)} rows, {len(rows.excluded)} excluded",
        "paragraphs": [
            f"Source {rows.source}: {len(rows)} rows, {len(rows.columns)} columns.",
            f"Columns with a unit: {units}.",
            f"Table sha256 {rows.digest}; analysis at commit {report.commit or 'unknown'}.",
        ],
        "seals": seal_table(
            (prediction.law, prediction.time, prediction.sealed, prediction.commit) for prediction in report.predictions
        ),
        "notes": [*rows.notes, *report.notes],
        "excluded": excluded,
    }
