"""A report of curves without training: a family under three schedules, five held out, three sizes, two seeds, every
loss that of an annealing law with noise of its own run.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws import curve_law
from windtunnel.analysis.curves.laws.size_dependence import of_parameters
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.score import noise_alone, noise_between_seeds, outcomes
from windtunnel.analysis.curves.seal import read_sealed_curves, seal_curves
from windtunnel.analysis.curves.target import CurveTarget, curve_target
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.train.schedules import Schedule

PEAK, BATCH, UPDATES, EVERY, NOISE, REPLICATES = 1e-2, 1024.0, 2400, 80, 0.002, 20
SIZES = (33e3, 67e3, 95e3)
TRUTH = {"E": 0.4, "L0": 0.6, "A": 1.5, "C": 1.2, "phi": 0.25, "alpha": 0.35, "memory": 60.0}
TRUTH |= {"A_N": 0.05, "C_N": -0.05, "alpha_N": 0.01}

Value = TypeVar("Value")


def schedule(shape: str, total_steps: int = UPDATES, decay: float = 0.0, **changes: object) -> Schedule:
    given: dict[str, object] = {
        "shape": shape,
        "total_steps": total_steps,
        "warmup_steps": 60,
        "decay_steps": round(decay * total_steps),
        "decay_shape": "linear",
        "final_fraction": 0.0,
        "power_exponent": 0.0,
    }
    return Schedule(**{**given, **changes})  # type: ignore[arg-type]


FAMILY = (
    schedule("constant"),
    schedule("cosine", final_fraction=0.1),
    schedule("wsd", decay=0.5, decay_shape="step", final_fraction=0.3),
)
HELD_OUT = (
    schedule("wsd", decay=0.1, decay_shape="1-sqrt"),
    schedule("wsd", decay=0.4, decay_shape="1-sqrt"),
    schedule("wsd", decay=0.2),
    schedule("cosine", round(1.5 * UPDATES), final_fraction=0.1),
    schedule("power", decay=0.1, decay_shape="1-sqrt", power_exponent=0.5),
)


def target(held: Schedule, size: float, place: int) -> CurveTarget:
    """With runs of two seeds."""
    steps = [*range(EVERY, held.total_steps, EVERY), held.total_steps]
    name = f"{size:g}-{held.shape}-{place}"
    runs = (f"{name}-s0", f"{name}-s1")
    return curve_target(name, runs, held, PEAK, size, BATCH, "validation", steps, EVERY)


def trained(one: CurveTarget) -> dict[str, Curve]:
    """The curve of every run: the truth, with one offset a run and a little noise at every point."""
    law = of_parameters(curve_law("annealing"), TRUTH)
    loss_P = np.asarray(law.predict(TRUTH, one.blank), dtype=np.float64)
    found = {}
    for run in one.runs:
        generator = np.random.default_rng(list(run.encode()))
        noise_P = NOISE * generator.standard_normal() + 0.5 * NOISE * generator.standard_normal(len(loss_P))
        blank = one.blank
        found[run] = Curve(run, blank.rates, blank.time_P, loss_P * np.exp(noise_P), blank.size, blank.batch)
    return found


def family() -> list[Curve]:
    made = [target(each, size, place) for place, each in enumerate(FAMILY) for size in SIZES]
    return [curve for each in made for curve in trained(each).values()]


def targets() -> list[CurveTarget]:
    return [target(each, size, 10 + place) for place, each in enumerate(HELD_OUT) for size in SIZES]


# Of laws that know of no memory and of no schedule, about what fits to this family are.
INSTANTANEOUS = {"E": 0.01, "L0": 0.44, "A": 1.341, "B": 0.7166, "phi": 0.2688, "alpha": 0.4173, "g": 0.8914}
INSTANTANEOUS |= {"A_N": 0.09645, "B_N": -0.03952, "alpha_N": -0.06261}
LAST_WINDOW = {"E": 0.3, "L0": 0.6, "A": 3.0, "phi": 0.25, "alpha": 0.15, "A_N": 0.02, "alpha_N": 0.01}


def fits() -> dict[str, FittedCurves]:
    """What fits might have been, without their minutes: the truth with some error, C not told, and two baselines;
    `auto` is what inner validation might have made of two of them.
    """
    annealing = replace(
        _near("annealing:N", TRUTH, 0),
        status="not_identified",
        reason="the curves hardly depend on C: no number is known for it",
        not_identified=("C",),
    )
    other = _near("instantaneous:N", INSTANTANEOUS, 1)
    both = replace(
        annealing,
        law="0.950*annealing:N+0.050*instantaneous:N",
        parameters=_prefixed(annealing.parameters, other.parameters),
        replicates=_prefixed(annealing.replicates, other.replicates),
        not_identified=("annealing:N.C",),
    )
    last = _near("last-window:N", LAST_WINDOW, 2)
    return {"auto": both, "annealing:N": annealing, "instantaneous:N": other, "last-window:N": last}


def _near(law: str, values: Mapping[str, float], seed: int) -> FittedCurves:
    generator = np.random.default_rng(seed)
    return FittedCurves(
        law=law,
        parameters={name: value * (1 + 2e-4 * generator.standard_normal()) for name, value in values.items()},
        status="converged",
        replicates={name: value * (1 + 3e-4 * generator.standard_normal(REPLICATES)) for name, value in values.items()},
        noise=NOISE,
        last_update=float(UPDATES),
        peaks=(PEAK, PEAK),
    )


def _prefixed(annealing: Mapping[str, Value], instantaneous: Mapping[str, Value]) -> dict[str, Value]:
    """As the parameters of a combination are named."""
    found = {f"annealing:N.{name}": value for name, value in annealing.items()}
    return found | {f"instantaneous:N.{name}": value for name, value in instantaneous.items()}


def made_report(folder: Path, *, scored: bool = True) -> CurveReport:
    """`folder`: where the predictions are sealed."""
    curves, made = family(), targets()
    source = {"study": "made", "curves": [curve.name for curve in curves], "digest": "ab" * 32}
    for name, fit in fits().items():
        seal_curves(name, fit, source, "validation", made, folder, "0" * 40)
    sealed = {each.asked: each for each in map(read_sealed_curves, folder.iterdir())}
    known = {run: curve for each in made for run, curve in trained(each).items()} if scored else {}
    noise = noise_between_seeds({each.name: [known[run].loss_P[-1] for run in each.runs] for each in made if scored})
    in_order = tuple(sealed[name] for name in fits())
    return CurveReport(
        study="made",
        asked=tuple(fits()),
        losses="validation",
        fitted=tuple(source["curves"]),
        digest=str(source["digest"]),
        fits=fits(),
        sealed=in_order,
        outcomes=outcomes(in_order, known, noise) if scored else (),
        trained=known,
        noise=noise,
        floor=noise_alone(in_order[0].targets, known) if scored else None,
        commit="0" * 40,
    )
