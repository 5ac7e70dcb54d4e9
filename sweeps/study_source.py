"""A study as the SOURCE of a verb: its runs, its targets held out."""

import argparse
from pathlib import Path

SOURCES = ("source", "first", "second")  # options of the verbs that read tables
WRITTEN = ("json", "csv", "parquet", "output")  # and of what they write


def name_studies(options: argparse.Namespace) -> None:
    """Put the runs of a study in place of its name. Raises InputError where the study cannot be read."""
    for name in SOURCES:
        value = getattr(options, name, None)
        if isinstance(value, str) and is_study(value):
            # Studies load Hydra and more, for which no other source should wait.
            from analysis.output_arguments import refuse_one_file
            from sweeps.closed_loop import run_set
            from sweeps.plan import make_plan
            from sweeps.study_file import load_study

            file = load_study(value)
            refuse_one_file(file.path, **{each: getattr(options, each, None) for each in WRITTEN})
            setattr(options, name, run_set(make_plan(file, Path("runs"), Path("data"))))


def is_study(value: str) -> bool:
    """Whether a word names a study: its file, or one that comes with windtunnel. What is a file or folder is none."""
    if value.endswith((".yaml", ".yml")):
        return True
    packaged = Path(__file__).parent / "studies" / f"{value}.yaml"
    return value.replace("-", "").isalnum() and not Path(value).exists() and packaged.exists()
