"""What is refused of a study of curves before anything is trained."""

from windtunnel.analysis.curves.ensemble import AUTO
from windtunnel.analysis.curves.fit import curve_objective
from windtunnel.analysis.curves.from_file import LEAST_POINTS
from windtunnel.analysis.curves.from_runs import Losses
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.predict import listed, near_peaks
from windtunnel.analysis.curves.target import logged_times
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.sweeps.study.schema import CurveAnalysis
from windtunnel.train.config.config import RunConfig
from windtunnel.train.errors import InputError
from windtunnel.train.milestones import milestones_of

FINER = {"training": "logging.every_steps", "validation": "logging.evaluation_interval_tokens"}


def curve_analysis(plan: Plan) -> CurveAnalysis:
    analysis = plan.file.study.analysis
    assert analysis is not None
    assert analysis.curves is not None
    return analysis.curves


def check_laws(plan: Plan) -> None:
    """Raises InputError, naming the line, where a law of curves cannot be had."""
    analysis = curve_analysis(plan)
    try:
        curve_objective(analysis.objective)
    except InputError as error:
        raise plan.file.fault(("analysis", "curves", "objective"), str(error)) from None
    sizes = {run.parameters.non_embedding for run in plan.of("family")}
    others = {run.parameters.non_embedding for run in plan.of("target")} - sizes
    for place, name in enumerate(analysis.laws):
        try:
            if name != AUTO and curve_law(name).specialise is None and len(sizes) > 1:
                raise InputError(f"the family has {len(sizes)} sizes: {name} is of one; write {name}:N")
            if len(sizes) == 1 and name.endswith(":N"):
                raise InputError(f"the family has one size, and {name} needs two or more: write {name[:-2]}")
            if len(sizes) == 1 and others:
                raise InputError("the family has one size, and a target another: add a size to the family")
        except InputError as error:
            raise plan.file.fault(("analysis", "curves", "laws", place), str(error)) from None
    for run in plan.runs:
        found = _num_losses(run.config, analysis.losses)
        if found < LEAST_POINTS:
            fault = (
                f"{run.run_id} would have {found} of the {LEAST_POINTS} {analysis.losses} losses after its warm-up that"
            )
            raise plan.file.fault(("fixed",), f"{fault} a curve needs: lower {FINER[analysis.losses]}, or train longer")
    rates, batches = ({get(run) for run in plan.of("family")} for get in (_peak_rate, _batch))
    for run in plan.of("target"):
        if not near_peaks(_peak_rate(run), rates):
            fault = f"a target has the peak rate {_peak_rate(run):.3g}, and the family {listed(rates)}"
        elif len(batches) == 1 and _batch(run) not in batches:
            fault = f"a target's updates take {_batch(run):,.0f} tokens, and the family's {listed(batches)}"
        else:
            continue
        raise plan.file.fault(("targets",), f"{fault}: a law of schedules says nothing of others; add runs with it")


def _num_losses(config: RunConfig, losses: Losses) -> int:
    return len(logged_times(config.schedule, losses, milestones_of(config), config.logging.every_steps))


def _peak_rate(run: PlannedRun) -> float:
    return run.config.optimizer.rate


def _batch(run: PlannedRun) -> float:
    return run.config.tokens_per_step
