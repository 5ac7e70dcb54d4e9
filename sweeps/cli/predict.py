"""`windtunnel predict`: what a fit says of a run that is not trained yet, sealed if asked."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.predict import Prediction, describe, predict
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.prediction.target import AXES, parse_at
from windtunnel.sweeps.cli.arguments import json_output, output_folder, refuse_one_file, write_document
from windtunnel.train.errors import InputError
from windtunnel.train.provenance import commit

EXAMPLE = """examples:
  windtunnel predict fit.json --at N=1e9,D=2e10
  windtunnel predict fit.json --at N=1e9,D=2e10 --seal --output predictions --results runs-of-the-target

A sealed file is named by the hash of its content: publish the hash or commit the file before the target is trained."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    parser.add_argument("fit", type=Path, metavar="FIT", help="a file written by `windtunnel fit --output`")
    parser.add_argument("--at", required=True, metavar="N=1e9,D=2e10", help="the target, in the columns of the fit")
    parser.add_argument(
        "--far", action="store_true", help="allow a target more than 30 times beyond the data in N, D or C, or below it"
    )
    parser.add_argument("--seal", action="store_true", help="write it down so that it cannot be changed afterwards")
    parser.add_argument(
        "--output",
        type=output_folder,
        default=None,
        metavar="FOLDER",
        help="of the sealed file; default beside the fit",
    )
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        metavar="SOURCE",
        help="where the target may have been trained, beside the source of the fit; sealing is refused if it was",
    )
    parser.add_argument("--columns", metavar="N=a,D=b", help="columns of those sources by the names laws use")
    parser.add_argument("--no-rivals", action="store_true", help="skip the comparison with plain forms")
    parser.add_argument(
        "--json", type=json_output, metavar="PATH", help="the prediction for programs; - is standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the prediction. Raises InputError for bad input."""
    refuse_one_file(arguments.fit, *arguments.results, json=arguments.json)
    fit = Fit.from_json(arguments.fit)
    found = predict(fit, parse_at(arguments.at), far=arguments.far, rivals=not arguments.no_rivals)
    path = None
    if arguments.seal:
        folder = arguments.output if arguments.output is not None else arguments.fit.parent
        sources = [*_own_source(fit, arguments.results), *arguments.results]
        path = seal(found, fit, folder, results=sources, columns=arguments.columns, commit=commit())
        found = read_sealed(path)
    if not write_document({**found.document(), "file": None if path is None else str(path)}, arguments.json):
        print(describe_prediction(found))
        if path is not None:
            print(f"sealed {found.sealed}\nat {found.time} in {path}")
    return 0


def _own_source(fit: Fit, others: Sequence[str]) -> list[str]:
    """Where the fitted table came from, so that rows of it that were not fitted are seen too."""
    if not fit.source or fit.source == "memory":
        return []
    if not fit.source.startswith("wandb:") and not Path(fit.source).exists():
        if not others:
            raise InputError(f"{fit.source}: the source of the fit is not here to look through; name it with --results")
        return []
    return [fit.source]


def describe_prediction(found: Prediction) -> str:
    """The prediction for people."""
    low, high = found.interval_90
    ends = f"[{low:.5g}, {'unbounded' if math.isinf(high) else format(high, '.5g')}]"
    reach = ", ".join(f"{ratio:.3g} x {axis}" for axis in AXES if (ratio := found.extrapolation[axis]) is not None)
    lines = [
        f"{found.law} at {describe(found.at)}: {found.formula}",
        f"loss {found.loss:.5g}, 90 % interval of a new run {ends}",
        f"relative to the largest of the data: {reach}; {found.fit['num_points']} points, "
        f"{len(found.fit['parameters'])} parameters",
    ]
    if found.rivals:
        known = sorted(found.rivals.items(), key=lambda pair: math.inf if pair[1] is None else pair[1])
        shown = ", ".join(f"{law} {'-' if error is None else f'{100 * error:.2f} %'}" for law, error in known)
        lines.append(f"held-out error on this table: {shown}")
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])
