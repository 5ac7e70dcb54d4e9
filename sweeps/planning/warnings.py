"""What a careful reader of a plan would object to, before anything is trained.

The limits are what a study of small ladders found out about its own errors: loss before about a million tokens is a
transient that no law of final losses describes; seeds differ by a per cent; predictions far beyond the data, or of
targets with few tokens per parameter, are optimistic.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from windtunnel.sweeps.planning.extrapolation import Fitted, TargetPoint
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.train.batches import order_of
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import UNPREPARED
from windtunnel.train.config.run_id import compact
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.schedules import multiplier

FEWEST_SIZES, FEWEST_SEEDS, FEWEST_TARGET_SEEDS = 4, 3, 2
LEAST_TOKENS_PER_PARAMETER = 5
LEAST_TOKENS, TINY_PARAMETERS = 1_000_000, 3_000_000
FARTHEST_COMPUTE = 30
LEAST_EVALUATION_TOKENS = 131_072
LARGEST_WARMUP_SHARE = 0.5
LOW_RATE = 0.05  # of the peak: where decays end


def notes_of(plan: Plan, fitted: Fitted, targets: Sequence[TargetPoint]) -> list[str]:
    analysis = plan.file.study.analysis
    of_curves = analysis is not None and analysis.curves is not None
    of_schedules = _of_schedules(plan.of("family"), plan.of("target")) if of_curves else []
    if analysis is not None and not analysis.laws:  # whole curves: schedules differ, and a target lies within the sizes
        return [
            *_of_the_seeds(fitted.runs),
            *of_schedules,
            *_of_evaluation(plan.runs),
            *_of_repetition(plan.runs),
        ]
    return [
        *_of_the_family(fitted.runs),
        *_of_the_rate(plan.of("family")),
        *of_schedules,
        *([f"analysis.where: {fitted.undecided}: ratios are to the whole family"] if fitted.undecided else []),
        *_of_targets(targets),
        *_of_evaluation(plan.runs),
        *_of_repetition(plan.runs),
    ]


def _of_the_family(runs: Sequence[PlannedRun]) -> list[str]:
    notes = []
    sizes = {run.parameters.total for run in runs}
    if len(sizes) < FEWEST_SIZES:
        notes.append(f"{len(sizes)} sizes are fitted: fewer than {FEWEST_SIZES} leave the exponent of N open")
    notes += _of_the_seeds(runs)
    early = sorted(
        {
            f"{compact(run.parameters.non_embedding)} at {compact(run.tokens)}"
            for run in runs
            if run.tokens < LEAST_TOKENS and run.parameters.non_embedding < TINY_PARAMETERS
        }
    )
    if early:
        notes.append(f"{_some(early)}: under {compact(LEAST_TOKENS)} tokens the loss is still a transient: leave out")
    warming = sorted(
        {
            f"{compact(run.parameters.non_embedding)} at {compact(run.tokens)}"
            for run in runs
            if run.config.schedule.warmup_steps > LARGEST_WARMUP_SHARE * run.config.schedule.total_steps
        }
    )
    if warming:
        notes.append(f"{_some(warming)}: warm-up takes over {LARGEST_WARMUP_SHARE:.0%} of the run")
    if len({run.config.schedule.shape for run in runs}) > 1:
        notes.append("schedules are mixed in one fit: their final losses differ by more than laws can carry")
    widths = {run.config.model.width for run in runs}
    if len(widths) > 1 and any(run.config.model.parametrization.name == "standard" for run in runs):
        by_width: dict[int, set[float]] = {}
        for run in runs:
            by_width.setdefault(run.config.model.width, set()).add(run.config.optimizer.rate)
        if len({frozenset(rates) for rates in by_width.values()}) == 1:
            notes.append("one rate for every width under the standard parametrization bends the axis of N: use mup")
    return notes


def _of_the_seeds(runs: Sequence[PlannedRun]) -> list[str]:
    seeds: dict[int, set[int]] = {}
    for run in runs:
        seeds.setdefault(run.parameters.non_embedding, set()).add(run.config.seed)
    few = [compact(size) for size, found in sorted(seeds.items()) if len(found) < FEWEST_SEEDS]
    return [f"fewer than {FEWEST_SEEDS} seeds at {', '.join(few)}: the noise there is hardly known"] if few else []


def _of_schedules(family: Sequence[PlannedRun], targets: Sequence[PlannedRun]) -> list[str]:
    """What laws of curves want of the schedules that they are fitted to."""
    notes = []
    if len({_shape(run) for run in family}) == 1:
        notes.append("the family has one schedule: what another does to the loss no law can tell from it")
    ends = [[_last_rate(run) for run in runs] for runs in (family, targets) if runs]
    if len(ends) == 2 and min(ends[1]) < LOW_RATE < min(ends[0]):
        notes.append(
            f"targets end at {min(ends[1]):.1%} of their peak rate and no run of the family below "
            f"{min(ends[0]):.0%}: ends of decays will be said badly; let one of the family fall to 0"
        )
    return notes


def _shape(run: PlannedRun) -> tuple[object, ...]:
    """What a schedule is beside its length."""
    schedule = run.config.schedule
    decay = round(schedule.decay_steps / schedule.total_steps, 2)
    return schedule.shape, decay, schedule.decay_shape, schedule.final_fraction, schedule.power_exponent, schedule.knots


def _last_rate(run: PlannedRun) -> float:
    """The share of its peak that a run's last update has."""
    schedule = run.config.schedule
    return float(multiplier(schedule, np.array([schedule.total_steps - 1]))[0])


