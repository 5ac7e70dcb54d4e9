"""`windtunnel isoflop`: the optimal size of every budget, and the exponents of size and tokens against compute."""

import argparse
import math
from typing import Any

import numpy as np

from windtunnel.analysis.compute_optimal.isoflop import (
    Exponent,
    Isoflop,
    Minimum,
    fit_isoflop,
    fit_pairs,
    split_budgets,
)
from windtunnel.analysis.compute_optimal.weighted_line import LEVEL
from windtunnel.sweeps.cli.arguments import (
    add_replicate_arguments,
    add_table_arguments,
    json_output,
    refuse_one_file,
    table_of_arguments,
    told_of,
    write_document,
)
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel isoflop runs
  windtunnel isoflop points.csv --columns C=flops,N=params,D=tokens,loss=val_loss --form spline
  windtunnel isoflop optima.csv --columns C=flops,N=best_params,log_sd=spread --pairs"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    add_table_arguments(parser)
    parser.add_argument(
        "--form", choices=("cubic", "spline"), default="cubic", help="of log loss in log N at one budget; default cubic"
    )
    parser.add_argument(
        "--noise", type=float, metavar="SD", help="standard deviation of log loss; default from seeds, else residuals"
    )
    add_replicate_arguments(parser, 2000, "replicates of the noise")
    parser.add_argument(
        "--pairs", action="store_true", help="each row is a budget C and its optimal N (and log_sd) already"
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fits and prints. Raises InputError for bad input, and where too few budgets have a minimum."""
    refuse_one_file(source=arguments.source, json=arguments.json)
    table = table_of_arguments(arguments)
    if arguments.pairs:
        columns = table.require("C", "N")
        for rows in split_budgets(np.log(columns["C"])):
            if len(rows) > 1:
                raise InputError(
                    f"{table.source}: {table.label[rows[0]]} and {table.label[rows[1]]} have one C: --pairs takes one "
                    "optimum a budget; for runs leave --pairs out"
                )
        spread = table.require("log_sd")["log_sd"] if "log_sd" in table.columns else None
        found = fit_pairs(columns["C"], columns["N"], spread)
        content: dict[str, Any] = {"exponent_N": _exponent(found), "num_points": len(table), "status": "converged"}
        if not write_document(content, arguments.json):
            print(_sentence("N", found))
        return 0
    fitted = fit_isoflop(
        table, form=arguments.form, noise=arguments.noise, replicates=arguments.bootstrap, seed=arguments.seed
    )
    if not write_document(document(fitted), arguments.json):
        print("\n".join([describe(fitted), *told_of(table)]))
    if fitted.status != "converged":
        raise InputError(f"refused ({fitted.status}): {fitted.reason}")
    return 0


def document(fitted: Isoflop) -> dict[str, Any]:
    return {
        "form": fitted.form,
        "status": fitted.status,
        "reason": fitted.reason,
        "noise": fitted.noise,
        "noise_from": fitted.noise_from,
        "exponent_N": None if fitted.size is None else _exponent(fitted.size),
        "exponent_D": None if fitted.tokens is None else _exponent(fitted.tokens),
        "interval_level": LEVEL,
        "budgets": [_minimum(each) for each in fitted.minima],
    }


def _minimum(found: Minimum) -> dict[str, Any]:
    numbers = {"N": found.N, "D": found.D, "loss": found.loss, "log_sd": found.log_sd}
    return {
        "C": found.C,
        "num_points": found.num_points,
        "refused": found.refusal,
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        "interval_N": None if found.refusal else list(found.N_interval),
    }


def _exponent(found: Exponent) -> dict[str, Any]:
    return {
        "value": found.exponent,
        "interval": list(found.interval),
        "coefficient": found.coefficient,
        "scatter": found.scatter,
    }


def describe(fitted: Isoflop) -> str:
    """The budgets and the exponents for people."""
    lines = [f"{'C (FLOPs)':>10} {'points':>6} {'N':>10}  {'95 % interval':<22} {'D':>10} {'D/N':>8} {'loss':>8}"]
    for each in fitted.minima:
        start = f"{each.C:>10.3g} {each.num_points:>6}"
        if each.refusal is not None:
            lines.append(f"{start} refused: {REFUSALS[each.refusal]}")
            continue
        low, high = each.N_interval
        interval = f"[{low:.3g}, {high:.3g}]"
        lines.append(
            f"{start} {each.N:>10.4g}  {interval:<22} {each.D:>10.4g} {each.D / each.N:>8.3g} {each.loss:>8.4f}"
        )
    lines.append(f"noise {100 * fitted.noise:.2g} % of the loss, from {fitted.noise_from}; curves: {fitted.form}")
    for name, found in (("N", fitted.size), ("D", fitted.tokens)):
        if found is not None:
            lines.append(_sentence(name, found))
    return "\n".join(lines)


def _sentence(name: str, found: Exponent) -> str:
    low, high = found.interval
    return (
        f"optimal {name} = {found.coefficient:.4g} C^{found.exponent:.4f}, exponent {low:.4f} to {high:.4f} (95 %), "
        f"scatter {100 * float(np.expm1(found.scatter)):.1f} % in {name}"
    )


REFUSALS = {
    "edge": "the lowest loss is at an edge of the sizes: add sizes beyond it",
    "maximum": "the curve has a maximum, not a minimum: sizes or losses are wrong",
    "noise": "noise hides the minimum: spread the sizes, or measure with more seeds",
    "few_sizes": "fewer than 5 sizes: add sizes",
}
