"""Held-out schedules and what people call them: `WSD, 1-sqrt 10 %`, `cosine, 3.75M tokens`.

A name says no more than it takes to tell the schedules of one study apart: the length only where it is not that of
most, other settings only where two names would be equal.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.score import schedule_of
from windtunnel.analysis.curves.seal import PredictedCurve
from windtunnel.analysis.report.figures.style import short
from windtunnel.train.schedules import Schedule, ScheduleShape

SHAPES = {"wsd": "WSD"}


@dataclass(frozen=True)
class HeldOut:
    """A schedule with its targets, which are of different sizes."""

    name: str
    schedule: Schedule
    targets: tuple[PredictedCurve, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(run for target in self.targets for run in target.runs)


def held_out_schedules(targets: Sequence[PredictedCurve], trained: Mapping[str, Curve]) -> tuple[HeldOut, ...]:
    """Like beside like; lengths are in tokens where a trained curve says how many an update takes."""
    groups: dict[str, list[PredictedCurve]] = {}
    for target in sorted(targets, key=_place):
        groups.setdefault(schedule_of(target), []).append(target)
    schedules = [Schedule(**each[0].schedule) for each in groups.values()]
    lengths = [_length(schedule, each, trained) for schedule, each in zip(schedules, groups.values(), strict=True)]
    names = _names(schedules, lengths)
    return tuple(
        HeldOut(name, schedule, tuple(each))
        for name, schedule, each in zip(names, schedules, groups.values(), strict=True)
    )


def _place(target: PredictedCurve) -> tuple[int, str, float, int, float]:
    """By shape, then the shortest decay and the shortest run first."""
    schedule = Schedule(**target.schedule)
    decay = round(schedule.decay_steps / schedule.total_steps, 3)
    shape = get_args(ScheduleShape).index(schedule.shape)
    return shape, schedule.decay_shape, decay, schedule.total_steps, target.size


def tokens_per_update(targets: Sequence[PredictedCurve], trained: Mapping[str, Curve]) -> float | None:
    """None where no run of these targets was trained, or they differ."""
    found = {trained[run].batch for target in targets for run in target.runs if run in trained}
    return found.pop() if len(found) == 1 else None


def _length(schedule: Schedule, targets: Sequence[PredictedCurve], trained: Mapping[str, Curve]) -> str:
    batch = tokens_per_update(targets, trained)
    if batch is None:
        return f"{schedule.total_steps:,} updates"
    return f"{short(batch * schedule.total_steps, 'D')} tokens"


def _names(schedules: Sequence[Schedule], lengths: Sequence[str]) -> list[str]:
    (common, times), *others = Counter(lengths).most_common(2)
    if others and others[0][1] == times:
        common = ""
    names = [
        _plain(schedule) + (f", {length}" if length != common else "")
        for schedule, length in zip(schedules, lengths, strict=True)
    ]
    for detail in DETAILS:
        said = [detail(schedule) for schedule in schedules]
        names = [
            f"{name}, {own}" if len({said[other] for other, twin in enumerate(names) if twin == name}) > 1 else name
            for name, own in zip(names, said, strict=True)
        ]
    # What is left differs in nothing that is named here.
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name} ({seen[name]})" if names.count(name) > 1 else name)
    return numbered


def _plain(schedule: Schedule) -> str:
    if schedule.shape == "wsd" and schedule.decay_shape == "step":
        return f"two stages, from {100 * schedule.decay_start / schedule.total_steps:.0f} % on"
    if schedule.shape == "wsd":
        return f"WSD, {schedule.decay_shape} {100 * schedule.decay_steps / schedule.total_steps:.0f} %"
    return SHAPES.get(schedule.shape, schedule.shape)


def _decay(schedule: Schedule) -> str:
    return _percent(schedule.decay_steps / schedule.total_steps)


def _percent(share: float) -> str:
    return f"{round(100 * share, 1):g} %"


DETAILS: tuple[Callable[[Schedule], str], ...] = (
    lambda schedule: f"decay {_decay(schedule)}",
    lambda schedule: f"{schedule.decay_shape} decay",
    lambda schedule: f"to {_percent(schedule.final_fraction)}",
    lambda schedule: f"exponent {schedule.power_exponent:g}",
    lambda schedule: " ".join(f"{share:g}:{value:g}" for share, value in schedule.knots),
    lambda schedule: f"{schedule.total_steps:,} updates",
)
