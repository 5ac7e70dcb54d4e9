"""A law of curves over several sizes as one: `annealing:N` reads the size of each curve.

Its floor becomes E + L0 n^-phi with n = N / 1e6 (L0 n^-phi where there are fewer than three sizes: two cannot tell E),
every other amplitude X a power law X n^-X_N, and so do the parameters that the law names in `size_dependent`. All else
is one number for all sizes, so that what a single size tells weakly, the memory above all, the family tells together.

Legend: P points, L terms.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import Curve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Parameter
from windtunnel.train.errors import InputError

REFERENCE = 1e6  # parameters
FLOOR_EXPONENTS = (0.05, 0.15, 0.4)
LEAST_SIZES_OF_A_FLOOR = 3


def over_sizes(law: CurveLaw) -> CurveLaw:
    """The law in N. Raises InputError where the law has no form for it."""
    if not law.linear or law.specialise is not None:
        raise InputError(f"the law {law.name} has no form over sizes as {law.name}:N; write {law.name}")

    def specialise(curves: Sequence[Curve]) -> CurveLaw:
        for curve in curves:
            if curve.size is None:
                raise InputError(
                    f"{curve.name}: law {law.name}:N reads the size of every curve: say {curve.name}@N=25e6, "
                    "or name its column with --columns N=COLUMN"
                )
        sizes = {curve.size for curve in curves}
        if len(sizes) < 2:
            raise InputError(f"law {law.name}:N needs curves of two sizes or more, and all have N = {sizes.pop():.4g}")
        return _of(law, with_floor=len(sizes) >= LEAST_SIZES_OF_A_FLOOR)

    return replace(_of(law, with_floor=True), specialise=specialise)


def of_parameters(law: CurveLaw, names: Collection[str]) -> CurveLaw:
    """The law in N that has parameters of these names."""
    return _of(law, with_floor="E" in names)


def _of(law: CurveLaw, *, with_floor: bool) -> CurveLaw:
    floor, *amplitudes = law.linear
    scaled = (*amplitudes, *law.size_dependent)  # each X n^-X_N
    own = {parameter.name: parameter for parameter in law.parameters}
    parameters = (
        *((Parameter("E", "loss of an endless run of an endless size, nats per token"),) if with_floor else ()),
        replace(own[floor], meaning=f"{own[floor].meaning}; the part that falls with size, at a million parameters"),
        *(replace(own[name], meaning=f"{own[name].meaning}; at a million parameters") for name in amplitudes),
        Parameter("phi", "exponent of size of the floor", upper=10.0),
        *(own[name] for name in law.shaping),
        *(
            Parameter(f"{name}_N", f"exponent of size of {name}", positive=False, lower=-3.0, upper=3.0)
            for name in scaled
        ),
    )

    def inner(values: Values, log_n: float) -> dict[str, Any]:
        """The shaping parameters at a size."""
        return {
            name: values[name] * np.exp(-values[f"{name}_N"] * log_n) if name in law.size_dependent else values[name]
            for name in law.shaping
        }

    def scales(values: Values, log_n: float) -> Any:
        return np.exp(-log_n * np.array([values["phi"], *(values[f"{name}_N"] for name in amplitudes)]))

    def terms(values: Values, curve: Curve) -> Any:
        log_n = float(np.log((curve.size or REFERENCE) / REFERENCE))
        scaled_PL = law.terms(inner(values, log_n), curve) * scales(values, log_n)
        ones_P1 = np.ones((curve.num_points, 1))
        return np.concatenate([ones_P1, scaled_PL], axis=1) if with_floor else scaled_PL

    def slopes(values: Values, curve: Curve) -> Mapping[str, Any]:
        assert law.slopes is not None
        log_n = float(np.log((curve.size or REFERENCE) / REFERENCE))
        at_size, scale_L = inner(values, log_n), scales(values, log_n)
        scaled_PL = law.terms(at_size, curve) * scale_L
        slope: dict[str, Any] = {}
        for name, by_PL in law.slopes(at_size, curve).items():
            slope[name] = by_PL * scale_L * at_size[name] / values[name] if values[name] else by_PL * scale_L
            if name in law.size_dependent:
                slope[f"{name}_N"] = -log_n * by_PL * scale_L * at_size[name]
        for place, name in enumerate(("phi", *(f"{each}_N" for each in amplitudes))):
            slope[name] = np.where(np.arange(scaled_PL.shape[1]) == place, -log_n * scaled_PL, 0.0)
        if with_floor:
            slope = {name: np.concatenate([np.zeros((len(by), 1)), by], axis=1) for name, by in slope.items()}
        return slope

    def start_grid(curves: Sequence[Curve]) -> Mapping[str, Sequence[float]]:
        # The own grid of the law is coarse enough for all sizes; exponents of amplitudes are found from none.
        return {
            "phi": FLOOR_EXPONENTS,
            **law.start_grid(curves),
            **{f"{name}_N": (0.0,) for name in scaled},
        }

    return replace(
        law,
        name=f"{law.name}:N",
        title=f"{law.title}, over sizes",
        formula=f"{law.formula}; {floor} = {'E + ' if with_floor else ''}{floor} n^-phi, X = X n^-X_N for "
        f"{', '.join(scaled)}; n = N / 1e6",
        runs=f"{law.runs}, of two sizes or more",
        parameters=parameters,
        linear=(*(("E",) if with_floor else ()), floor, *amplitudes),
        terms=terms,
        slopes=slopes if law.slopes is not None else None,
        start_grid=start_grid,
        specialise=None,
    )
