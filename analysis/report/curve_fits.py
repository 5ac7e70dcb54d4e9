"""The fits of curves on the page: the parameters of the report's own law, and the state of every law."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from analysis.curves.combined_law import CombinedLaw
from analysis.curves.fitted_curves import FittedCurves
from analysis.curves.law import CurveLaw
from analysis.report.page_parts import paragraph, table
from analysis.report.style import figures

if TYPE_CHECKING:
    from analysis.report.curve_report import CurveReport

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
