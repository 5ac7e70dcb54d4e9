"""Warnings about a plan before anything is trained.

The limits come from the errors of small ladders. Losses before about a million tokens are a transient that no law of
final losses describes. Seeds differ by one per cent. Predictions far beyond the data, or of targets with few tokens per
parameter, are too low.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from windtunnel.models.family import format_count
from windtunnel.sweeps.planning.extrapolation import FittedRuns, TargetPoint
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import UNPREPARED
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.order import run_order
from windtunnel.train.schedules import multiplier

MIN_SIZES, MIN_SEEDS, MIN_TARGET_SEEDS = 4, 3, 2
MIN_TOKENS_PER_PARAMETER = 5
MIN_TOKENS, TINY_PARAMETERS = 1_000_000, 3_000_000
MAX_COMPUTE_RATIO = 30
MIN_EVALUATION_TOKENS = 131_072
MAX_WARMUP_SHARE = 0.5
LOW_RATE = 0.05  # of the peak: where decays should end
MAX_SHOWN = 4  # names in one warning


def plan_warnings(plan: Plan, fitted: FittedRuns, targets: Sequence[TargetPoint]) -> list[str]:
    analysis = plan.file.study.analysis
    has_curves = analysis is not None and analysis.curves is not None
    on_schedules = _warn_of_schedules(plan.family, plan.targets) if has_curves else []
    if analysis is not None and not analysis.laws:  # curves alone: schedules differ, and targets are of the same sizes
        return [
            *_warn_of_seeds(fitted.runs),
            *on_schedules,
            *_warn_of_evaluation(plan.runs),
            *_warn_of_repetition(plan.runs),
        ]
    undecided = fitted.undecided
    return [
        *_warn_of_family(fitted.runs),
        *_warn_of_rate(plan.family),
        *on_schedules,
        *([f"analysis.where: {undecided}: ratios are to the whole family"] if undecided else []),
        *_warn_of_targets(targets),
        *_warn_of_evaluation(plan.runs),
        *_warn_of_repetition(plan.runs),
    ]


def _warn_of_family(runs: Sequence[PlannedRun]) -> list[str]:
    warnings = []
    sizes = {run.parameters.total for run in runs}
    if len(sizes) < MIN_SIZES:
        warnings.append(f"{len(sizes)} sizes are fitted: fewer than {MIN_SIZES} do not identify the exponent of N")
    warnings += _warn_of_seeds(runs)
    early = sorted(
        {_name(run) for run in runs if run.tokens < MIN_TOKENS and run.parameters.non_embedding < TINY_PARAMETERS}
    )
    if early:
        warnings.append(
            f"{_join(early)}: under {format_count(MIN_TOKENS)} tokens the loss is still a transient: exclude them"
        )
    warming = sorted(
        {
            _name(run)
            for run in runs
            if run.config.schedule.warmup_steps > MAX_WARMUP_SHARE * run.config.schedule.total_steps
        }
    )
    if warming:
        warnings.append(f"{_join(warming)}: warm-up takes over {MAX_WARMUP_SHARE:.0%} of the run")
    if len({run.config.schedule.shape for run in runs}) > 1:
        warnings.append("schedules are mixed in one fit: their final losses differ by more than a law of N and D fits")
    return warnings + _warn_of_standard_parametrization(runs)


def _warn_of_standard_parametrization(runs: Sequence[PlannedRun]) -> list[str]:
    if not any(run.config.model.parametrization.name == "standard" for run in runs):
        return []
    rates_by_width: dict[int, set[float]] = {}
    for run in runs:
        rates_by_width.setdefault(run.config.model.width, set()).add(run.config.optimizer.rate)
    if len(rates_by_width) < 2 or len({frozenset(rates) for rates in rates_by_width.values()}) > 1:
        return []
    return ["one rate for every width under the standard parametrization biases the exponent of N: use mup"]


def _warn_of_seeds(runs: Sequence[PlannedRun]) -> list[str]:
    seeds_by_size: dict[int, set[int]] = {}
    for run in runs:
        seeds_by_size.setdefault(run.parameters.non_embedding, set()).add(run.config.seed)
    few = [format_count(size) for size, seeds in sorted(seeds_by_size.items()) if len(seeds) < MIN_SEEDS]
    return [f"fewer than {MIN_SEEDS} seeds at {', '.join(few)}: the seed noise there is uncertain"] if few else []


def _warn_of_schedules(family: Sequence[PlannedRun], targets: Sequence[PlannedRun]) -> list[str]:
    """Laws of curves need several schedules, and a decay as far as those of the targets."""
    warnings = []
    if len({_schedule_shape(run) for run in family}) == 1:
        warnings.append("the family has one schedule, which does not show how another schedule changes the loss")
    last_rates = [[_last_rate(run) for run in runs] for runs in (family, targets) if runs]
    if len(last_rates) == 2 and min(last_rates[1]) < LOW_RATE < min(last_rates[0]):
        warnings.append(
            f"targets end at {min(last_rates[1]):.1%} of their peak rate and no run of the family below "
            f"{min(last_rates[0]):.0%}: the ends of decays will be predicted badly; let a family run decay to 0"
        )
    return warnings


def _schedule_shape(run: PlannedRun) -> tuple[object, ...]:
    """The schedule, apart from its length."""
    schedule = run.config.schedule
    decay = round(schedule.decay_steps / schedule.total_steps, 2)
    return schedule.shape, decay, schedule.decay_shape, schedule.final_fraction, schedule.power_exponent, schedule.knots


def _last_rate(run: PlannedRun) -> float:
    """The rate of a run's last update, as a share of its peak."""
    schedule = run.config.schedule
    return float(multiplier(schedule, np.array([schedule.total_steps - 1]))[0])


