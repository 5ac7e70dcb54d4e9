"""A study of loss curves without training: a family with three schedules and five held-out ones, three sizes, two
seeds. Every loss is that of an annealing law with noise of its run.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from tests.support.synthetic_curves import with_law_losses
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.laws.size_dependence import with_parameters
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.score import perfect_law_score, pooled_seed_noise, score_laws
from windtunnel.analysis.curves.seal import read_sealed_curves, seal_curves
from windtunnel.analysis.curves.target import CurveTarget, curve_target
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.train.schedules import Schedule

PEAK, BATCH, UPDATES, EVERY, NOISE, REPLICATES = 1e-2, 1024.0, 2400, 80, 0.002, 20
SIZES = (33e3, 67e3, 95e3)
TRUTH = {"E": 0.4, "L0": 0.6, "A": 1.5, "C": 1.2, "phi": 0.25, "alpha": 0.35, "memory": 60.0}
TRUTH |= {"A_N": 0.05, "C_N": -0.05, "alpha_N": 0.01}
# About the parameters that fits of the baselines to this family have.
INSTANTANEOUS = {"E": 0.01, "L0": 0.44, "A": 1.341, "B": 0.7166, "phi": 0.2688, "alpha": 0.4173, "g": 0.8914}
INSTANTANEOUS |= {"A_N": 0.09645, "B_N": -0.03952, "alpha_N": -0.06261}
LAST_WINDOW = {"E": 0.3, "L0": 0.6, "A": 3.0, "phi": 0.25, "alpha": 0.15, "A_N": 0.02, "alpha_N": 0.01}

Value = TypeVar("Value")


def make_schedule(shape: str, total_steps: int = UPDATES, decay: float = 0.0, **changes: object) -> Schedule:
    settings: dict[str, object] = {
        "shape": shape,
        "total_steps": total_steps,
        "warmup_steps": 60,
        "decay_steps": round(decay * total_steps),
        "decay_shape": "linear",
        "final_fraction": 0.0,
        "power_exponent": 0.0,
    }
    return Schedule(**{**settings, **changes})  # type: ignore[arg-type]


FAMILY = (
    make_schedule("constant"),
    make_schedule("cosine", final_fraction=0.1),
    make_schedule("wsd", decay=0.5, decay_shape="step", final_fraction=0.3),
)
HELD_OUT = (
    make_schedule("wsd", decay=0.1, decay_shape="1-sqrt"),
    make_schedule("wsd", decay=0.4, decay_shape="1-sqrt"),
    make_schedule("wsd", decay=0.2),
    make_schedule("cosine", round(1.5 * UPDATES), final_fraction=0.1),
    make_schedule("power", decay=0.1, decay_shape="1-sqrt", power_exponent=0.5),
)


def make_target(schedule: Schedule, size: float, index: int) -> CurveTarget:
    """A target with runs of two seeds."""
    steps = [*range(EVERY, schedule.total_steps, EVERY), schedule.total_steps]
    name = f"{size:g}-{schedule.shape}-{index}"
    runs = (f"{name}-s0", f"{name}-s1")
    return curve_target(name, runs, schedule, PEAK, size, BATCH, "validation", steps, EVERY)


def make_trained(target: CurveTarget) -> dict[str, LossCurve]:
    """The curve of every run: the truth with an offset of the run and a little noise of every point."""
    exact = with_law_losses(with_parameters(curve_law("annealing"), TRUTH), TRUTH, target.query)
    curves = {}
    for run in target.runs:
        generator = np.random.default_rng(list(run.encode()))
        noise_P = NOISE * generator.standard_normal() + 0.5 * NOISE * generator.standard_normal(exact.num_points)
        curves[run] = replace(exact, name=run, loss_P=exact.loss_P * np.exp(noise_P))
    return curves


def make_family() -> list[LossCurve]:
    targets = [make_target(schedule, size, index) for index, schedule in enumerate(FAMILY) for size in SIZES]
    return [curve for target in targets for curve in make_trained(target).values()]


def make_targets() -> list[CurveTarget]:
    return [make_target(schedule, size, 10 + index) for index, schedule in enumerate(HELD_OUT) for size in SIZES]


def make_fits() -> dict[str, FittedCurveLaw]:
    """Results that fits might have, without their minutes: the truth with some error and C not identified, and two
    baselines; `auto` combines two of them.
    """
    annealing = replace(
        _near("annealing:N", TRUTH, 0),
        status="not_identified",
        reason="C is not identified: the curves hardly depend on it",
        not_identified=("C",),
    )
    instantaneous = _near("instantaneous:N", INSTANTANEOUS, 1)
    combination = replace(
        annealing,
        law="0.950*annealing:N+0.050*instantaneous:N",
        parameters=_with_prefixes(annealing.parameters, instantaneous.parameters),
        replicates=_with_prefixes(annealing.replicates, instantaneous.replicates),
        not_identified=("annealing:N.C",),
    )
    last_window = _near("last-window:N", LAST_WINDOW, 2)
    return {
        "auto": combination,
        "annealing:N": annealing,
        "instantaneous:N": instantaneous,
        "last-window:N": last_window,
    }


def _near(law: str, values: Mapping[str, float], seed: int) -> FittedCurveLaw:
    generator = np.random.default_rng(seed)
    return FittedCurveLaw(
        law=law,
        parameters={name: value * (1 + 2e-4 * generator.standard_normal()) for name, value in values.items()},
        status="converged",
        replicates={name: value * (1 + 3e-4 * generator.standard_normal(REPLICATES)) for name, value in values.items()},
        noise=NOISE,
        last_update=float(UPDATES),
        peaks=(PEAK, PEAK),
    )


def _with_prefixes(annealing: Mapping[str, Value], instantaneous: Mapping[str, Value]) -> dict[str, Value]:
    """The parameters under their names in a combination."""
    parameters = {f"annealing:N.{name}": value for name, value in annealing.items()}
    return parameters | {f"instantaneous:N.{name}": value for name, value in instantaneous.items()}


def make_curve_report(folder: Path, *, scored: bool = True) -> CurveReport:
    """The report of the study. Its predictions are sealed in `folder`."""
    family, targets, fits = make_family(), make_targets(), make_fits()
    source = {"study": "synthetic", "curves": [curve.name for curve in family], "digest": "ab" * 32}
    for name, fit in fits.items():
        seal_curves(name, fit, source, "validation", targets, folder, "0" * 40)
    by_law = {sealed.requested: sealed for sealed in map(read_sealed_curves, folder.iterdir())}
    sealed = tuple(by_law[name] for name in fits)
    trained = {run: curve for target in targets for run, curve in make_trained(target).items()} if scored else {}
    finals = {target.name: [trained[run].loss_P[-1] for run in target.runs] for target in targets if scored}
    seed_noise = pooled_seed_noise(finals)
    return CurveReport(
        study="synthetic",
        laws=tuple(fits),
        losses="validation",
        fitted_runs=tuple(source["curves"]),
        digest=str(source["digest"]),
        fits=fits,
        sealed=sealed,
        scores=score_laws(sealed, trained, seed_noise) if scored else (),
        measured=trained,
        seed_noise=seed_noise,
        perfect_law=perfect_law_score(sealed[0].targets, trained) if scored else None,
        commit="0" * 40,
    )
