"""The page: one HTML file that needs nothing else, with every figure inside it. All text of the data is escaped."""

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.prediction.predict import describe
from windtunnel.analysis.report.checklist import short_commit
from windtunnel.analysis.report.figures.figure import Drawing
from windtunnel.analysis.report.figures.isoflop_figure import why_no_minima
from windtunnel.analysis.report.figures.style import figures
from windtunnel.analysis.report.headline import headline, interval
from windtunnel.analysis.report.html import document, figure, paragraph, percent, table

if TYPE_CHECKING:
    from windtunnel.analysis.report.report import Report

SHOWN_EXCLUSIONS = 60
SECTIONS = {
    "predictions": "Predictions and outcomes",
    "fit": "The fit",
    "loss": "Loss against size, data and compute",
    "backtest": "Back-test",
    "residuals": "Residuals",
    "profiles": "Profiles of the parameters",
    "isoflop": "Curves of equal compute",
    "checklist": "Checklist",
    "data": "Data, exclusions and notes",
}


def page(report: "Report", drawings: Mapping[str, Drawing]) -> str:
    """The HTML of the report."""
    bodies = {
        "predictions": _predictions(report) + figure(drawings, "predictions"),
        "fit": "".join(_fit(each) for each in report.fits),
        "loss": figure(drawings, "loss"),
        # The table first: on paper its rows fill the page that the figure, which is never cut, has no room on.
        "backtest": _ranking(report) + figure(drawings, "backtest"),
        "residuals": figure(drawings, "residuals"),
        "profiles": figure(drawings, "profiles"),
        "isoflop": figure(drawings, "isoflop"),
        "checklist": _checklist(report),
        "data": _data(report),
    }
    for name, reason in _missing(report, drawings).items():
        bodies[name] += paragraph(f"Not here: {reason}.")
    if not report.predictions:
        del bodies["predictions"]
    return document(
        f"Report on {report.table.source}",
        _source(report),
        headline(report.table, report.fit, report.predictions, report.scores, report.own),
        bodies,
        SECTIONS,
        refused=report.fit.status in REFUSED,
    )


def _source(report: "Report") -> str:
    rows = report.table
    runs = len(set(rows.run.tolist()))
    text = f"{len(rows)} rows of {runs} runs or trunks; table sha256 {rows.digest[:16]}"
    return f"{text}; analysis at commit {short_commit(report.commit)}"


def _missing(report: "Report", drawings: Mapping[str, Drawing]) -> dict[str, str]:
    """Why a figure is not there."""
    refused = f"the fit was refused ({report.fit.status})"
    reasons = {
        "loss": "the table has none of N, D and C in two values",
        "residuals": refused,
        "profiles": refused
        if report.fit.status in REFUSED
        else "the data are without noise: every interval is a point",
        "backtest": report.absent.get("ranking", "no law could be fitted to a part of the rows"),
        "isoflop": report.absent.get("isoflop", ""),
    }
    if report.isoflop is not None:
        reasons["isoflop"] = why_no_minima(report.isoflop) or ""
    return {name: reason or "not asked for" for name, reason in reasons.items() if name not in drawings}


def _fit(fit: Fit) -> str:
    text = f"<h3>{escape(fit.law.name)}: <code>{escape(fit.law.formula)}</code></h3>"
    text += paragraph(f"{fit.law.title}. {fit.law.citation}.")
    state = f"Status: {fit.status}{': ' + fit.reason if fit.reason else ''}."
    if not fit.parameters:
        return text + paragraph(f"Refused. {state}")
    text += paragraph(f"{state} Objective {fit.objective} = {fit.value:.6g} on {fit.num_points} points.")
    rows = []
    for parameter in fit.law.parameters:
        name = parameter.name
        low, high = fit.intervals.get(name, (math.nan, math.nan))
        value = figures(fit.parameters[name])
        if name in fit.not_identified:
            value = '<span class="open">not identified</span>'
        ends = "–"
        if not math.isnan(low):
            ends = f"{figures(low)} to {'unbounded' if math.isinf(high) else figures(high)}"
        rows.append((f"<code>{escape(name)}</code>", value, escape(ends), escape(parameter.meaning)))
    caption = f"Parameters of {fit.law.name} with 95 % intervals ({fit.interval_method})"
    return text + table(caption, ("parameter", "value", "95 % interval", "meaning"), rows, numbers=(1, 2))


