"""What the report of curves says first: how far the held-out curves lay from what was sealed of them."""

from typing import TYPE_CHECKING

from analysis.curves.outcome import Against, LawOutcome

if TYPE_CHECKING:
    from analysis.report.curve_report import CurveReport

REPLACED = "could not be sealed"


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
    return (*replaced, _curves(report, found), _finals(found, report.noise), *map(_against, found.against))


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
        f"{100 * found.mean_abs_relative_error:.2g} %, worst point {100 * found.worst:.2g} %."
    )


def _finals(found: LawOutcome, noise: float | None) -> str:
    text = f"Final losses, means over seeds: {100 * found.final:.2g} % off (root mean square)"
    if found.final_in_noise is not None and noise is not None:
        text += f", {found.final_in_noise:.2g} times the noise between seeds of {100 * noise:.2g} %"
    inside = [each.inside_90 for each in found.curves if each.inside_90 is not None]
    if inside:
        text += f"; {sum(inside)} of {len(inside)} ({sum(inside) / len(inside):.0%}) inside their 90 % intervals"
    return f"{text}."


def _against(each: Against) -> str:
    side = "below" if each.difference < 0 else "above"
    text = f"Its mean error is {abs(100 * each.difference):.2g} percentage points {side} that of {each.baseline}"
    if each.interval_90 is None:
        return f"{text}; of one schedule there is no interval, so whether that holds for others is not known."
    low, high = (100 * end for end in each.interval_90)
    return f"{text}, difference {low:+.2g} to {high:+.2g} (90 % interval over schedules): {verdict(each)}."


def verdict(each: Against) -> str:
    """Whether the interval of the difference excludes zero."""
    if each.interval_90 is None:
        return "not known"
    low, high = each.interval_90
    if high < 0:
        return "zero is excluded, it is better"
    if low > 0:
        return "zero is excluded, it is worse"
    return "zero is not excluded, the two are not told apart"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
