"""The `windtunnel` command. Bad input is one line and exit status 2, a failed run 1; `--debug` shows tracebacks."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from windtunnel.sweeps.cli.parser import Parser, name_options, print_renamed
from windtunnel.sweeps.cli.paths import check_distinct_files
from windtunnel.train.errors import InputError, did_you_mean

# The verb `sweep plan` is the module `sweep_plan` of this folder, imported when it is used: `--help` starts at once.
# A module has EPILOG (notes and examples), add_arguments(parser) and run(arguments), which returns the exit status.
GROUPS = {
    "train and studies": {
        "train": "train one run, or several with --multirun (settings are Hydra overrides)",
        "study": "train a family, fit laws, seal predictions, train the targets, score and report",
        "sweep plan": "list the runs of a study and their cost, without training",
        "sweep run": "train the missing runs of a study on this machine",
        "sweep submit": "submit the missing runs of a study to SLURM",
        "sweep status": "show the progress of a study, from its records and the SLURM queue",
        "sweep cancel": "remove a study from the SLURM queue",
        "doctor": "show what this machine can do",
    },
    "analysis": {
        "table": "show or write the table of runs of a source",
        "laws": "list the scaling laws, or show one",
        "fit": "fit a law to a table",
        "rank": "rank laws by their error on held-out runs",
        "contrast": "compare two arms at a compute budget",
        "predict": "predict the loss of a run from a fit, and seal the prediction",
        "score": "compare a sealed prediction with the trained run",
        "conventions": "compare exponents under every count of parameters and FLOPs",
        "approaches": "compare the three Chinchilla approaches",
        "isoflop": "find the best model size of each compute budget, and its exponent",
        "optimum": "find the best model size and token count for a compute budget",
        "report": "write an HTML page with the figures and the checklist of a fit",
    },
    "loss curves": {
        "curves fit": "fit a law of learning-rate schedules to whole loss curves",
        "curves rank": "rank laws of schedules by cross-validation",
        "curves predict": "predict the loss curve of a schedule, and seal the prediction",
        "curves score": "compare a sealed prediction of curves with the trained runs",
        "curves optimize": "find the schedule of least predicted loss",
        "curves monitor": "forecast the final loss of runs in training, and detect outliers",
    },
    "data and export": {
        "data prepare": "tokenize text or a synthetic source into a dataset",
        "export": "write a checkpoint as a Hugging Face model folder",
        "wandb push": "copy runs or a study to Weights & Biases",
    },
}
VERBS = {verb: summary for verbs in GROUPS.values() for verb, summary in verbs.items()}
RENAMED_VERBS = {
    "audit": "conventions",
    "curves live": "curves monitor",
    "curves optimise": "curves optimize",
}
INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 + SIGINT, 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--debug"]:
        words = [*(word for word in words[1:] if word != "--debug"), "--debug"]
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has closed the pipe: `windtunnel table runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:
        if "--debug" in words:
            raise
        is_input = isinstance(error, InputError)
        line = (str(error).splitlines() or [""])[0]
        print(f"windtunnel: {line if is_input else f'{type(error).__name__}: {line}'}", file=sys.stderr)
        return 2 if is_input else 1


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version  # 50 ms

        print(f"windtunnel {version('windtunnel')}")
        return 0
    words = _with_current_verb(words)
    verb = next((verb for verb in VERBS if words[: len(verb.split())] == verb.split()), None)
    if verb == "train":
        return _train(words[1:])
    if verb is not None:
        return _run_verb(verb, words[len(verb.split()) :])
    family = {verb: summary for verb, summary in VERBS.items() if verb.split()[0] == words[0]}
    if family and words[1:] in ([], ["-h"], ["--help"]):  # `windtunnel curves --help`
        print("\n".join(_summary_lines(family)))
        return 0
    name = " ".join(" ".join(words[:2] if family else words[:1]).split())
    hint = did_you_mean(name, VERBS) or "; windtunnel --help lists the verbs"
    raise InputError(f"{name}: no such verb{hint}")


def _with_current_verb(words: list[str]) -> list[str]:
    for old, new in RENAMED_VERBS.items():
        length = len(old.split())
        if words[:length] == old.split():
            print_renamed(old, new)
            return [*new.split(), *words[length:]]
    return words


def _train(words: list[str]) -> int:
    """`windtunnel train` is Hydra's: it parses its own words and reports its own errors."""
    from windtunnel.sweeps.pipeline.live_forecast import make_forecast  # torch and Hydra load in seconds
    from windtunnel.train.command import main as train

    return train(words, make_forecast)


def _run_verb(verb: str, words: Sequence[str]) -> int:
    module = import_module(f"windtunnel.sweeps.cli.{verb.replace(' ', '_')}")
    parser = Parser(
        prog=f"windtunnel {verb}",
        description=VERBS[verb],
        epilog=module.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_words(words)
    check_distinct_files(parser, arguments)
    try:
        status: int = module.run(arguments)
    except InputError as error:
        raise InputError(name_options(str(error), parser)) from error
    return status


def _overview() -> str:
    lines = [
        "usage: windtunnel VERB ...",
        "",
        "Train small transformers, fit scaling laws to them, predict larger runs.",
    ]
    for title, verbs in GROUPS.items():
        lines += ["", f"{title}:", *_summary_lines(verbs)]
    lines += [
        "",
        "examples:",
        "  windtunnel train size=25k horizon.tokens=2M",
        "  windtunnel fit runs --law chinchilla --output fit.json",
        "  windtunnel predict fit.json --at N=1e9,D=2e10",
        "",
        "windtunnel VERB --help shows the options and examples of a verb; windtunnel --version the version.",
    ]
    return "\n".join(lines)


def _summary_lines(verbs: dict[str, str]) -> list[str]:
    return [f"  {verb:<16} {summary}" for verb, summary in verbs.items()]


if __name__ == "__main__":
    sys.exit(main())
