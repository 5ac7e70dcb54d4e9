"""What every verb on a study takes: the study, and where its runs and data lie."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.sweeps.cli.arguments import refuse_one_file
from windtunnel.sweeps.study.load import load_study, named_studies

if TYPE_CHECKING:
    from windtunnel.sweeps.study.plan import Plan


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
    from windtunnel.sweeps.study.plan import make_plan  # loads torch, for which --help should not wait

    refuse_one_file(options.study, json=getattr(options, "json", None))
    return make_plan(load_study(options.study), options.runs, options.data, prepare=prepare, progress=_tell)


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


SOURCES = ("source", "first", "second")  # options of the verbs that read tables
WRITTEN = ("json", "csv", "parquet", "output")  # and of what they write


def name_studies(options: argparse.Namespace) -> None:
    """Put the runs of a study in place of its name. Raises InputError where the study cannot be read."""
    for name in SOURCES:
        value = getattr(options, name, None)
        if isinstance(value, str) and is_study(value):
            # Studies load Hydra and more, for which no other source should wait.
            from windtunnel.sweeps.cli.arguments import refuse_one_file
            from windtunnel.sweeps.pipeline.pipeline import run_set
            from windtunnel.sweeps.study.load import load_study
            from windtunnel.sweeps.study.plan import make_plan

            file = load_study(value)
            refuse_one_file(file.path, **{each: getattr(options, each, None) for each in WRITTEN})
            setattr(options, name, run_set(make_plan(file, Path("runs"), Path("data"))))


def is_study(value: str) -> bool:
    """Whether a word names a study: its file, or one that comes with windtunnel. What is a file or folder is none."""
    if value.endswith((".yaml", ".yml")):
        return True
    packaged = Path(__file__).parents[1] / "studies" / f"{value}.yaml"
    return value.replace("-", "").isalnum() and not Path(value).exists() and packaged.exists()
