"""The page of a report on curve laws."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from windtunnel.analysis.curves.ensemble import CombinedLaw
from windtunnel.analysis.curves.laws import is_baseline
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.score import LawScore
from windtunnel.analysis.report.curve_headline import (
    curve_headline,
    describe_significance,
    format_error,
    format_points,
    format_points_interval,
    format_seed_noise_ratio,
)
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.analysis.report.figures.figure import RenderedFigure
from windtunnel.analysis.report.html import HtmlTable, code, render, seal_table, warning, with_note
from windtunnel.analysis.report.number_format import format_commit, format_number, format_percent
from windtunnel.analysis.report.schedule_labels import HeldOutSchedule

INTERVAL_LEVEL = 0.90


def render_curve_report(report: CurveReport, figures: Mapping[str, RenderedFigure]) -> str:
    """The HTML of the report."""
    return render(
        "curves.html.jinja",
        title=f"Curves of {report.study}",
        source=f"Curve laws fitted to {len(report.fitted_runs)} curves of {report.losses} losses, sha256 "
        f"{report.digest[:16]}; analysis at commit {format_commit(report.commit)}.",
        headline=curve_headline(report),
        refused=report.main_law not in report.fits,
        main_figure=figures.get("curves"),
        laws=_laws(report) if report.scores else None,
        law_notes=_law_notes(report) if report.scores else [],
        differences=_differences(report),
        schedules=_schedules(report) if report.scores else None,
        errors=figures.get("curve-errors"),
        fits=_fits(report),
        data=_data(report),
    )


def _law_name(score: LawScore) -> str:
    return f"{score.requested} (baseline)" if is_baseline(score.requested) else score.requested


def _laws(report: CurveReport) -> HtmlTable:
    rows = []
    for score in report.scores:
        means = score.seed_means
        row = [_law_name(score), format_error(score.mean_abs_relative_error), format_error(score.worst)]
        row += ["–", "–"] if means is None else [format_error(means.mean_abs_relative_error), format_error(means.worst)]
        row += [
            format_error(score.final),
            format_seed_noise_ratio(score),
            format_percent(score.coverage_90, ".0f"),
        ]
        rows.append(row)
    if report.perfect_law is not None:
        perfect = report.perfect_law
        errors = [perfect.mean_abs_relative_error, perfect.worst]
        errors += [perfect.seed_means_mean_abs_relative_error, perfect.seed_means_worst]
        rows.append(["perfect law, seed noise alone", *map(format_error, errors), "–", "–", "–"])
    caption = (
        "Errors (predicted / measured - 1) over all points of the held-out curves: mean and worst; the same for curves "
        "averaged over seeds; root mean square of the final losses averaged over seeds, also in standard deviations "
        "between seeds; share of final losses inside their 90 % intervals"
    )
    header = ("law", "mean error", "worst", "mean, seed means", "worst, seed means", "final loss", "in seed noise")
    return HtmlTable(caption, (*header, "in 90 % interval"), rows, numbers=range(1, len(header) + 1))


def _law_notes(report: CurveReport) -> list[str]:
    """The laws that are not in the table of scores."""
    scored = {score.requested for score in report.scores}
    missing = [law for law in report.laws if law not in scored]
    return [f"Refused or not sealed, and so not scored: {', '.join(missing)}."] if missing else []


def _differences(report: CurveReport) -> HtmlTable | None:
    baselines = [score.requested for score in report.scores if is_baseline(score.requested)]
    if not baselines:
        return None
    rows = [[_law_name(law), *(_difference(law, baseline) for baseline in baselines)] for law in report.scores]
    caption = "Mean error minus that of a baseline in percentage points, with the 90 % interval over schedules"
    header = ("law", *(f"minus {baseline}" for baseline in baselines))
    return HtmlTable(caption, header, rows, numbers=range(1, len(header)))


def _difference(law: LawScore, baseline: str) -> str:
    difference = next((other for other in law.comparisons if other.baseline == baseline), None)
    if difference is None:
        return "–"
    interval = f" {format_points_interval(difference)}" if difference.interval_90 is not None else ""
    return with_note(f"{format_points(difference.difference)}{interval}", describe_significance(difference))


def _schedules(report: CurveReport) -> HtmlTable:
    shown = [score for score in (report.score, *report.baselines) if score is not None]
    rows = []
    for schedule in report.schedules:
        runs = [run for run in schedule.runs if run in report.measured]
        if not runs:
            continue
        row = [schedule.name, str(len({target.size for target in schedule.targets})), str(len(runs))]
        row += [format_error(float(np.mean(_errors(score, schedule)))) for score in shown]
        worst = max(curve.worst for curve in shown[0].curves if curve.run in schedule.runs)
        rows.append([*row, _final_error(shown[0], schedule), format_error(worst)])
    laws = [score.requested for score in shown]
    header = ("schedule", "sizes", "runs", *laws, "final loss", "worst")
    caption = (
        f"Held-out schedules: mean error of each law over sizes and seeds; for {laws[0]}, error of the final loss with "
        "its standard error by seed noise (an error beyond twice that is misfit) and worst point"
    )
    return HtmlTable(caption, header, rows, numbers=range(1, len(header)))


def _errors(law: LawScore, schedule: HeldOutSchedule) -> list[float]:
    return [curve.mean_abs_relative_error for curve in law.curves if curve.run in schedule.runs]


def _final_error(law: LawScore, schedule: HeldOutSchedule) -> str:
    """Mean error of the final losses over sizes, with its standard error where every target has several seeds."""
    errors = {curve.run: curve.final for curve in law.curves}
    by_target = [[errors[run] for run in target.runs if run in errors] for target in schedule.targets]
    by_target = [target_errors for target_errors in by_target if target_errors]
    text = f"{100 * float(np.mean([np.mean(target_errors) for target_errors in by_target])):+.2g} %"
    if min(map(len, by_target)) < 2:
        return text
    variances = [float(np.var(target_errors, ddof=1)) / len(target_errors) for target_errors in by_target]
    return f"{text} ± {100 * float(np.sqrt(np.sum(variances))) / len(by_target):.2g}"


def _fits(report: CurveReport) -> dict[str, Any]:
    """The content of the part on fits: the main law, member by member where it is a combination, and every law."""
    content: dict[str, Any] = {"summary": f"{len(report.fits)} of {len(report.laws)} laws", "paragraphs": []}
    content |= {"formulas": None, "parameters": None, "laws": _fit_states(report)}
    fit = report.fits.get(report.main_law)
    if fit is None:
        return content
    law = fit.fitted_law
    content["paragraphs"].append(f"{report.main_law}: {_state(fit)}.")
    members, weights = (law.members, law.weights) if isinstance(law, CombinedLaw) else ((law,), (1.0,))
    if isinstance(law, CombinedLaw):
        content["paragraphs"].append(f"The weighted mean of {len(members)} laws; cross-validation gave the weights.")
    formulas = [
        [member.name, f"{weight:.3g}", with_note(code(member.formula), f"{member.title}. {member.citation}.")]
        for member, weight in zip(members, weights, strict=True)
    ]
    content["formulas"] = HtmlTable(f"Formulas of {report.main_law}", ("law", "weight", "formula"), formulas, (1,))
    rows = [row for member in members for row in _parameters(member, fit, isinstance(law, CombinedLaw))]
    caption = f"Parameters with 90 % intervals (bootstrap over curves, {fit.num_replicates} replicates)"
    header = ("law", "parameter", "value", "90 % interval", "meaning")
    content["parameters"] = HtmlTable(caption, header, rows, numbers=(2, 3))
    return content


def _state(fit: FittedCurveLaw) -> str:
    return fit.status + (f": {fit.reason}" if fit.reason else "")


def _parameters(law: CurveLaw, fit: FittedCurveLaw, is_member: bool) -> list[list[str]]:
    rows = []
    for parameter in law.parameters:
        name = f"{law.name}.{parameter.name}" if is_member else parameter.name
        not_identified = name in fit.not_identified
        interval = "–"
        if fit.num_replicates and not not_identified:
            quantiles = [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2]
            low, high = (format_number(float(end)) for end in np.quantile(fit.replicates[name], quantiles))
            interval = f"{low} to {high}"
        value = warning("not identified") if not_identified else format_number(fit.parameters[name])
        rows.append([law.name, code(parameter.name), value, interval, parameter.meaning])
    return rows


def _fit_states(report: CurveReport) -> HtmlTable:
    rows = []
    for law in report.laws:
        fit = report.fits.get(law)
        if fit is None:
            rows.append([law, "refused, or not fitted", "–", "–"])
            continue
        rows.append([law, _state(fit), ", ".join(fit.not_identified) or "none", f"{100 * fit.noise:.2g} %"])
    header = ("law", "status", "not identified", "misfit at the ends")
    caption = "Every law of the study. Last column: root mean square of the distance of fitted curves near their ends"
    return HtmlTable(caption, header, rows, numbers=(3,))


def _data(report: CurveReport) -> dict[str, Any]:
    """The content of the part on data: fitted runs, seals, and targets that were not measured."""
    targets = [target for schedule in report.schedules for target in schedule.targets]
    return {
        "summary": f"{len(report.fitted_runs)} fitted curves, {len(report.measured)} measured targets",
        "paragraphs": [
            f"Study {report.study}; {report.losses} losses of {len(report.fitted_runs)} runs were fitted.",
            f"Fitted curves sha256 {report.digest}; analysis at commit {report.commit or 'unknown'}.",
        ],
        "seals": seal_table((law.requested, law.time, law.sealed, law.commit) for law in report.sealed),
        "fitted_runs": report.fitted_runs,
        "missing_runs": [run for target in targets for run in target.runs if run not in report.measured],
    }
