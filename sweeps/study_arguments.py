"""What every verb on a study takes: the study, and where its runs and data lie."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.output_arguments import refuse_one_file
from sweeps.study_file import load_study, named_studies

if TYPE_CHECKING:
    from sweeps.plan import Plan


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "study",
        metavar="STUDY",
        help=f"a file that ends in .yaml, or one of {', '.join(named_studies()) or 'those that come with windtunnel'}",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs lie (default: runs)")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="prepared data (default: data)")


def plan_of_arguments(options: argparse.Namespace, prepare: bool = False) -> "Plan":
    """The plan of the study that was named; `prepare` makes its data where they are not there. Raises InputError."""
    from sweeps.plan import make_plan  # loads torch, for which --help should not wait

    refuse_one_file(options.study, json=getattr(options, "json", None))
    return make_plan(load_study(options.study), options.runs, options.data, prepare=prepare, progress=_tell)


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