def _of_the_rate(runs: Sequence[PlannedRun]) -> list[str]:
    """Of all of the family: runs at other rates are there to check, and need not be fitted."""
    most = max(run.parameters.total for run in runs)
    largest = [run for run in runs if run.parameters.total == most]
    if len({run.config.optimizer.rate for run in largest}) > 1 or all(run.parameters.total == most for run in runs):
        return []
    name = compact(largest[0].parameters.non_embedding)
    return [f"the learning rate is checked nowhere here: vary optimizer.rate at the largest size, {name}"]


def _of_targets(targets: Sequence[TargetPoint]) -> list[str]:
    notes = []
    for point in targets:
        name = f"the target of {compact(point.runs[0].parameters.non_embedding)} at {compact(point.runs[0].tokens)}"
        if point.tokens_per_parameter < LEAST_TOKENS_PER_PARAMETER:
            notes.append(
                f"{name} has {point.tokens_per_parameter:.2g} tokens per parameter: below "
                f"{LEAST_TOKENS_PER_PARAMETER} predictions come out too low"
            )
        if point.beyond["C"] > FARTHEST_COMPUTE:
            notes.append(
                f"{name} is {point.beyond['C']:.3g} times beyond the data in compute: {FARTHEST_COMPUTE} is far"
            )
        if point.beyond["N"] <= 1 and point.beyond["C"] <= 1:
            notes.append(f"{name} lies within the data: it is no extrapolation")
        if len({run.config.seed for run in point.runs}) < FEWEST_TARGET_SEEDS:
            notes.append(f"{name} has one seed: its score holds that seed's luck")
    return notes


def _of_evaluation(runs: Sequence[PlannedRun]) -> list[str]:
    sizes = {run.config.data.evaluation_tokens for run in runs}
    notes = []
    if min(sizes) < LEAST_EVALUATION_TOKENS:
        notes.append(
            f"evaluation on {min(sizes):,} tokens: below {LEAST_EVALUATION_TOKENS:,} the windows' own error shows"
        )
    if len(sizes) > 1:
        notes.append("runs are evaluated on different sets: their losses are not points of one law")
    return notes


def _of_repetition(runs: Sequence[PlannedRun]) -> list[str]:
    """Data repeated by the longest run of each data set."""
    longest: dict[object, RunConfig] = {}
    for run in runs:
        data = run.config.data
        if data.content_hash != UNPREPARED and data.max_epochs > 1:
            key = (data.content_hash, data.weights, data.unique_tokens, data.sequence_length)
            if key not in longest or run.tokens > longest[key].total_tokens:
                longest[key] = run.config
    notes = []
    for config in longest.values():
        corpus = Corpus(Path(config.runtime.data_directory) / config.data.folder)
        samples = config.schedule.total_steps * config.sequences_per_step
        epochs = order_of(config, corpus).epochs(samples)
        if epochs > 1:
            notes.append(f"the longest run on {config.data.spec} repeats its data: {epochs:.3g} epochs")
    return notes


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
