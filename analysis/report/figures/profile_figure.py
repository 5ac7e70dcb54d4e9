"""The profile likelihood of every parameter: a bowl where the parameter is identified, open on one side where not."""

import math
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.profile_curves import ProfileCurve, profile_curves
from windtunnel.analysis.report.figures.style import BAND_OPACITY, BLUE, GREEN, INK, MUTED, RED, log_axis
from windtunnel.analysis.report.known_entropy import IRREDUCIBLE_LOSS, KnownEntropy, compare_entropy
from windtunnel.analysis.report.number_format import format_number

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
MIN_VALLEY = 0.03  # a rise below minus this is another minimum, not rounding
MAX_RISE = 2.6  # largest rise shown


def profile_figure(fit: Fit, entropy: KnownEntropy | None = None) -> RenderedFigure | None:
    """None where there is no profile: a refused fit, or data without noise.

    `entropy` is that of the source where it is known; it is compared with the irreducible loss.
    """
    curves = profile_curves(fit)
    if not curves:
        return None
    num_rows = math.ceil(len(curves) / COLUMNS)

    def paint(figure: "Figure") -> None:
        panels = figure.subplots(num_rows, COLUMNS, sharey=True, squeeze=False)
        for panel, curve in zip(panels.ravel(), curves, strict=False):
            _panel(panel, curve)
            if entropy is not None and curve.name == IRREDUCIBLE_LOSS:
                panel.axvline(entropy.nats, color=GREEN, linewidth=1.6, label="entropy of the source")
                panel.legend(loc="upper right")
        for panel in panels.ravel()[len(curves) :]:
            panel.remove()
        for row in panels:
            row[0].set_ylabel("rise of the objective\n(1 = end of interval)")

    not_identified = [curve.name for curve in curves if curve.not_identified]
    alt = f"profiles of {', '.join(curve.name for curve in curves)}; " + (
        f"unbounded on one side: {', '.join(not_identified)}" if not_identified else "each rises on both sides"
    )
    summary = f"{len(curves) - len(not_identified)} of {len(curves)} parameters are identified"
    caption = _caption(fit, curves, entropy)
    return render_figure("profiles", "Profile likelihood", alt, caption, paint, 0.4 + 1.9 * num_rows, summary)


def _caption(fit: Fit, curves: list[ProfileCurve], entropy: KnownEntropy | None) -> str:
    not_identified = [curve.name for curve in curves if curve.not_identified]
    text = (
        f"{fit.law.name}: each parameter is fixed along its axis and the others are refitted. A rise of 1 ends the 95 "
        "% interval (shaded); the vertical line is the fitted value. A curve is the lower of two rises: that of the "
        "objective of the fit and that of one matched to the noise."
    )
    for curve in curves:
        if not curve.not_identified and math.isfinite(curve.interval[1]):
            low, high = map(format_number, curve.interval)
            text += f" {curve.name} {format_number(curve.best)} [{low}, {high}]."
    text += f" Not identified (red): {', '.join(not_identified)}." if not_identified else ""
    text += f" {compare_entropy(fit, entropy)}" if entropy is not None else ""
    lower = [curve.name for curve in curves if float(curve.rise_G.min()) < -MIN_VALLEY]
    if lower:
        text += f" Along {', '.join(lower)} there is a lower minimum than that of the fit, where the curve is 0."
    return text


def _open_below(curve: ProfileCurve) -> bool:
    return curve.not_identified and math.isfinite(curve.interval[1])


def _panel(panel: "Axes", curve: ProfileCurve) -> None:
    color = RED if curve.not_identified else BLUE
    low, high = float(curve.value_G[0]), float(curve.value_G[-1])
    if curve.positive and high / low > 1.5 and not _open_below(curve):
        log_axis(panel, "x", "N" if high >= 1e4 else "", low, high, margin=0.02, max_ticks=5)
    else:
        panel.set_xlim(low, high)
        panel.locator_params(axis="x", nbins=4)
    # Refits are joined by straight lines in the root of the rise, that is by parabolas.
    root_G = np.sqrt(np.maximum(curve.rise_G, 0.0)) * np.sign(curve.value_G - curve.value_G[np.argmin(curve.rise_G)])
    place = np.linspace(0, len(root_G) - 1, 12 * len(root_G))
    index_G = np.arange(len(root_G))
    logarithmic = curve.positive and not _open_below(curve)
    axis_value_G = np.log(curve.value_G) if logarithmic else curve.value_G
    fine = np.interp(place, index_G, axis_value_G)
    panel.plot(np.exp(fine) if logarithmic else fine, np.interp(place, index_G, root_G) ** 2, color=color)
    panel.axhline(1.0, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
    start, end = (min(max(edge, low), high) for edge in curve.interval)
    start = panel.get_xlim()[0] if start == low else start
    if start < end:
        panel.axvspan(start, end, color=color, alpha=BAND_OPACITY, linewidth=0)
    if curve.not_identified:
        above = not math.isfinite(curve.interval[1])
        panel.set_title(f"{curve.name}: unbounded {'above' if above else 'below'}", color=RED)
    else:
        panel.axvline(curve.best, color=INK, linewidth=0.8)
        panel.set_title(f"{curve.name} = {format_number(curve.best)}")
    panel.set_ylim(0, MAX_RISE)
