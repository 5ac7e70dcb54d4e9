"""`windtunnel optimum`: the best size and token count for a budget, and what being off them costs."""

import argparse
import math
from pathlib import Path

from windtunnel.analysis.compute_optimal.optimum import Interval, Optimum, optimum
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.target import parse_at
from windtunnel.sweeps.cli.arguments import json_output, refuse_one_file, write_document
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel optimum fit.json --flops 1e18
  windtunnel optimum fit.json --flops 1e18 --at U=1e9 --json -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("fit", type=Path, metavar="FIT", help="a file written by `windtunnel fit --output`")
    parser.add_argument("--flops", type=float, required=True, metavar="C", help="the budget, C = 6 N D")
    parser.add_argument("--at", metavar="U=1e9", help="values of the law's other columns")
    parser.add_argument(
        "--far", action="store_true", help="allow a budget more than 30 times beyond the data, or below it"
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the optimum. Raises InputError for bad input."""
    refuse_one_file(arguments.fit, json=arguments.json)
    fixed = parse_at(arguments.at) if arguments.at else {}
    if fixed.keys() & {"N", "D", "C", "M"}:
        raise InputError(f"--at {arguments.at}: N, D and M are sought, and C is --flops; give only other columns")
    found = optimum(Fit.from_json(arguments.fit), arguments.flops, fixed=fixed, far=arguments.far)
    if not write_document(found.document(), arguments.json):
        print(describe(found))
    return 0


def describe(found: Optimum) -> str:
    """The optimum for people."""
    exponent = f"[{found.exponent_interval_90[0]:.3f}, {found.exponent_interval_90[1]:.3f}]"
    reach = "; ".join(f"{ratio:.3g} x {axis}" for axis, ratio in found.extrapolation.items() if ratio is not None)
    lines = [
        f"{found.law} at {found.flops:.4g} FLOPs, relative to the largest of the data: {reach}",
        f"{'':<22}{'best':>12}  90 % interval",
        f"{'N, parameters':<22}{found.N:>12.4g}  {_interval(found.N_interval_90)}",
        f"{'D, tokens':<22}{found.D:>12.4g}  {_interval(found.D_interval_90)}",
        f"{'tokens per parameter':<22}{found.tokens_per_parameter:>12.4g}  "
        f"{_interval(found.tokens_per_parameter_interval_90)}",
        f"{'loss of a run':<22}{found.loss:>12.5g}  {_interval(found.loss_interval_90, '.5g')}",
        f"{'N ~ C^a, a':<22}{found.exponent:>12.3f}  {exponent}",
        "",
        f"{'N is off by':>12}{'N':>12}{'D':>12}{'loss':>10}{'penalty':>10}  {'90 % interval':<20}{'compute lost':>12}",
    ]
    lines += [
        f"{each.factor:>11.4g}x{each.N:>12.4g}{each.D:>12.4g}{each.loss:>10.5g}{each.penalty_percent:>8.2f} %  "
        f"{_interval(each.penalty_interval_90):<20}{100 * each.compute_lost:>10.1f} %"
        for each in found.penalties
    ]
    lines.append("penalty intervals are in nats per token; compute lost: the budget that the mistake wastes")
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def _interval(interval: Interval, style: str = ".4g") -> str:
    low, high = interval
    return f"[{low:{style}}, {'unbounded' if math.isinf(high) else format(high, style)}]"
