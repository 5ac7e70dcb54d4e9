"""What the report of curves says first: how far the held-out curves lay from what was sealed of them."""

import math
from typing import TYPE_CHECKING

from windtunnel.analysis.curves.score import Against, LawOutcome, NoiseAlone

if TYPE_CHECKING:
    from windtunnel.analysis.report.curve_report import CurveReport

REPLACED = "could not be sealed"
LARGEST = 10.0  # an error above it, as a share, is a law that says nothing there: its number would tell no more


def curve_headline(report: "CurveReport") -> tuple[str, ...]:
    """Sentences for people, the study's own law first and then its difference to each baseline."""
    first = report.asked[0]
    replaced = () if report.own == first else (f"The study's own law, {first}, {REPLACED}: this is of {report.own}.",)
    fit = report.fits.get(report.own)
    if fit is None and report.prediction is None:
        return (*replaced, f"{first} could not be fitted to the {len(report.fitted)} curves of the family.")
    found = report.outcome
    if found is None:
        waiting = f"{len(report.schedules)} held-out schedules are sealed and have no curve yet"
        what = waiting if report.sealed else "the study has no held-out schedules"
        return (*replaced, f"{named(report)} was fitted to {len(report.fitted)} curves; {what}.")
    finals = {each.asked: each.final for each in report.outcomes}
    beside = [_against(each, found.final, finals[each.baseline]) for each in found.against]
    return (*replaced, _curves(report, found), _finals(found, report.noise), *beside)


def off(share: float) -> str:
    """An error in per cent."""
    return f"over {100 * LARGEST:,.0f} %" if share > LARGEST else f"{100 * share:.2g} %"


def named(report: "CurveReport") -> str:
    """The report's own law, and what the training curves made of `auto`."""
    law = report.prediction.law if report.prediction is not None else report.fits[report.own].law
    return report.own if law == report.own else f"{report.own}, which became {law},"


def _curves(report: "CurveReport", found: LawOutcome) -> str:
    runs = {each.run for each in found.curves}
    schedules = sum(any(run in runs for run in each.runs) for each in report.schedules)
    prediction = report.prediction
    sizes = len({target.size for target in prediction.targets}) if prediction is not None else 0
    return (
        f"{named(report)} said {_count(len(found.curves), 'curve')} of {_count(schedules, 'schedule')} and "
        f"{_count(sizes, 'size')} before they were trained: mean relative error "
        f"{off(found.mean_abs_relative_error)}, worst point {off(found.worst)}{_seed_means(found, report.floor)}."
    )


def _seed_means(found: LawOutcome, floor: NoiseAlone | None) -> str:
    means = found.seed_means
    if means is None:
        return ""
    text = f"; of the means over seeds, {off(means.mean_abs_relative_error)} and {off(means.worst)}"
    if floor is None:
        return text
    right = f"{off(floor.seed_means_mean_abs_relative_error)} and {off(floor.seed_means_worst)}"
    return f"{text}, where a law that is right would have {right} by noise between seeds alone"


def _finals(found: LawOutcome, noise: float | None) -> str:
    text = f"Final losses, means over seeds: {off(found.final)} off (root mean square)"
    if found.final_in_noise is not None and noise is not None:
        text += f", {in_noise(found)} times the noise between seeds of {100 * noise:.2g} %"
    inside = [each.inside_90 for each in found.curves if each.inside_90 is not None]
    if inside:
        text += f"; {sum(inside)} of {len(inside)} ({sum(inside) / len(inside):.0%}) inside their 90 % intervals"
    return f"{text}."


def in_noise(found: LawOutcome) -> str:
    """The error of final losses in standard deviations between seeds."""
    ratio = found.final_in_noise
    return "–" if ratio is None else f"{ratio:.2g}" if ratio < 100 else f"{ratio:,.0f}"


def _against(each: Against, own_final: float, final: float) -> str:
    side = "below" if each.difference < 0 else "above"
    much = f"over {100 * LARGEST:,.0f}" if abs(each.difference) > LARGEST else f"{abs(100 * each.difference):.2g}"
    text = f"Its mean error is {much} percentage points {side} that of {each.baseline}"
    if each.interval_90 is None:
        text += "; of one schedule there is no interval, so whether that holds for others is not known"
    else:
        text += f", 90 % interval of the difference over schedules {interval(each)}: {verdict(each)}"
    return f"{text}. Final losses: {off(own_final)} off, and {off(final)} by {each.baseline}."


def interval(each: Against) -> str:
    """In percentage points."""
    return f"[{', '.join(map(points, each.interval_90 or ()))}]"


def points(share: float) -> str:
    """A difference of errors in percentage points, as far as it is told (`LARGEST`)."""
    if abs(share) > LARGEST:
        return f"{'<' if share < 0 else '>'} {math.copysign(100 * LARGEST, share):+,.0f}"
    return f"{100 * share:+.2g}" if abs(share) < 1 else f"{100 * share:+,.0f}"


def verdict(each: Against) -> str:
    """Whether the interval of the difference excludes zero."""
    if each.interval_90 is None:
        return "not known"
    low, high = each.interval_90
    if high < 0:
        return "excludes zero, better"
    if low > 0:
        return "excludes zero, worse"
    return "holds zero, not told apart"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
