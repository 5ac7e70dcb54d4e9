"""`windtunnel fit`: a law, a table and an objective to parameters, intervals and a status."""

import argparse

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import REFUSED, Fit
from windtunnel.analysis.laws import law as law_named
from windtunnel.sweeps.cli.arguments import (
    add_replicate_arguments,
    add_table_arguments,
    json_output,
    output_file,
    refuse_one_file,
    table_of_arguments,
    told_of,
    write_document,
)
from windtunnel.train.errors import InputError

EXAMPLE = """examples:
  windtunnel fit runs --law chinchilla --output fit.json
  windtunnel fit points.csv --law chinchilla --columns N=params,D=tokens,loss=val_loss --bootstrap 4000
  windtunnel fit points.csv --law power:D --where 'N > 1e6' --objective log-lad --json -
  windtunnel fit points.csv --law chinchilla@alpha=0.35@beta=0.4

A CSV file needs a header and a row for each run. chinchilla reads N (parameters), D (training tokens) and loss (nats
per token); M is D / N and C is 6 N D unless the file has them; rows that differ by `seed` alone say what the noise is,
and rows of one `run` share theirs. `windtunnel laws NAME` says what a law reads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    add_table_arguments(parser)
    parser.add_argument("--law", required=True, metavar="NAME", help="a law of `windtunnel laws`")
    parser.add_argument(
        "--objective",
        metavar="O",
        help="log-huber:DELTA, log-lad, log-mse, huber:DELTA, lad or mse; @COLUMN weights by 1/COLUMN^2; "
        "log-huber:seed-noise takes DELTA from repeated seeds, 1.345 of their s.d. and 1e-3 at least",
    )
    add_replicate_arguments(parser, 0, "replicates over runs")
    parser.add_argument("--allow-few-points", action="store_true", help="fit as many points as parameters")
    parser.add_argument("--no-profile", action="store_true", help="skip the profile of every parameter")
    parser.add_argument(
        "--output",
        type=output_file,
        metavar="FIT.json",
        help="the fit, for predict and optimum; a refused one too, which says why",
    )
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the result for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fits and prints. Raises InputError for bad input, and for a refused design once that is written out."""
    refuse_one_file(source=arguments.source, output=arguments.output, json=arguments.json)
    law = law_named(arguments.law)
    table = table_of_arguments(arguments)
    found = fit(
        table,
        law,
        arguments.objective,
        bootstrap=arguments.bootstrap,
        seed=arguments.seed,
        profile=not arguments.no_profile,
        few_points=arguments.allow_few_points,
    )
    if arguments.output is not None:
        found.to_json(arguments.output)
    if not write_document(found.document(), arguments.json):
        if found.status not in REFUSED:
            print(describe(found))
        for line in told_of(table):
            print(line)
    if found.status in REFUSED:
        raise InputError(f"refused ({found.status}): {found.reason}")
    return 0


def describe(found: Fit) -> str:
    """The fit for people. A parameter that is not identified has no number, only its open interval."""
    lines = [
        f"{found.law.name}: {found.law.formula}",
        f"status {found.status}{': ' + found.reason if found.reason else ''}",
        f"{found.num_points} points, {found.objective} = {found.value:.8g}, {found.seconds:.2f} s",
    ]
    meanings = {parameter.name: parameter.meaning for parameter in found.law.parameters}
    lines.append(f"{'parameter':<10} {'value':>14}  {'95 % interval (' + found.interval_method + ')':<34} meaning")
    for name, value in found.parameters.items():
        shown = "not identified" if name in found.not_identified else f"{value:.6g}"
        low, high = found.intervals.get(name, (float("nan"), float("nan")))
        interval = f"[{low:.5g}, {'unbounded' if high == float('inf') else f'{high:.5g}'}]" if low == low else "-"
        lines.append(f"{name:<10} {shown:>14}  {interval:<34} {meanings[name]}")
    if found.seed_noise is not None:
        lines.append(f"seed noise {100 * found.seed_noise:.3g} % of the loss")
    if found.certificate is not None:
        sure = found.certificate
        lines.append(
            f"certificate: {sure.starts_agreeing} of {sure.starts} starts agree; "
            f"a Newton step would still gain {sure.newton_decrement:.1e} of the objective"
        )
    return "\n".join(lines)
