"""The `windtunnel` command: one door, a verb each. Bad input is one line and exit status 2; a failed run is 1; --debug
shows tracebacks.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from windtunnel.sweeps.cli.study_arguments import name_studies
from windtunnel.train.errors import InputError

# Verbs with their own parser. Modules load only when their verb is used, so that `--help` is instant.
VERBS = {
    "data prepare": ("windtunnel.sweeps.cli.data_prepare", "text or a synthetic source -> token shards and a manifest"),
    "study": (
        "windtunnel.sweeps.cli.study",
        "the closed loop: train a family, fit, seal, train the targets, score, report",
    ),
    "sweep plan": ("windtunnel.sweeps.cli.sweep_plan", "every run of a study, and what all of it costs"),
    "sweep run": ("windtunnel.sweeps.cli.sweep_run", "train what is missing of a study, with workers on this machine"),
    "sweep submit": ("windtunnel.sweeps.cli.sweep_submit", "the family of a study as array jobs of SLURM"),
    "sweep status": ("windtunnel.sweeps.cli.sweep_status", "how far a study is, by its records and SLURM's queue"),
    "sweep cancel": ("windtunnel.sweeps.cli.sweep_cancel", "take a study out of SLURM's queue"),
    "table": (
        "windtunnel.sweeps.cli.table",
        "the run table of a study, a folder of runs, a CSV or Parquet file, or W&B",
    ),
    "laws": ("windtunnel.sweeps.cli.laws", "the catalogue of laws: formula, columns, citation, grid"),
    "fit": ("windtunnel.sweeps.cli.fit", "fit a law to a table"),
    "rank": ("windtunnel.sweeps.cli.rank", "laws ranked by held-out error and coverage, over growing compute"),
    "contrast": ("windtunnel.sweeps.cli.contrast", "two arms: which is better at a scale, and how likely"),
    "predict": ("windtunnel.sweeps.cli.predict", "what a fit predicts, sealed if asked"),
    "score": ("windtunnel.sweeps.cli.score", "a sealed prediction against the run it was about"),
    "audit": ("windtunnel.sweeps.cli.conventions", "exponents under every convention of parameters and FLOPs"),
    "isoflop": ("windtunnel.sweeps.cli.isoflop", "the best size at each budget, and its exponent"),
    "approaches": ("windtunnel.sweeps.cli.approaches", "the three Chinchilla approaches side by side"),
    "optimum": ("windtunnel.sweeps.cli.optimum", "the best size and tokens for a budget"),
    "report": ("windtunnel.sweeps.cli.report", "one page: the checklist of a fit, and its figures as SVG and PNG"),
    "curves fit": (
        "windtunnel.sweeps.cli.curves_fit",
        "a law of schedules fitted to whole loss curves, and tested on others",
    ),
    "curves rank": (
        "windtunnel.sweeps.cli.curves_rank",
        "laws of schedules by what they say of curves they have not seen",
    ),
    "curves predict": ("windtunnel.sweeps.cli.curves_predict", "the loss under a schedule that was not trained"),
    "curves score": (
        "windtunnel.sweeps.cli.curves_score",
        "a sealed prediction of curves against the runs it was about",
    ),
    "curves optimise": ("windtunnel.sweeps.cli.curves_optimize", "the schedule of least predicted loss for a horizon"),
    "curves live": (
        "windtunnel.sweeps.cli.curves_monitor",
        "the final loss of runs in training, and whether one is off its family",
    ),
    "export": ("windtunnel.train.export", "a run -> a model folder that transformers loads"),
    "wandb push": (
        "windtunnel.sweeps.cli.wandb_push",
        "rebuild in W&B, from what is recorded, runs or a study as one group",
    ),
    "doctor": ("windtunnel.train.doctor", "what this machine is good for"),
}
# What a shell reports of a program that a signal ended: 128 and its number.
INTERRUPTED, PIPE_CLOSED = 130, 141
TRAIN_HELP = "one run, or --multirun with any launcher (Hydra overrides)"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is for --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")

    def refuse_empty_values(self, words: Sequence[str]) -> None:
        """`''` for a path would quietly mean the working directory; most often it is a variable that was not set."""
        for before, word in zip(["", *words], words, strict=False):
            if not word:
                self.error(f"an empty value{f' after {before}' if before.startswith('-') else ''}: give one")
            if word.startswith("--") and word.endswith("="):
                self.error(f"an empty value after {word.removesuffix('=')}: give one")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--debug"]:
        arguments = [*(word for word in arguments[1:] if word != "--debug"), "--debug"]
    if arguments[:1] == ["train"]:
        try:
            from windtunnel.sweeps.pipeline.live_forecast import make_forecast
            from windtunnel.train.command import main as train

            return train(arguments[1:], make_forecast)
        except KeyboardInterrupt:
            return INTERRUPTED
    if arguments[:1] == ["--version"]:
        from importlib.metadata import version

        print(f"windtunnel {version('windtunnel')}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    verb = next((verb for verb in VERBS if arguments[: len(verb.split())] == verb.split()), None)
    family = [each for each in VERBS if each.split()[0] == arguments[0]]
    if verb is None and family and arguments[1:] in ([], ["-h"], ["--help"]):  # `windtunnel data --help`
        print("\n".join(f"  windtunnel {each:16}{VERBS[each][1]}" for each in family))
        return 0
    if verb is None:
        asked = " ".join(" ".join(arguments[:2]).split())
        print(f"windtunnel: {asked}: no such verb (there are: train, {', '.join(VERBS)})", file=sys.stderr)
        return 2
    debug = "--debug" in arguments
    try:
        status = _run(verb, arguments[len(verb.split()) :])
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough: `windtunnel table runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:
        if debug:
            raise
        bad_input = isinstance(error, InputError)
        first = (str(error).splitlines() or [""])[0]
        print(f"windtunnel: {first if bad_input else f'{type(error).__name__}: {first}'}", file=sys.stderr)
        return 2 if bad_input else 1


def _run(verb: str, words: Sequence[str]) -> int:
    module = import_module(VERBS[verb][0])
    parser = _Parser(
        prog=f"windtunnel {verb}", description=VERBS[verb][1], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show a traceback where there is one")
    parser.refuse_empty_values(words)
    options = parser.parse_args(words)
    name_studies(options)
    status: int = module.run(options)
    return status


def _overview() -> str:
    lines = ["windtunnel: train tiny transformers and leave records that scaling laws can be built on", ""]
    lines += [
        f"  windtunnel {verb:16}{text}"
        for verb, text in {"train": TRAIN_HELP, **{v: t for v, (_, t) in VERBS.items()}}.items()
    ]
    lines += [
        "",
        "for example:  windtunnel train size=25k horizon.tokens=2M",
        "each verb explains itself:  windtunnel VERB --help; windtunnel --version",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
