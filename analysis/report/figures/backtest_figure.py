"""What each law said of the larger runs it had not seen: its error, and how often its intervals held the outcome."""

from typing import TYPE_CHECKING

from windtunnel.analysis.comparison.backtest import Ranking
from windtunnel.analysis.report.figures.figure import Drawing, draw
from windtunnel.analysis.report.figures.style import BLUE, INK, MUTED, ORANGE, PAPER, log_axis, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOMINAL = 90.0
SMALLEST_ERROR = 1e-3  # per cent: below it an error is rounding, and a logarithmic axis has no room for it


def backtest_figure(ranking: Ranking, subject: str) -> Drawing | None:
    """None where no law could be fitted to the smaller runs. `subject`: the law the report is about."""
    shown = [each for each in ranking.laws if each.held_out_mean_abs_relative_error is not None]
    if not shown:
        return None
    place = list(range(len(shown)))[::-1]
    mean = [max(SMALLEST_ERROR, 100 * (each.held_out_mean_abs_relative_error or 0.0)) for each in shown]
    worst = [max(SMALLEST_ERROR, 100 * (each.held_out_worst or 0.0)) for each in shown]

    def paint(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.6, 1])
        for number, low, high, each in zip(place, mean, worst, shown, strict=True):
            left.plot([low, high], [number, number], color=MUTED, linewidth=1.0, zorder=2)
            colour = MUTED if each.rival else BLUE
            left.scatter([low], [number], s=42, color=colour, edgecolor=PAPER, zorder=3)
            left.scatter([high], [number], s=26, facecolor=PAPER, edgecolor=colour, zorder=3)
            if each.coverage_90 is not None:
                right.scatter([100 * each.coverage_90], [number], s=42, color=colour, edgecolor=PAPER, zorder=3)
        log_axis(left, "x", "error", min(mean), max(worst), margin=0.08)
        left.set_yticks(place, [f"{each.law} (plain)" if each.rival else each.law for each in shown])
        left.set_ylim(-0.6, len(shown) - 0.4)
        left.set_xlabel("held-out error (%): mean ●, worst ○")
        for label, each in zip(left.get_yticklabels(), shown, strict=True):
            label.set_color(INK)
            label.set_fontweight("bold" if each.law == subject else "normal")
        right.axvline(NOMINAL, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
        right.set_xlim(-4, 104)
        right.set_xticks([0, 25, 50, 70, 90])
        right.set_xlabel("outcomes in the 90 % interval (%)")
        for panel in (left, right):
            panel.grid(False, axis="y")
            panel.tick_params(axis="y", length=0)

    best = shown[0]
    caption = f"Fitted to the smaller runs and scored on the larger, over {len(ranking.cuts)} growing cuts"
    if ranking.cuts:
        fitted, held, largest, _ = ranking.cuts[-1]
        caption += f" (the last: {fitted} rows up to {short(largest, 'C')} fitted, {held} held out)"
    caption += f". Best: {best.law}, mean error {mean[0]:.2g} %, worst {worst[0]:.2g} %"
    if best.coverage_90 is not None:
        caption += f", {100 * best.coverage_90:.0f} % of the outcomes in its 90 % intervals"
    caption += "."
    unfitted = [each for each in ranking.laws if each.held_out_mean_abs_relative_error is None]
    if unfitted:
        caption += " Not fitted: " + "; ".join(f"{each.law} ({each.status})" for each in unfitted) + "."
    for note in ranking.notes:
        caption += f" {note[0].upper()}{note[1:]}."
    alt = "held-out error by law: " + ", ".join(
        f"{each.law} {error:.2g} %" for each, error in zip(shown, mean, strict=True)
    )
    return draw("backtest", "Back-test", alt, caption, paint, 1.1 + 0.32 * len(shown))
