"""The profile of every parameter: a bowl where the data know it, an open side where they do not."""

import math
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.report.figures.figure import Drawing, draw
from windtunnel.analysis.report.figures.profile_curves import ProfileCurve, profile_curves
from windtunnel.analysis.report.figures.style import BAND_OPACITY, BLUE, GREEN, INK, MUTED, RED, figures, log_axis
from windtunnel.analysis.report.known_entropy import FLOOR, KnownEntropy, compared

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
SEEN = 0.03  # a rise below minus this is another valley, not rounding
HIGHEST = 2.6  # of the rise that is shown, in ends of the interval


def profile_figure(fit: Fit, entropy: KnownEntropy | None = None) -> Drawing | None:
    """None where there is no profile: a refused fit, or data without noise. entropy: of the source, where it is known,
    which the floor is held against.
    """
    curves = profile_curves(fit)
    if not curves:
        return None
    num_rows = math.ceil(len(curves) / COLUMNS)

    def paint(figure: "Figure") -> None:
        panels = figure.subplots(num_rows, COLUMNS, sharey=True, squeeze=False)
        for panel, curve in zip(panels.ravel(), curves, strict=False):
            _panel(panel, curve)
            if entropy is not None and curve.name == FLOOR:
                panel.axvline(entropy.nats, color=GREEN, linewidth=1.6, label="entropy of the source")
                panel.legend(loc="upper right")
        for panel in panels.ravel()[len(curves) :]:
            panel.remove()
        for row in panels:
            row[0].set_ylabel("rise of the objective\n(1 = end of interval)")

    open_ones = [curve.name for curve in curves if curve.not_identified]
    bounded = [curve for curve in curves if not curve.not_identified and math.isfinite(curve.interval[1])]
    caption = (
        "Each parameter is held along its axis and the others are refitted; the rise is in units of the one at which "
        f"the 95 % interval ends. {len(curves) - len(open_ones)} of {len(curves)} parameters are identified"
    )
    caption += f"; not identified, so without a number: {', '.join(open_ones)} (red)." if open_ones else "."
    for curve in bounded:
        caption += f" {curve.name} {figures(curve.best)} [{figures(curve.interval[0])}, {figures(curve.interval[1])}]."
    caption += (
        " The vertical line is the fit's value; a curve is the lower of two rises, of the fit's own objective and of"
    )
    caption += " one matched to the noise."
    if entropy is not None:
        caption += f" {compared(fit, entropy)}"
    lower = [curve.name for curve in curves if float(curve.rise_G.min()) < -SEEN]
    if lower:
        caption += f" Along {', '.join(lower)} a lower valley than the fit's was met: the curve is 0 there."
    alt = f"profiles of {', '.join(curve.name for curve in curves)}; " + (
        f"open: {', '.join(open_ones)}" if open_ones else "each rises on both sides"
    )
    return draw("profiles", "Profiles of the parameters", alt, caption, paint, 0.4 + 1.9 * num_rows)


def _open_below(curve: ProfileCurve) -> bool:
    return curve.not_identified and math.isfinite(curve.interval[1])


def _panel(panel: "Axes", curve: ProfileCurve) -> None:
    colour = RED if curve.not_identified else BLUE
    low, high = float(curve.value_G[0]), float(curve.value_G[-1])
    if curve.positive and high / low > 1.5 and not _open_below(curve):
        log_axis(panel, "x", "N" if high >= 1e4 else "", low, high, margin=0.02, most=5)
    else:
        panel.set_xlim(low, high)
        panel.locator_params(axis="x", nbins=4)
    # A parabola in the root of the rise joins the refits.
    root_G = np.sqrt(np.maximum(curve.rise_G, 0.0)) * np.sign(curve.value_G - curve.value_G[np.argmin(curve.rise_G)])
    place = np.linspace(0, len(root_G) - 1, 12 * len(root_G))
    every = np.arange(len(root_G))
    logarithmic = curve.positive and not _open_below(curve)
    axis_value_G = np.log(curve.value_G) if logarithmic else curve.value_G
    fine = np.interp(place, every, axis_value_G)
    panel.plot(np.exp(fine) if logarithmic else fine, np.interp(place, every, root_G) ** 2, color=colour)
    panel.axhline(1.0, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
    start, end = (min(max(edge, low), high) for edge in curve.interval)
    start = panel.get_xlim()[0] if start == low else start
    if start < end:
        panel.axvspan(start, end, color=colour, alpha=BAND_OPACITY, linewidth=0)
    if curve.not_identified:
        above = not math.isfinite(curve.interval[1])
        panel.set_title(f"{curve.name}: not identified, open {'above' if above else 'below'}", color=RED)
    else:
        panel.axvline(curve.best, color=INK, linewidth=0.8)
        panel.set_title(f"{curve.name} = {figures(curve.best)}")
    panel.set_ylim(0, HIGHEST)
