"""The backtest: the error of each law on held-out larger runs, and the coverage of its 90 % intervals."""

from typing import TYPE_CHECKING

from windtunnel.analysis.comparison.ranking import RankedLaw, Ranking
from windtunnel.analysis.report.figures.figure import RenderedFigure, render_figure
from windtunnel.analysis.report.figures.style import BLUE, INK, MUTED, ORANGE, PAPER, log_axis
from windtunnel.analysis.report.number_format import format_magnitude

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure

NOMINAL_COVERAGE = 90.0
SMALLEST_ERROR = 1e-3  # per cent: smaller errors are rounding and are drawn here


def backtest_figure(ranking: Ranking, law: str) -> RenderedFigure | None:
    """None where no law could be fitted to the smaller runs. `law` is the one that the report is about."""
    shown = [ranked for ranked in ranking.laws if ranked.held_out_mean_abs_relative_error is not None]
    if not shown:
        return None
    mean = [max(SMALLEST_ERROR, 100 * (ranked.held_out_mean_abs_relative_error or 0.0)) for ranked in shown]
    worst = [max(SMALLEST_ERROR, 100 * (ranked.held_out_worst or 0.0)) for ranked in shown]

    def paint(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.6, 1])
        rows = list(range(len(shown)))[::-1]
        for row, low, high, ranked in zip(rows, mean, worst, shown, strict=True):
            color = MUTED if ranked.baseline else BLUE
            left.plot([low, high], [row, row], color=MUTED, linewidth=1.0, zorder=2)
            left.scatter([low], [row], s=42, color=color, edgecolor=PAPER, zorder=3)
            left.scatter([high], [row], s=26, facecolor=PAPER, edgecolor=color, zorder=3)
            if ranked.coverage_90 is not None:
                right.scatter([100 * ranked.coverage_90], [row], s=42, color=color, edgecolor=PAPER, zorder=3)
        log_axis(left, "x", "error", min(mean), max(worst), margin=0.08)
        left.set_yticks(rows, [f"{ranked.law} (baseline)" if ranked.baseline else ranked.law for ranked in shown])
        left.set_ylim(-0.6, len(shown) - 0.4)
        left.set_xlabel("held-out error (%): mean ●, worst ○")
        for label, ranked in zip(left.get_yticklabels(), shown, strict=True):
            label.set_color(INK)
            label.set_fontweight("bold" if ranked.law == law else "normal")
        right.axvline(NOMINAL_COVERAGE, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
        right.set_xlim(-4, 104)
        right.set_xticks([0, 25, 50, 70, 90])
        right.set_xlabel("outcomes in the 90 % interval (%)")
        for panel in (left, right):
            panel.grid(False, axis="y")
            panel.tick_params(axis="y", length=0)

    alt = "held-out error by law: " + ", ".join(
        f"{ranked.law} {error:.2g} %" for ranked, error in zip(shown, mean, strict=True)
    )
    summary = f"best: {shown[0].law}, mean error {mean[0]:.2g} %"
    caption = _caption(ranking, shown[0], mean[0], worst[0])
    return render_figure("backtest", "Backtest", alt, caption, paint, 1.1 + 0.32 * len(shown), summary)


def _caption(ranking: Ranking, best: RankedLaw, mean: float, worst: float) -> str:
    text = f"Laws fitted to the smaller runs and scored on the larger ones, over {len(ranking.cuts)} growing cuts"
    if ranking.cuts:
        last = ranking.cuts[-1]
        largest = format_magnitude(last.largest_fitted, "C")
        text += f" (the last: {last.fitted} rows up to {largest} fitted, {last.held_out} held out)"
    text += f". Best: {best.law}, mean error {mean:.2g} %, worst {worst:.2g} %"
    if best.coverage_90 is not None:
        text += f", {100 * best.coverage_90:.0f} % of the outcomes in its 90 % intervals"
    text += "."
    refused = [ranked for ranked in ranking.laws if ranked.held_out_mean_abs_relative_error is None]
    if refused:
        text += " Not fitted: " + "; ".join(f"{ranked.law} ({ranked.status})" for ranked in refused) + "."
    return text + "".join(f" {note[0].upper()}{note[1:]}." for note in ranking.notes)
