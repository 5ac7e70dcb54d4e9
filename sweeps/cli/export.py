"""`windtunnel export`: write a checkpoint as a Hugging Face model folder."""

import argparse
from pathlib import Path

from windtunnel.sweeps.cli.output import log
from windtunnel.sweeps.cli.study_arguments import add_folder_arguments
from windtunnel.train.records import find_run

EPILOG = """\
examples:
  windtunnel export 197k-speeches-wsd-4m-s0-0123456789 --format hf
  windtunnel export runs/197k-speeches-wsd-4m-s0-0123456789 --step 2000 --output models/trunk

then, in Python:
  AutoModelForCausalLM.from_pretrained(FOLDER), AutoTokenizer.from_pretrained(FOLDER)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run id in --runs, or the path of a run folder")
    parser.add_argument("--format", choices=("hf",), default="hf", help="hf: Hugging Face transformers (default)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="a new folder for the model; default: RUN/hf-step-STEP"
    )
    parser.add_argument("--step", type=int, metavar="N", help="step of the checkpoint; default: the newest")
    add_folder_arguments(parser, "runs")


def run(arguments: argparse.Namespace) -> int:
    """Raises InputError."""
    from windtunnel.train.export import export_hf  # loads torch

    print(export_hf(find_run(arguments.run, arguments.runs), arguments.output, arguments.step, log))
    return 0