def _predictions(report: "Report") -> str:
    score_of = {each.prediction.sealed: each for each in report.scores}
    rows = []
    for made in report.predictions:
        found = score_of.get(made.sealed) if made.sealed else None
        cells = [escape(describe(made.at)), f"{made.loss:.5g}", escape(interval(*made.interval_90))]
        if found is None:
            cells += ["–", "–", "–"]
        else:
            inside = "yes" if found.mean.inside_90 else '<span class="open">no</span>'
            cells += [f"{found.mean.loss:.5g}", f"{found.mean.error_percent:+.3g} %", inside]
        cells.append(f"<code>{escape(made.sealed[:16])}</code>" if made.sealed else "not sealed")
        rows.append(cells)
    header = ("target", "predicted", "90 % interval", "measured", "error", "inside", "seal")
    notes = [f"{describe(made.at)}: {note}." for made in report.predictions for note in made.notes]
    notes += [f"{describe(each.prediction.at)}: {note}." for each in report.scores for note in each.notes]
    caption = "Predictions; error is predicted / measured - 1"
    return table(caption, header, rows, numbers=(1, 2, 3, 4)) + "".join(map(paragraph, notes))


def _ranking(report: "Report") -> str:
    if report.ranking is None:
        return ""
    rows = []
    for each in report.ranking.laws:
        cells = [percent(each.held_out_mean_abs_relative_error), percent(each.held_out_worst)]
        cells += [percent(each.coverage_90, ".0f"), str(each.num_parameters)]
        name = escape(each.law) + (" (plain rival)" if each.rival else "")
        rows.append([name, *cells, escape(f"{each.status}{': ' + each.reason if each.reason else ''}")])
    header = ("law", "mean error", "worst", "in 90 %", "parameters", "status")
    caption = "Best first: by mean error, doubled where under 70 % are in the intervals; the simpler of equals first"
    return table(caption, header, rows, numbers=(1, 2, 3, 4))


def _checklist(report: "Report") -> str:
    items = report.items()
    rows = [
        (
            escape(each.question),
            f'{escape(each.answer)}<br><span class="rule">{escape(each.rule)}</span>',
            f'<span class="verdict {each.verdict}">{each.verdict}</span>',
        )
        for each in items
    ]
    count = {verdict: sum(each.verdict == verdict for each in items) for verdict in ("ok", "caution", "unknown")}
    caption = (
        f"{count['ok']} ok, {count['caution']} with caution, {count['unknown']} unknown. Questions after Li et al. "
        "2025 (arXiv 2502.18969) and Choshen et al. 2024 (arXiv 2410.11840), answered from the table and the fit"
    )
    return table(caption, ("question", "answer, and the rule", "verdict"), rows, kind="checklist")


def _data(report: "Report") -> str:
    rows = report.table
    units = [f"{name} ({unit})" for name, unit in rows.units.items()]
    text = paragraph(f"Source {rows.source}; {len(rows)} rows, {len(rows.columns)} columns.")
    text += paragraph(f"Columns with a unit: {', '.join(units)}.")
    text += paragraph(f"Table sha256 {rows.digest}; analysis at commit {report.commit or 'unknown'}.")
    notes = [*rows.notes, *report.notes]
    if notes:
        text += "<h3>Notes</h3><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"
    if rows.excluded:
        shown = rows.excluded[:SHOWN_EXCLUSIONS]
        more = len(rows.excluded) - len(shown)
        text += "<h3>Left out</h3><ul>"
        text += "".join(f"<li>{escape(each.run)}: {escape(each.reason)}</li>" for each in shown)
        text += f"<li>and {more} more</li></ul>" if more else "</ul>"
    return text
