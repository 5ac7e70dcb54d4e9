"""The options that the verbs of curves share, and the curves that they ask for."""

import argparse

import numpy as np

from analysis.curves.curve import Curve
from analysis.curves.curve_from_run import LOSSES
from analysis.curves.sources import read_curves, refuse_twice


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """How curves are read."""
    parser.add_argument(
        "--columns",
        metavar="step=a,lr=b",
        help="columns of the files for step, lr and loss (N: size, B: tokens a step)",
    )
    parser.add_argument(
        "--warmup",
        type=_steps,
        metavar="STEPS",
        help="length of the warm-up of files whose rates do not show it; default: where the first rise ends, and "
        "where a file begins late at its peak, its first step",
    )
    parser.add_argument(
        "--losses", choices=LOSSES, default="training", help="of run folders: the training curve, or the evaluations"
    )


def add_curve_arguments(parser: argparse.ArgumentParser) -> None:
    """Curves to fit and curves to test on."""
    parser.add_argument(
        "--train",
        nargs="+",
        required=True,
        metavar="F",
        help="curves to fit: CSV or Parquet files, run folders, folders of runs; FILE@N=25e6 says a size",
    )
    parser.add_argument("--test", nargs="+", default=[], metavar="F", help="curves to predict, which no fit sees")
    add_reading_arguments(parser)
    parser.add_argument("--objective", metavar="O", help="log-huber:DELTA, log-mse, huber:DELTA or mse; default 1e-3")


def curves_of_arguments(arguments: argparse.Namespace) -> tuple[list[Curve], list[Curve]]:
    """Curves to fit and to test. Files that begin at their peak within one logging interval of each other are taken to
    have had one warm-up, that of the earliest. Raises InputError.
    """

    def read(warmup: int | None) -> tuple[list[Curve], list[Curve]]:
        train, test = (
            read_curves(words, arguments.columns, warmup, arguments.losses)
            for words in (arguments.train, arguments.test)
        )
        return train, test

    train, test = read(arguments.warmup)
    refuse_twice([*train, *test])
    begins = [curve.rates.warmup for curve in (*train, *test)]
    interval = min(float(np.median(np.diff(curve.time_P))) for curve in (*train, *test))
    if all(curve.warmup_is_guessed for curve in (*train, *test)) and 0 < max(begins) - min(begins) < interval:
        return read(min(begins))
    return train, test


def _steps(text: str) -> int:
    try:
        steps = int(text)
    except ValueError:
        steps = -1
    if steps < 0:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of steps, 0 or more")
    return steps
