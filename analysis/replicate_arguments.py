"""`--bootstrap B` and `--seed`, the same in every verb that resamples."""

import argparse

# The ends of a 95 % interval of fewer replicates are single draws.
LEAST_REPLICATES = 100


def add_replicate_arguments(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    """The two options; where the default is none, `--bootstrap 0` means that too."""
    shown = default or "none"
    parser.add_argument(
        "--bootstrap",
        type=_replicates if default else _replicates_or_none,
        default=default,
        metavar="B",
        help=f"{what}, {LEAST_REPLICATES} or more; default {shown}",
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of the bootstrap; default 0")


def _replicates(text: str) -> int:
    number = _whole(text)
    if number < LEAST_REPLICATES:
        raise argparse.ArgumentTypeError(f"{number} replicates: an interval needs {LEAST_REPLICATES} or more")
    return number


def _replicates_or_none(text: str) -> int:
    return 0 if text == "0" else _replicates(text)


def seed_number(text: str) -> int:
    """A `--seed`."""
    number = _whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number}: a seed is 0 or more")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
