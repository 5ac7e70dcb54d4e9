"""The page of laws of whole curves: how they fared, the held-out schedules, the figures and the fits."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.curves.laws import is_baseline
from windtunnel.analysis.curves.score import Against, LawOutcome
from windtunnel.analysis.report.checklist import short_commit
from windtunnel.analysis.report.curve_headline import curve_headline, in_noise, interval, off, points, verdict
from windtunnel.analysis.report.figures.figure import Drawing
from windtunnel.analysis.report.html import document, figure, paragraph, percent, table
from windtunnel.analysis.report.schedule_labels import HeldOut

if TYPE_CHECKING:
    from windtunnel.analysis.report.curve_report import CurveReport
from typing import TYPE_CHECKING

from windtunnel.analysis.curves.ensemble import CombinedLaw
from windtunnel.analysis.curves.laws.law import CurveLaw
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.report.figures.style import figures

if TYPE_CHECKING:
    from windtunnel.analysis.report.curve_report import CurveReport


SECTIONS = {
    "laws": "Laws",
    "schedules": "Held-out schedules",
    "curves": "Predicted and measured curves",
    "errors": "Errors",
    "fits": "The fits",
    "data": "Data and seals",
}


def curve_page(report: "CurveReport", drawings: Mapping[str, Drawing]) -> str:
    """The HTML of the report."""
    bodies = {"fits": fits_section(report), "data": _data(report)}
    if report.outcomes:
        bodies = {"laws": _laws(report), "schedules": _schedules(report), **bodies}
    if drawings:
        shown = {"curves": figure(drawings, "curves"), "errors": figure(drawings, "curve-errors")}
        bodies |= {name: body for name, body in shown.items() if body}
    return document(
        f"Curves of {report.study}",
        f"laws of schedules fitted to {len(report.fitted)} curves of {report.losses} losses, sha256 "
        f"{report.digest[:16]}; analysis at commit {short_commit(report.commit)}",
        curve_headline(report),
        {name: bodies[name] for name in SECTIONS if name in bodies},
        SECTIONS,
        refused=report.own not in report.fits,
    )


def _laws(report: "CurveReport") -> str:
    baselines = [each.asked for each in report.outcomes if is_baseline(each.asked)]
    rows, differences = [], []
    for each in report.outcomes:
        name = f"<code>{escape(each.asked)}</code>" + (" (baseline)" if is_baseline(each.asked) else "")
        means = each.seed_means
        cells = [off(each.mean_abs_relative_error), off(each.worst)]
        cells += ["–", "–"] if means is None else [off(means.mean_abs_relative_error), off(means.worst)]
        cells.append(off(each.final))
        rows.append([name, *cells, in_noise(each), percent(each.coverage_90, ".0f")])
        differences.append([name, *(_less(each, baseline) for baseline in baselines)])
    became = [f"{each.asked} became {each.law}" for each in report.outcomes if each.law != each.asked]
    missing = [name for name in report.asked if name not in {each.asked for each in report.outcomes}]
    if report.floor is not None:
        floor = report.floor
        cells = [off(floor.mean_abs_relative_error), off(floor.worst)]
        cells += [off(floor.seed_means_mean_abs_relative_error), off(floor.seed_means_worst)]
        rows.append(["a law that is right, by noise between seeds alone", *cells, "–", "–", "–"])
    caption = (
        "Errors are predicted / measured - 1: the mean and the worst of all points of the held-out curves, the same of "
        "curves that are means over seeds, and the root mean square of final losses, means over seeds, in per cent "
        "and in standard deviations between seeds"
    )
    header = ("law", "mean error", "worst point", "of means", "worst", "final losses", "in noise", "in 90 %")
    text = table(caption, header, rows, numbers=range(1, len(header)))
    if baselines:
        caption = "Mean error less that of a baseline, percentage points, with the 90 % interval over schedules"
        columns = ["law", *(f"less {name}" for name in baselines)]
        text += table(caption, columns, differences, numbers=range(1, len(columns)))
    text += paragraph(f"{'; '.join(became)}.") if became else ""
    return text + (paragraph(f"Refused or not sealed, and so not scored: {', '.join(missing)}.") if missing else "")


def _less(law: LawOutcome, baseline: str) -> str:
    found: Against | None = next((each for each in law.against if each.baseline == baseline), None)
    if found is None:
        return "–"
    text = points(found.difference) + (f" {interval(found)}" if found.interval_90 is not None else "")
    return f"{escape(text)}<br>{escape(verdict(found))}"


def _schedules(report: "CurveReport") -> str:
    shown = [each for each in (report.outcome, *report.baselines) if each is not None]
    rows = []
    for held in report.schedules:
        runs = [run for run in held.runs if run in report.trained]
        if not runs:
            continue
        cells = [str(len({target.size for target in held.targets})), str(len(runs))]
        cells += [off(_mean(each, held, "mean_abs_relative_error")) for each in shown]
        cells += [_final(shown[0], held), off(_worst(shown[0], held))]
        rows.append([escape(held.name), *cells])
    names = [each.asked for each in shown]
    header = ("schedule", "sizes", "runs", *names, "final loss", "worst point")
    caption = (
        "Mean errors by law, over sizes and seeds; final loss, with its sign and the standard error that noise between "
        f"seeds leaves (beyond twice that the law is wrong of the schedule), and worst point by {names[0]}"
    )
    return table(caption, header, rows, numbers=range(1, len(header)))


def _mean(law: LawOutcome, held: HeldOut, what: str) -> float:
    return float(np.mean(_of(law, held, what)))


def _final(law: LawOutcome, held: HeldOut) -> str:
    """The mean error of final losses over sizes, and its standard error where every target has seeds to tell it."""
    errors = {each.run: each.final for each in law.curves}
    by_target = [[errors[run] for run in target.runs if run in errors] for target in held.targets]
    by_target = [each for each in by_target if each]
    text = f"{100 * float(np.mean([np.mean(each) for each in by_target])):+.2g} %"
    if min(map(len, by_target)) < 2:
        return text
    squares = [float(np.var(each, ddof=1)) / len(each) for each in by_target]
    return f"{text} ± {100 * float(np.sqrt(np.sum(squares))) / len(by_target):.2g}"


def _worst(law: LawOutcome, held: HeldOut) -> float:
    return max(_of(law, held, "worst"))


def _of(law: LawOutcome, held: HeldOut, what: str) -> Sequence[float]:
    return [getattr(each, what) for each in law.curves if each.run in held.runs]


def _data(report: "CurveReport") -> str:
    text = paragraph(f"Study {report.study}; {report.losses} losses of {len(report.fitted)} runs were fitted.")
    text += paragraph(f"Fitted curves sha256 {report.digest}; analysis at commit {report.commit or 'unknown'}.")
    if report.sealed:
        rows = [
            (
                escape(each.asked),
                escape(each.time),
                f"<code>{escape(each.sealed[:16])}</code>",
                escape(short_commit(each.commit)),
                str(len(each.targets)),
            )
            for each in report.sealed
        ]
        header = ("law", "sealed", "seal", "commit", "curves")
        text += table("Predictions sealed before a target began", header, rows, numbers=(4,))
    text += f"<h3>Fitted runs</h3><ul>{''.join(f'<li>{escape(run)}</li>' for run in report.fitted)}</ul>"
    held = [target for each in report.schedules for target in each.targets]
    missing = [run for target in held for run in target.runs if run not in report.trained]
    if missing:
        text += "<h3>Targets without a curve</h3><ul>" + "".join(f"<li>{escape(run)}</li>" for run in missing) + "</ul>"
    return text


LEVEL = 0.90
OPEN = '<span class="open">not identified</span>'


def fits_section(report: "CurveReport") -> str:
    """The parameters of the own law, member by member where it is a combination, then a row for every law."""
    fit = report.fits.get(report.own)
    return (_own(report.own, fit) if fit is not None else "") + _every(report)


def _own(asked: str, fit: FittedCurves) -> str:
    law = fit.fitted_law
    text = paragraph(f"{asked}: {_state(fit)}.")
    if not isinstance(law, CombinedLaw):
        return text + _parameters(law, fit, "", asked)
    text += paragraph(
        f"The mean of {len(law.members)} laws, each with the weight that inner validation on the training curves gives "
        "it."
    )
    for weight, member in zip(law.weights, law.members, strict=True):
        text += _parameters(member, fit, f"{member.name}.", f"{weight:.3g} of {member.name}")
    return text


def _state(fit: FittedCurves) -> str:
    return fit.status + (f": {fit.reason}" if fit.reason else "")


def _parameters(law: CurveLaw, fit: FittedCurves, prefix: str, heading: str) -> str:
    text = f"<h3>{escape(heading)}</h3><p><code>{escape(law.formula)}</code></p>"
    text += paragraph(f"{law.title}. {law.citation}.")
    rows = []
    for parameter in law.parameters:
        name = f"{prefix}{parameter.name}"
        value = OPEN if name in fit.not_identified else figures(fit.parameters[name])
        ends = "–"
        if fit.num_replicates and name not in fit.not_identified:
            low, high = np.quantile(fit.replicates[name], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            ends = f"{figures(float(low))} to {figures(float(high))}"
        rows.append((f"<code>{escape(parameter.name)}</code>", value, escape(ends), escape(parameter.meaning)))
    caption = f"Parameters of {law.name} with 90 % intervals (bootstrap over curves, {fit.num_replicates} replicates)"
    return text + table(caption, ("parameter", "value", "90 % interval", "meaning"), rows, numbers=(1, 2))


def _every(report: "CurveReport") -> str:
    rows: list[Sequence[str]] = []
    for name in report.asked:
        fit = report.fits.get(name)
        if fit is None:
            rows.append((f"<code>{escape(name)}</code>", "refused, or not fitted", "–", "–"))
            continue
        unknown = ", ".join(fit.not_identified) or "none"
        noise = f"{100 * fit.noise:.2g} %"
        rows.append((f"<code>{escape(name)}</code>", escape(_state(fit)), escape(unknown), noise))
    header = ("law", "status", "not identified", "off at the ends")
    caption = "Every law; the last column is how far whole fitted curves lie from it near their ends (root mean square)"
    return "<h3>Every law of the study</h3>" + table(caption, header, rows, numbers=(3,))
