"""`windtunnel isoflop`: find the best model size of each compute budget, and its exponent."""

import argparse
from collections import Counter
from typing import Any

import numpy as np

from windtunnel.analysis.compute_optimal.isoflop import (
    Exponent,
    IsoflopFit,
    fit_isoflop,
    fit_pairs,
    group_nearby,
)
from windtunnel.analysis.report.number_format import format_interval
from windtunnel.analysis.report.text import format_table, table_notes
from windtunnel.analysis.tables.table import Table
from windtunnel.models.family import format_count
from windtunnel.sweeps.cli.arguments import (
    add_json_argument,
    add_replicate_arguments,
    add_table_arguments,
    table_from_arguments,
)
from windtunnel.sweeps.cli.output import print_result
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel isoflop runs
  windtunnel isoflop points.csv --columns C=flops,N=params,D=tokens,loss=val_loss --form spline
  windtunnel isoflop optima.csv --columns C=flops,N=best_params,log_sd=spread --pairs"""
REFUSALS = {
    "edge": "the lowest loss is at the smallest or largest size: add sizes beyond it",
    "maximum": "the curve has a maximum, not a minimum: sizes or losses are wrong",
    "noise": "noise hides the minimum: spread the sizes, or add seeds",
    "few_sizes": "fewer than 5 sizes: add sizes",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_table_arguments(parser)
    parser.add_argument(
        "--form",
        choices=("cubic", "spline"),
        default="cubic",
        help="form of log loss in log N at one budget; default cubic",
    )
    parser.add_argument(
        "--noise",
        type=float,
        metavar="SD",
        help="standard deviation of log loss; default: from seed replicates, else from residuals",
    )
    add_replicate_arguments(parser, 2000, "noise draws")
    parser.add_argument(
        "--pairs", action="store_true", help="each row is a budget C and its best N (and its log_sd), not a run"
    )
    add_json_argument(parser, "the minima and exponents")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError for bad input, and where too few budgets have a minimum."""
    table = table_from_arguments(arguments)
    if arguments.pairs:
        exponent = _fit_pairs(table)
        content: dict[str, Any] = {"exponent_N": exponent.to_dict(), "num_points": len(table), "status": "converged"}
        print_result(arguments, content, [_format_exponent("N", exponent)])
        return 0
    result = fit_isoflop(
        table, form=arguments.form, noise=arguments.noise, replicates=arguments.bootstrap, seed=arguments.seed
    )
    print_result(arguments, result.to_dict(), [*format_isoflop(result), *table_notes(table)])
    if result.status != "converged":
        raise InputError(f"refused ({result.status}): {result.reason}")
    return 0


def _fit_pairs(table: Table) -> Exponent:
    columns = table.require("C", "N")
    for rows in group_nearby(np.log(columns["C"])):
        if len(rows) > 1:
            raise InputError(
                f"{table.source}: {table.label[rows[0]]} and {table.label[rows[1]]} have the same C, and --pairs takes "
                "one best size for each budget; for runs leave --pairs out"
            )
    spread = table.require("log_sd")["log_sd"] if "log_sd" in table.columns else None
    return fit_pairs(columns["C"], columns["N"], spread)


def format_isoflop(result: IsoflopFit) -> list[str]:
    """The minimum of each budget, the number of budgets without one, and the exponents."""
    rows = [["C, FLOPs", "points", "best N", "95 % interval", "D", "D / N", "loss"]]
    for minimum in result.minima:
        if minimum.refusal is None:
            rows.append(
                [
                    f"{minimum.C:.3g}",
                    str(minimum.num_points),
                    format_count(minimum.N),
                    format_interval(*minimum.N_interval, format_count),
                    format_count(minimum.D),
                    f"{minimum.D / minimum.N:.3g}",
                    f"{minimum.loss:.4f}",
                ]
            )
    refusals = Counter(minimum.refusal for minimum in result.minima if minimum.refusal is not None)
    exponents = (("N", result.size), ("D", result.tokens))
    return [
        *(format_table(rows, ">>><>>>") if len(rows) > 1 else ()),
        *(f"no minimum at {count} of {len(result.minima)} budgets: {REFUSALS[why]}" for why, count in refusals.items()),
        f"noise {100 * result.noise:.2g} % of the loss, from {result.noise_from}; curves: {result.form}",
        *(_format_exponent(name, exponent) for name, exponent in exponents if exponent is not None),
    ]


def _format_exponent(name: str, exponent: Exponent) -> str:
    low, high = exponent.interval
    return (
        f"optimal {name} = {exponent.coefficient:.4g} C^{exponent.exponent:.4f}, exponent {low:.4f} to {high:.4f} "
        f"(95 %), scatter {100 * float(np.expm1(exponent.scatter)):.1f} % in {name}"
    )
