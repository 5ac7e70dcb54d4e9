"""Held-out schedules and their labels: `WSD, 1-sqrt 10 %`, `cosine, 3.75M tokens`.

A label has only what distinguishes the schedules of one study: the length where it is not that of most, further
settings where two labels would be equal.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.score import schedule_key
from windtunnel.analysis.curves.seal import PredictedCurve
from windtunnel.analysis.report.number_format import format_magnitude
from windtunnel.train.schedules import Schedule, ScheduleShape

SHAPE_LABELS = {"wsd": "WSD"}


@dataclass(frozen=True)
class HeldOutSchedule:
    """A schedule with its targets, one for each size."""

    name: str
    schedule: Schedule
    targets: tuple[PredictedCurve, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(run for target in self.targets for run in target.runs)


def held_out_schedules(
    targets: Sequence[PredictedCurve], measured: Mapping[str, LossCurve]
) -> tuple[HeldOutSchedule, ...]:
    """The targets grouped by schedule, similar ones side by side.

    Lengths are in tokens where a measured curve gives the tokens of an update.
    """
    groups: dict[str, list[PredictedCurve]] = {}
    for target in sorted(targets, key=_sort_key):
        groups.setdefault(schedule_key(target), []).append(target)
    schedules = [Schedule(**group[0].schedule) for group in groups.values()]
    lengths = [_length(schedule, group, measured) for schedule, group in zip(schedules, groups.values(), strict=True)]
    labels = _labels(schedules, lengths)
    return tuple(
        HeldOutSchedule(label, schedule, tuple(group))
        for label, schedule, group in zip(labels, schedules, groups.values(), strict=True)
    )


def tokens_per_update(targets: Sequence[PredictedCurve], measured: Mapping[str, LossCurve]) -> float | None:
    """None where no run of these targets was trained, or they differ."""
    batches = {measured[run].batch for target in targets for run in target.runs if run in measured}
    return batches.pop() if len(batches) == 1 else None


def _sort_key(target: PredictedCurve) -> tuple[int, str, float, int, float]:
    """Shape, then the shortest decay and the shortest run first."""
    schedule = Schedule(**target.schedule)
    decay = round(schedule.decay_steps / schedule.total_steps, 3)
    shape = get_args(ScheduleShape).index(schedule.shape)
    return shape, schedule.decay_shape, decay, schedule.total_steps, target.size


def _length(schedule: Schedule, targets: Sequence[PredictedCurve], measured: Mapping[str, LossCurve]) -> str:
    batch = tokens_per_update(targets, measured)
    if batch is None:
        return f"{schedule.total_steps:,} updates"
    return f"{format_magnitude(batch * schedule.total_steps, 'D')} tokens"


def _labels(schedules: Sequence[Schedule], lengths: Sequence[str]) -> list[str]:
    (common, count), *others = Counter(lengths).most_common(2)
    if others and others[0][1] == count:
        common = ""
    labels = [
        _short_label(schedule) + (f", {length}" if length != common else "")
        for schedule, length in zip(schedules, lengths, strict=True)
    ]
    for describe in DETAILS:
        details = [describe(schedule) for schedule in schedules]
        labels = [
            f"{label}, {detail}"
            if len({other for other, same in zip(details, labels, strict=True) if same == label}) > 1
            else label
            for label, detail in zip(labels, details, strict=True)
        ]
    # Schedules with equal labels differ in none of the details: they are numbered.
    seen: Counter[str] = Counter()
    numbered = []
    for label in labels:
        seen[label] += 1
        numbered.append(f"{label} ({seen[label]})" if labels.count(label) > 1 else label)
    return numbered


def _short_label(schedule: Schedule) -> str:
    if schedule.shape == "wsd" and schedule.decay_shape == "step":
        return f"two stages, from {100 * schedule.decay_start / schedule.total_steps:.0f} % on"
    if schedule.shape == "wsd":
        return f"WSD, {schedule.decay_shape} {100 * schedule.decay_steps / schedule.total_steps:.0f} %"
    return SHAPE_LABELS.get(schedule.shape, schedule.shape)


def _percent(share: float) -> str:
    return f"{round(100 * share, 1):g} %"


DETAILS: tuple[Callable[[Schedule], str], ...] = (
    lambda schedule: f"decay {_percent(schedule.decay_steps / schedule.total_steps)}",
    lambda schedule: f"{schedule.decay_shape} decay",
    lambda schedule: f"to {_percent(schedule.final_fraction)}",
    lambda schedule: f"exponent {schedule.power_exponent:g}",
    lambda schedule: " ".join(f"{share:g}:{value:g}" for share, value in schedule.knots),
    lambda schedule: f"{schedule.total_steps:,} updates",
)
