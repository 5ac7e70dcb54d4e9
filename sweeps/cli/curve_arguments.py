"""Options of the verbs that read loss curves."""

import argparse

from windtunnel.analysis.curves.curve import LOSS_KINDS, LossCurve
from windtunnel.analysis.curves.load import load_curve_groups


def add_curve_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """How files and runs are read as loss curves."""
    parser.add_argument(
        "--columns",
        metavar="step=a,lr=b",
        help="columns of the files for step, lr and loss (also N: size, B: tokens per step)",
    )
    parser.add_argument(
        "--warmup",
        type=_steps,
        metavar="STEPS",
        help="length of the warm-up, for files that do not show it; default: until the rate stops rising",
    )
    parser.add_argument(
        "--losses",
        choices=LOSS_KINDS,
        default="training",
        help="the losses to read from run folders; default training",
    )


def add_curve_arguments(parser: argparse.ArgumentParser) -> None:
    """Curves to fit and curves to test on."""
    parser.add_argument(
        "--train",
        nargs="+",
        required=True,
        metavar="CURVE",
        help="curves to fit: CSV or Parquet files, run folders, folders of runs; FILE@N=25e6 gives the model size",
    )
    parser.add_argument("--test", nargs="+", default=[], metavar="CURVE", help="curves to predict; they are not fitted")
    add_curve_reading_arguments(parser)
    parser.add_argument(
        "--objective", metavar="O", help="log-huber:DELTA, log-mse, huber:DELTA or mse; default log-huber:1e-3"
    )


def curves_from_arguments(arguments: argparse.Namespace) -> tuple[list[LossCurve], list[LossCurve]]:
    """Curves to fit and curves to test on. Raises InputError."""
    train, test = load_curve_groups(
        [arguments.train, arguments.test],
        columns=arguments.columns,
        warmup=arguments.warmup,
        losses=arguments.losses,
    )
    return train, test


def _steps(text: str) -> int:
    try:
        steps = int(text)
    except ValueError:
        steps = -1
    if steps < 0:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of steps, 0 or more")
    return steps
