"""`windtunnel optimum`: the best model size and token count for a compute budget."""

import argparse
from pathlib import Path

from windtunnel.analysis.compute_optimal.optimum import ComputeOptimum, optimum
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.target import parse_at
from windtunnel.analysis.report.number_format import format_interval
from windtunnel.analysis.report.text import format_notes, format_table
from windtunnel.models.family import format_count
from windtunnel.sweeps.cli.arguments import add_extrapolation_argument, add_json_argument
from windtunnel.sweeps.cli.output import print_result
from windtunnel.train.errors import InputError

EPILOG = """examples:
  windtunnel optimum fit.json --flops 1e18
  windtunnel optimum fit.json --flops 1e18 --at U=1e9 --json -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fit", type=Path, metavar="FIT", help="a file written by `windtunnel fit --output`")
    parser.add_argument("--flops", type=float, required=True, metavar="C", help="the compute budget, C = 6 N D")
    parser.add_argument("--at", metavar="U=1e9", help="values of the other columns of the law")
    add_extrapolation_argument(parser, "budget")
    add_json_argument(parser, "the optimum")


def run(arguments: argparse.Namespace) -> int:
    fixed = parse_at(arguments.at) if arguments.at else {}
    if fixed.keys() & {"N", "D", "C", "M"}:
        raise InputError(f"--at {arguments.at}: N, D and M are what is optimized and C is --flops; give other columns")
    result = optimum(
        Fit.from_json(arguments.fit), arguments.flops, at=fixed, allow_extrapolation=arguments.allow_extrapolation
    )
    print_result(arguments, result.to_dict(), format_optimum(result))
    return 0


def format_optimum(optimum: ComputeOptimum) -> list[str]:
    ratios = optimum.extrapolation.items()
    extrapolation = "; ".join(f"{ratio:.3g} x {axis}" for axis, ratio in ratios if ratio is not None)
    best = [
        ["", "best", "90 % interval"],
        ["N, parameters", format_count(optimum.N), format_interval(*optimum.N_interval_90, format_count)],
        ["D, tokens", format_count(optimum.D), format_interval(*optimum.D_interval_90, format_count)],
        [
            "tokens per parameter",
            f"{optimum.tokens_per_parameter:.4g}",
            format_interval(*optimum.tokens_per_parameter_interval_90, ".4g"),
        ],
        ["loss of a run", f"{optimum.loss:.5g}", format_interval(*optimum.loss_interval_90, ".5g")],
        ["a in N ~ C^a", f"{optimum.exponent:.3f}", format_interval(*optimum.exponent_interval_90, ".3f")],
    ]
    penalties = [["N relative to best", "N", "D", "loss", "penalty", "90 % interval (nats)", "compute wasted"]]
    for penalty in optimum.penalties:
        penalties.append(
            [
                f"{penalty.factor:.4g} x",
                format_count(penalty.N),
                format_count(penalty.D),
                f"{penalty.loss:.5g}",
                f"{penalty.penalty_percent:.2f} %",
                format_interval(*penalty.penalty_interval_90, ".4f"),
                f"{100 * penalty.compute_lost:.1f} %",
            ]
        )
    return [
        f"{optimum.law} at {optimum.flops:.4g} FLOPs; relative to the largest of the data: {extrapolation}",
        *format_table(best, "<><"),
        "",
        *format_table(penalties, ">>>>><>"),
        *format_notes(optimum.notes),
    ]
