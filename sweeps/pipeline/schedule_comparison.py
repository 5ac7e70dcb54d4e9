"""Schedules of one run compared by their predicted final loss, the best ones searched for among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.optimal_schedule.gain import (
    ScheduleGain,
    final_loss_function,
    schedule_gain,
    schedule_warnings,
)
from windtunnel.analysis.curves.optimal_schedule.knots import format_knots
from windtunnel.analysis.curves.optimal_schedule.search import (
    MIN_MULTIPLIER,
    OptimalSchedule,
    optimize_free_schedule,
)
from windtunnel.analysis.curves.optimal_schedule.wsd import decay_fraction_range, optimize_wsd
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.sweeps.pipeline.run_curve import config_from_settings, curve_from_config, name_of
from windtunnel.train.config.config import RunConfig
from windtunnel.train.schedules import Schedule

WARMUP_KEYS = ("schedule.warmup_tokens", "schedule.warmup_fraction")  # shared by all schedules
LONGER = 1.01  # than the longest fitted curve, by this factor, is noted


@dataclass(frozen=True)
class ComparedSchedule:
    """One schedule, and the settings that train it. `gain` is relative to the reference."""

    name: str
    settings: list[str]
    config: RunConfig
    loss: float
    gain: ScheduleGain


@dataclass(frozen=True)
class ScheduleComparison:
    """Schedules of the run that `settings` describe; the first is the reference. `settings` are shared by all."""

    fit: FittedCurveLaw
    reference: LossCurve
    settings: list[str]
    schedules: list[ComparedSchedule]
    warnings: list[str]
    notes: list[str]

    @property
    def config(self) -> RunConfig:
        return self.schedules[0].config

    @property
    def best_free(self) -> ComparedSchedule:
        return self.schedules[-1]

    def to_dict(self) -> dict[str, Any]:
        """As JSON. Gains are shares of the reference's loss."""
        return {
            "law": self.fit.law,
            "status": self.fit.status,
            "steps": self.config.schedule.total_steps,
            "warmup_steps": self.config.schedule.warmup_steps,
            "peak_rate": self.config.optimizer.rate,
            "size": self.reference.size,
            "extrapolation": {"steps": float(self.reference.time_P[-1]) / self.fit.last_update},
            "schedules": [
                {
                    "schedule": schedule.name,
                    "loss": schedule.loss,
                    "gain": schedule.gain.gain,
                    "gain_interval_90": None if schedule.gain.interval_90 is None else list(schedule.gain.interval_90),
                    "settings": [*self.settings, *schedule.settings],
                }
                for schedule in self.schedules
            ],
            "best": min(self.schedules, key=lambda schedule: schedule.loss).name,
            "warnings": self.warnings,
            "notes": self.notes,
        }


def compare_schedules(fit: FittedCurveLaw, settings: Sequence[str], min_rate: float = 0.0) -> ScheduleComparison:
    """Compare the requested schedule of a run with cosine, the best WSD and the best schedule of any form.

    `settings` are those of `windtunnel train`. Schedules that are searched for stay above `min_rate`, a fraction of the
    peak rate. Raises InputError for bad settings, and where the law has no best schedule or does not apply to the run.
    """
    shared, requested = _split_settings(settings)
    config = config_from_settings([*shared, *requested])
    reference = curve_from_config(config, name_of(settings) or "the default run")
    fit.domain.check(reference)
    final_loss = final_loss_function(fit, reference)
    total_steps, warmup_steps = config.schedule.total_steps, config.schedule.warmup_steps

    def compared(name: str, own_settings: list[str]) -> ComparedSchedule:
        """The loss is predicted for the run that the settings resolve to, with rounded steps."""
        own_config = config_from_settings([*shared, *own_settings])
        curve = curve_from_config(own_config, name)
        gain = schedule_gain(fit, reference, curve)
        return ComparedSchedule(name, own_settings, own_config, float(fit.predict_losses(curve)[-1]), gain)

    wsd = optimize_wsd(final_loss, total_steps, warmup_steps, min_rate)
    free = optimize_free_schedule(final_loss, total_steps, warmup_steps, min_rate, start=wsd.schedule)
    schedules = [
        compared(f"requested: {_format_schedule(config.schedule)}", requested),
        compared("cosine to 0", ["schedule=cosine", "schedule.final_fraction=0.0"]),
        compared("cosine to 10 %", ["schedule=cosine", "schedule.final_fraction=0.1"]),
        compared(f"best wsd: {_format_schedule(wsd.schedule)}", _settings_of(wsd)),
    ]
    if free.gradual is not None and free.gradual != free.best:
        schedules.append(compared("best free without a jump", _settings_of(free.gradual)))
    schedules.append(compared("best free", _settings_of(free.best)))
    warnings = [
        f"the best free schedule {warning}"
        for warning in schedule_warnings(free.best.schedule, max(min_rate, MIN_MULTIPLIER))
    ]
    warnings += _wsd_warnings(wsd, total_steps, warmup_steps)
    return ScheduleComparison(fit, reference, shared, schedules, warnings, _notes(fit, reference))


def _split_settings(settings: Sequence[str]) -> tuple[list[str], list[str]]:
    """The settings that all schedules share, and those of the requested schedule."""
    shared: list[str] = []
    requested: list[str] = []
    for setting in settings:
        key = setting.lstrip("+~").partition("=")[0]
        is_schedule = key == "schedule" or (key.startswith("schedule.") and key not in WARMUP_KEYS)
        (requested if is_schedule else shared).append(setting)
    return shared, requested


def _settings_of(optimum: OptimalSchedule) -> list[str]:
    schedule = optimum.schedule
    if schedule.shape == "piecewise":
        return ["schedule=piecewise", f'schedule.knots="{format_knots(schedule.knots)}"']
    return [
        f"schedule={schedule.shape}",
        f"schedule.decay_fraction={optimum.decay_fraction:g}",
        f"schedule.decay_shape={schedule.decay_shape}",
        f"schedule.final_fraction={schedule.final_fraction:g}",
    ]


def _format_schedule(schedule: Schedule) -> str:
    words: list[str] = [schedule.shape]
    if schedule.decay_steps:
        words.append(f"{100 * schedule.decay_steps / schedule.total_steps:.3g} % {schedule.decay_shape}")
    if schedule.decay_steps or schedule.shape in ("cosine", "linear"):
        words.append(f"to {100 * schedule.final_fraction:.3g}{' %' if schedule.final_fraction else ''}")
    return " ".join(words)


def _wsd_warnings(optimum: OptimalSchedule, total_steps: int, warmup_steps: int) -> list[str]:
    shortest, longest = decay_fraction_range(total_steps, warmup_steps)
    if optimum.decay_fraction <= 1.5 * shortest:
        return ["the best decay of wsd is the shortest possible"]
    return (
        ["the best decay of wsd begins at the end of the warm-up"] if optimum.decay_fraction >= 0.99 * longest else []
    )


def _notes(fit: FittedCurveLaw, reference: LossCurve) -> list[str]:
    notes = []
    length = float(reference.time_P[-1]) / fit.last_update
    if length > LONGER:
        notes.append(f"{length:.3g} times as long as the longest fitted curve")
    if not fit.num_replicates:
        notes.append("the fit has no bootstrap replicates, so gains have no intervals")
    if fit.not_identified:
        names = ", ".join(fit.not_identified)
        notes.append(f"{names}: not identified by the fitted curves; for other schedules the gain may be zero")
    return notes
