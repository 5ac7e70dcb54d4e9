"""`windtunnel predict`: predict the loss of a run from a fit, and seal the prediction."""

import argparse
from pathlib import Path

from windtunnel.analysis.comparison.ranking import baseline_errors
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.existing_results import fitted_sources
from windtunnel.analysis.prediction.predict import predict
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.prediction.target import parse_at
from windtunnel.analysis.report.text import format_prediction
from windtunnel.sweeps.cli.arguments import add_extrapolation_argument, add_json_argument
from windtunnel.sweeps.cli.output import print_result
from windtunnel.sweeps.cli.paths import output_folder
from windtunnel.sweeps.cli.study_arguments import resolve_source
from windtunnel.train.provenance import commit

EPILOG = """examples:
  windtunnel predict fit.json --at N=1e9,D=2e10
  windtunnel predict fit.json --at N=1e9,D=2e10 --seal --output predictions --results runs-of-the-target

The name of a sealed file is the hash of its content. Publish the hash, or commit the file, before the target is
trained."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fit", type=Path, metavar="FIT", help="a file written by `windtunnel fit --output`")
    parser.add_argument("--at", required=True, metavar="N=1e9,D=2e10", help="the target, in the columns of the fit")
    add_extrapolation_argument(parser, "target")
    parser.add_argument("--seal", action="store_true", help="write the prediction to a file that cannot be changed")
    parser.add_argument(
        "--output", type=output_folder, metavar="DIR", help="folder of the sealed file; default: that of FIT"
    )
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        metavar="SOURCE",
        help="another source to search for results of the target: a target with results is not sealed; repeatable",
    )
    parser.add_argument("--columns", metavar="N=a,D=b", help="name columns of these sources as the laws do")
    parser.add_argument("--no-baselines", action="store_true", help="skip the comparison with baseline laws")
    add_json_argument(parser, "the prediction")


def run(arguments: argparse.Namespace) -> int:
    fit = Fit.from_json(arguments.fit)
    prediction = predict(
        fit,
        parse_at(arguments.at),
        allow_extrapolation=arguments.allow_extrapolation,
        baselines=None if arguments.no_baselines else baseline_errors(fit),
    )
    path = None
    if arguments.seal:
        folder = arguments.output if arguments.output is not None else arguments.fit.parent
        sources = [*fitted_sources(fit, arguments.results), *map(resolve_source, arguments.results)]
        path = seal(prediction, fit, folder, results=sources, columns=arguments.columns, commit=commit())
        prediction = read_sealed(path)
    sealed = [] if path is None else [f"sealed {prediction.sealed}", f"at {prediction.time} in {path}"]
    document = {**prediction.to_dict(), "file": None if path is None else str(path)}
    print_result(arguments, document, [*format_prediction(prediction), *sealed])
    return 0