def _warn_of_rate(runs: Sequence[PlannedRun]) -> list[str]:
    """Looks at the whole family: runs at other rates are a check, and need not be fitted."""
    largest_size = max(run.parameters.total for run in runs)
    largest = [run for run in runs if run.parameters.total == largest_size]
    if len({run.config.optimizer.rate for run in largest}) > 1 or len(largest) == len(runs):
        return []
    size = format_count(largest[0].parameters.non_embedding)
    return [f"the learning rate is not checked at any size: vary optimizer.rate at the largest one, {size}"]


def _warn_of_targets(targets: Sequence[TargetPoint]) -> list[str]:
    warnings = []
    for target in targets:
        name = f"the target of {_name(target.runs[0])}"
        ratio = target.extrapolation
        if target.tokens_per_parameter < MIN_TOKENS_PER_PARAMETER:
            warnings.append(
                f"{name} has {target.tokens_per_parameter:.2g} tokens per parameter: below "
                f"{MIN_TOKENS_PER_PARAMETER} predictions are too low"
            )
        if ratio["C"] > MAX_COMPUTE_RATIO:
            warnings.append(
                f"{name} is {ratio['C']:.3g} times beyond the data in compute, more than {MAX_COMPUTE_RATIO}: its "
                "prediction will be uncertain"
            )
        if ratio["N"] <= 1 and ratio["C"] <= 1:
            warnings.append(f"{name} lies within the data: it is no extrapolation")
        if len({run.config.seed for run in target.runs}) < MIN_TARGET_SEEDS:
            warnings.append(f"{name} has one seed: its score includes the noise of that seed")
    return warnings


def _warn_of_evaluation(runs: Sequence[PlannedRun]) -> list[str]:
    sizes = {run.config.data.evaluation_tokens for run in runs}
    warnings = []
    if min(sizes) < MIN_EVALUATION_TOKENS:
        warnings.append(
            f"evaluation on {min(sizes):,} tokens: below {MIN_EVALUATION_TOKENS:,} the sampling error of the windows "
            "matters"
        )
    if len(sizes) > 1:
        warnings.append("runs are evaluated on different sets: their losses are not comparable in one fit")
    return warnings


def _warn_of_repetition(runs: Sequence[PlannedRun]) -> list[str]:
    """Looks at the longest run on each dataset."""
    longest: dict[object, RunConfig] = {}
    for run in runs:
        data = run.config.data
        if data.content_hash != UNPREPARED and data.max_epochs > 1:
            key = (data.content_hash, data.weights, data.unique_tokens, data.sequence_length)
            if key not in longest or run.tokens > longest[key].total_tokens:
                longest[key] = run.config
    warnings = []
    for config in longest.values():
        corpus = Corpus(Path(config.runtime.data_directory) / config.data.folder)
        samples = config.schedule.total_steps * config.sequences_per_step
        epochs = run_order(config, corpus).epochs(samples)
        if epochs > 1:
            warnings.append(f"the longest run on {config.data.spec} repeats its data: {epochs:.3g} epochs")
    return warnings


def _name(run: PlannedRun) -> str:
    """Size and horizon: "25k at 2M"."""
    return f"{format_count(run.parameters.non_embedding)} at {format_count(run.tokens)}"


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more
