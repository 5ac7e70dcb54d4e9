"""A curve law over several model sizes: `annealing:N` reads the size of each curve.

With n = N / 1e6, the irreducible loss at a size becomes E + L0 n^-phi (L0 n^-phi with fewer than three sizes, since two
do not identify E). Every other amplitude X becomes a power law X n^-X_N, and so do the parameters that the law names in
`size_dependent`. All other parameters are shared by all sizes, so that the family identifies what a single size
identifies weakly, above all the memory.

Legend: P points, L terms.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.laws.law import CurveLaw, Values
from windtunnel.analysis.laws.law import Parameter
from windtunnel.train.errors import InputError

REFERENCE_SIZE = 1e6  # parameters
IRREDUCIBLE_EXPONENTS = (0.05, 0.15, 0.4)  # starts of phi
MIN_SIZES_FOR_E = 3


def size_dependent_law(law: CurveLaw) -> CurveLaw:
    """The law as a law of N. Raises InputError where the law has no such form."""
    if not law.linear or law.specialize is not None:
        raise InputError(f"the law {law.name} has no form over sizes as {law.name}:N; write {law.name}")

    def specialize(curves: Sequence[LossCurve]) -> CurveLaw:
        for curve in curves:
            if curve.size is None:
                raise InputError(
                    f"{curve.name}: law {law.name}:N reads the size of every curve; write {curve.name}@N=25e6, or pass "
                    "columns=... with N=COLUMN"
                )
        sizes = {curve.size for curve in curves}
        if len(sizes) < 2:
            raise InputError(f"law {law.name}:N needs curves of two sizes or more; all have N = {sizes.pop():.4g}")
        return _size_dependent(law, with_E=len(sizes) >= MIN_SIZES_FOR_E)

    return replace(_size_dependent(law, with_E=True), specialize=specialize)


def with_parameters(law: CurveLaw, names: Collection[str]) -> CurveLaw:
    """The form of the law of N that has the parameters of these names."""
    return _size_dependent(law, with_E="E" in names)


def _size_dependent(law: CurveLaw, *, with_E: bool) -> CurveLaw:
    irreducible, *amplitudes = law.linear
    scaled = (*amplitudes, *law.size_dependent)  # each becomes X n^-X_N

    def nonlinear_at(values: Values, log_n: float) -> dict[str, Any]:
        """The nonlinear parameters at a size."""
        return {
            name: values[name] * np.exp(-values[f"{name}_N"] * log_n) if name in law.size_dependent else values[name]
            for name in law.nonlinear
        }

    def scales(values: Values, log_n: float) -> Any:
        """The factors of the law's own terms at a size: (L,)."""
        return np.exp(-log_n * np.array([values["phi"], *(values[f"{name}_N"] for name in amplitudes)]))

    def terms(values: Values, curve: LossCurve) -> Any:
        log_n = _log_size(curve)
        scaled_PL = law.terms(nonlinear_at(values, log_n), curve) * scales(values, log_n)
        ones_P1 = np.ones((curve.num_points, 1))
        return np.concatenate([ones_P1, scaled_PL], axis=1) if with_E else scaled_PL

    def term_derivatives(values: Values, curve: LossCurve) -> Mapping[str, Any]:
        assert law.term_derivatives is not None
        log_n = _log_size(curve)
        at_size, scale_L = nonlinear_at(values, log_n), scales(values, log_n)
        scaled_PL = law.terms(at_size, curve) * scale_L
        derivatives: dict[str, Any] = {}
        for name, by_PL in law.term_derivatives(at_size, curve).items():
            derivatives[name] = by_PL * scale_L * at_size[name] / values[name] if values[name] else by_PL * scale_L
            if name in law.size_dependent:
                derivatives[f"{name}_N"] = -log_n * by_PL * scale_L * at_size[name]
        for index, name in enumerate(("phi", *(f"{amplitude}_N" for amplitude in amplitudes))):
            derivatives[name] = np.where(np.arange(scaled_PL.shape[1]) == index, -log_n * scaled_PL, 0.0)
        if with_E:
            derivatives = {
                name: np.concatenate([np.zeros((len(by_PL), 1)), by_PL], axis=1) for name, by_PL in derivatives.items()
            }
        return derivatives

    def start_grid(curves: Sequence[LossCurve]) -> Mapping[str, Sequence[float]]:
        # The law's own grid is coarse enough for all sizes; exponents of amplitudes start at 0.
        return {
            "phi": IRREDUCIBLE_EXPONENTS,
            **law.start_grid(curves),
            **{f"{name}_N": (0.0,) for name in scaled},
        }

    return replace(
        law,
        name=f"{law.name}:N",
        title=f"{law.title}, over sizes",
        formula=f"{law.formula}; {irreducible} = {'E + ' if with_E else ''}{irreducible} n^-phi, X = X n^-X_N for "
        f"{', '.join(scaled)}; n = N / 1e6",
        required_curves=f"{law.required_curves}, of two sizes or more",
        parameters=_parameters(law, scaled, with_E=with_E),
        linear=(*(("E",) if with_E else ()), irreducible, *amplitudes),
        terms=terms,
        term_derivatives=term_derivatives if law.term_derivatives is not None else None,
        start_grid=start_grid,
        specialize=None,
    )


def _parameters(law: CurveLaw, scaled: Sequence[str], *, with_E: bool) -> tuple[Parameter, ...]:
    irreducible, *amplitudes = law.linear
    own = {parameter.name: parameter for parameter in law.parameters}

    def at_reference(name: str, addition: str = "") -> Parameter:
        return replace(own[name], meaning=f"{own[name].meaning}; {addition}at a million parameters")

    return (
        *((Parameter("E", "irreducible loss of an infinitely large model, nats per token"),) if with_E else ()),
        at_reference(irreducible, "the part that falls with size, "),
        *(at_reference(name) for name in amplitudes),
        Parameter("phi", f"exponent of size of {irreducible}", upper=10.0),
        *(own[name] for name in law.nonlinear),
        *(
            Parameter(f"{name}_N", f"exponent of size of {name}", positive=False, lower=-3.0, upper=3.0)
            for name in scaled
        ),
    )


def _log_size(curve: LossCurve) -> float:
    return float(np.log((curve.size or REFERENCE_SIZE) / REFERENCE_SIZE))
