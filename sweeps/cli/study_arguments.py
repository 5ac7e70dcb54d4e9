"""Options of the verbs that take a study, and studies as the SOURCE of other verbs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.analysis.tables.load import Source
from windtunnel.sweeps.cli.output import log

if TYPE_CHECKING:  # torch and Hydra load in seconds, and `--help` does not need them
    from windtunnel.sweeps.study.plan import Plan

PACKAGED = Path(__file__).resolve().parents[1] / "studies"


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    studies = ", ".join(sorted(path.stem for path in PACKAGED.glob("*.yaml")))
    parser.add_argument("study", metavar="STUDY", help=f"a .yaml file, or one of the packaged studies: {studies}")
    add_folder_arguments(parser, "runs", "data")


def add_folder_arguments(parser: argparse.ArgumentParser, *names: str) -> None:
    """`--runs`, `--data` and `--results`: folders whose default is the name of the option."""
    what = {"runs": "runs", "data": "prepared datasets", "results": "results of studies"}
    for name in names:
        parser.add_argument(
            f"--{name}", type=Path, default=Path(name), metavar="DIR", help=f"folder of {what[name]}; default {name}"
        )


def plan_from_arguments(arguments: argparse.Namespace, prepare: bool = False) -> "Plan":
    """The plan of STUDY. `prepare` makes missing datasets. Raises InputError."""
    return plan_of_study(arguments.study, arguments.runs, arguments.data, prepare)


def plan_of_study(study: str, runs: Path, data: Path, prepare: bool = False) -> "Plan":
    """The plan of a study, given by its file or as the name of a packaged study. Raises InputError."""
    from windtunnel.sweeps.study.load import load_study  # loads pydantic
    from windtunnel.sweeps.study.plan import make_plan  # loads torch and Hydra

    return make_plan(load_study(study), runs, data, prepare=prepare, progress=log)


def resolve_source(source: str) -> Source:
    """The runs of a study where the word names one; any other SOURCE as it is. Raises InputError."""
    if not is_study(source):
        return source
    from windtunnel.sweeps.pipeline.pipeline import run_set  # loads torch and Hydra

    return run_set(plan_of_study(source, Path("runs"), Path("data")))


def is_study(word: str) -> bool:
    """Whether a word names a study: a .yaml file or a packaged study. The name of a file or folder is not a study."""
    if word.endswith((".yaml", ".yml")):
        return True
    return word.replace("-", "").isalnum() and not Path(word).exists() and (PACKAGED / f"{word}.yaml").exists()
