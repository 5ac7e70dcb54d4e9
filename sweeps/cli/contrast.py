"""`windtunnel contrast`: two arms, which is better at a scale that neither was trained at, and how sure that is."""

import argparse
import math
from collections.abc import Callable

from windtunnel.analysis.comparison.contrast import REPLICATES, Contrast, contrast
from windtunnel.analysis.comparison.crossover import Interval, Verdict
from windtunnel.analysis.laws import law as law_named
from windtunnel.analysis.prediction.target import parse_at
from windtunnel.analysis.tables.table import load_table
from windtunnel.sweeps.cli.arguments import (
    add_replicate_arguments,
    json_output,
    refuse_one_file,
    told_of,
    write_document,
)
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel contrast runs-muon runs-adamw --at C=1e20
  windtunnel contrast runs runs --where-a "activation == 'gelu'" --where-b "activation == 'swiglu'" --at C=1e18
  windtunnel contrast a.csv b.csv --law power:C --columns C=flops,loss=val_loss --at C=1e18 --json -"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("first", metavar="A", help="a folder of runs, a CSV or Parquet file, wandb:ENTITY/PROJECT")
    parser.add_argument("second", metavar="B", help="the other arm")
    parser.add_argument("--at", required=True, metavar="C=1e20", help="the budget, and other columns of the law")
    parser.add_argument(
        "--law",
        metavar="NAME",
        help="default: chinchilla at its best size where both arms are grids of N and D, else power:C",
    )
    parser.add_argument("--objective", metavar="O", help="as `windtunnel fit` takes it; default the law's own")
    parser.add_argument("--columns", metavar="N=a,D=b,loss=c", help="columns of both sources by the names laws use")
    parser.add_argument("--where", metavar="EXPR", help="use only these rows of both")
    parser.add_argument("--where-a", metavar="EXPR", help="use only these rows of A")
    parser.add_argument("--where-b", metavar="EXPR", help="use only these rows of B")
    add_replicate_arguments(parser, REPLICATES, "replicates")
    parser.add_argument("--far", action="store_true", help="allow a target more than 30 times beyond the data")
    parser.add_argument("--mixed", action="store_true", help="take together what cannot be compared")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the contrast. Raises InputError for bad input."""
    refuse_one_file(arguments.first, arguments.second, json=arguments.json)
    at = parse_at(arguments.at)
    if "C" not in at or {"N", "D", "M"} & at.keys():
        raise InputError(f"--at {arguments.at}: arms are contrasted at a budget; write --at C=1e20")
    tables = [
        load_table(
            source,
            columns=arguments.columns,
            where=" and ".join(f"({part})" for part in (arguments.where, own) if part) or None,
            mixed=arguments.mixed,
        )
        for source, own in ((arguments.first, arguments.where_a), (arguments.second, arguments.where_b))
    ]
    found = contrast(
        tables[0],
        tables[1],
        at.pop("C"),
        law=None if arguments.law is None else law_named(arguments.law),
        fixed=at,
        objective=arguments.objective,
        replicates=arguments.bootstrap,
        seed=arguments.seed,
        far=arguments.far,
    )
    if not write_document(found.document(), arguments.json):
        told = [f"{letter}: {line}" for letter, table in zip("AB", tables, strict=True) for line in told_of(table)]
        print("\n".join([describe(found), *told]))
    return 0


def describe(found: Contrast) -> str:
    """The contrast for people, floors free and tied side by side."""
    rows: list[tuple[str, Callable[[Verdict], str]]] = [
        ("loss of A", lambda each: f"{each.loss_a:.5g} {_ends(each.loss_a_interval_90, '.5g')}"),
        ("loss of B", lambda each: f"{each.loss_b:.5g} {_ends(each.loss_b_interval_90, '.5g')}"),
        ("A - B", lambda each: f"{each.difference:+.4f} {_ends(each.difference_interval_90, '+.4f')}"),
        ("P(A better)", lambda each: f"{each.probability_a_better:.3f}"),
        ("  at the data's largest", lambda each: f"{each.probability_a_better_at_data:.3f}"),
        ("compute multiplier", _multiplier),
        ("crossover, FLOPs", _crossover),
        ("  P(before the target)", lambda each: f"{each.probability_of_crossing_before_target:.3f}"),
        ("  P(within 10 x the data)", lambda each: f"{each.probability_of_crossing_within_10x:.3f}"),
    ]
    lines = [
        f"A {found.names[0]}, B {found.names[1]}: {found.law} at C = {found.flops:.4g}, "
        f"{found.extrapolation:.3g} x the data; {found.pairs} pairs share seed and budget "
        f"(noise correlated {found.correlation:.2f})",
        f"{'':<26}" + "".join(f"{'floors ' + each.floor:<36}" for each in found.verdicts),
    ]
    lines += [f"{name:<26}" + "".join(f"{show(each):<36}" for each in found.verdicts) for name, show in rows]
    lines.append("compute multiplier: B needs this many times the compute to have A's loss at the target")
    return "\n".join([*map(str.rstrip, lines), *(f"warning: {warning}" for warning in found.warnings)])


def _crossover(each: Verdict) -> str:
    if each.crossover is None:
        return "none found"
    return f"{each.crossover:.3g}" + (f" {_ends(each.crossover_interval_90)}" if each.crossover_interval_90 else "")


def _multiplier(each: Verdict) -> str:
    value = each.compute_multiplier
    shown = "unbounded" if math.isinf(value) else format(value, ".3g")
    return f"{shown} {_ends(each.compute_multiplier_interval_90)}"


def _ends(ends: Interval, style: str = ".3g") -> str:
    low, high = ("unbounded" if math.isinf(end) else format(end, style) for end in ends)
    return f"[{low}, {high}]"
