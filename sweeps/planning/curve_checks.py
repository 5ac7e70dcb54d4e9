"""Checks of a study of loss curves, before anything is trained."""

from collections.abc import Sequence

from windtunnel.analysis.curves.curve import MIN_POINTS, LossKind
from windtunnel.analysis.curves.domain import format_values, near_fitted_peaks
from windtunnel.analysis.curves.ensemble import AUTO
from windtunnel.analysis.curves.fit import curve_objective
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.target import logged_times
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.sweeps.study.schema import CurveAnalysis
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError
from windtunnel.train.milestones import milestones_of

INTERVAL_KEYS = {"training": "logging.every_steps", "validation": "logging.evaluation_interval_tokens"}


def curve_analysis(plan: Plan) -> CurveAnalysis:
    """`analysis.curves` of a study that has it."""
    analysis = plan.file.study.analysis
    assert analysis is not None
    assert analysis.curves is not None
    return analysis.curves


def check_curves(plan: Plan) -> None:
    """Raises InputError with the line where a curve law cannot be fitted to the family or cannot predict a target."""
    analysis = curve_analysis(plan)
    with plan.file.located(("analysis", "curves", "objective")):
        curve_objective(analysis.objective)
    _check_laws(plan, analysis.laws)
    for run in plan.runs:
        number = _num_losses(run.config, analysis.losses)
        if number < MIN_POINTS:
            raise plan.file.error_at(
                ("fixed",),
                f"{run.run_id} would have {number} {analysis.losses} losses after its warm-up, and a curve needs "
                f"{MIN_POINTS}: lower {INTERVAL_KEYS[analysis.losses]}, or train longer",
            )
    _check_targets(plan)


def _check_laws(plan: Plan, laws: Sequence[str]) -> None:
    sizes = {run.parameters.non_embedding for run in plan.family}
    other_sizes = {run.parameters.non_embedding for run in plan.targets} - sizes
    for index, name in enumerate(laws):
        with plan.file.located(("analysis", "curves", "laws", index)):
            if name != AUTO and curve_law(name).specialize is None and len(sizes) > 1:
                raise InputError(f"the family has {len(sizes)} sizes and {name} is a law of one size: write {name}:N")
            if len(sizes) == 1 and name.endswith(":N"):
                raise InputError(f"the family has one size and {name} needs two or more: write {name[:-2]}")
            if len(sizes) == 1 and other_sizes:
                raise InputError("the family has one size and a target has another: add a size to the family")


def _check_targets(plan: Plan) -> None:
    """A law of schedules holds for the peak rates and the batch sizes of its family."""
    rates, batches = ({value(run) for run in plan.family} for value in (_peak_rate, _batch))
    for run in plan.targets:
        if not near_fitted_peaks(_peak_rate(run), rates):
            problem = f"a target has the peak rate {_peak_rate(run):.3g} and the family {format_values(rates)}"
        elif len(batches) == 1 and _batch(run) not in batches:
            problem = f"a target has {_batch(run):,.0f} tokens per step and the family {format_values(batches)}"
        else:
            continue
        raise plan.file.error_at(
            ("targets",), f"{problem}: a law of schedules does not hold for others; add family runs with it"
        )


def _num_losses(config: RunConfig, losses: LossKind) -> int:
    return len(logged_times(config.schedule, losses, milestones_of(config), config.logging.every_steps))


def _peak_rate(run: PlannedRun) -> float:
    return run.config.optimizer.rate


def _batch(run: PlannedRun) -> float:
    return run.config.tokens_per_step
