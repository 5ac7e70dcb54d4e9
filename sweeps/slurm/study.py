"""`windtunnel study STUDY --submit`: what it does on a login node, and how a continuation of it trains."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from windtunnel.sweeps.cli.study_arguments import plan_of_arguments
from windtunnel.sweeps.execution.disk_budget import Trunks
from windtunnel.sweeps.pipeline.pipeline import begin
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.pipeline.stage import IN_WORDS, Stage, stage_of
from windtunnel.sweeps.planning.budget import refuse_beyond_budget, slurm_notes
from windtunnel.sweeps.slurm.continuation import Advance, advance, successor
from windtunnel.sweeps.slurm.durations import seconds_on
from windtunnel.sweeps.slurm.profile import load_cluster
from windtunnel.sweeps.slurm.queue import require
from windtunnel.sweeps.slurm.submission import LOCK_SECONDS, study_folder, submission_in_words
from windtunnel.sweeps.study.plan import Plan, PlannedRun

Tell = Callable[[str], None]


class Waiting(Exception):  # noqa: N818 - it is as it should be
    """A continuation goes on when the runs have ended."""


def submit_study(options: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """Submit what the loop needs next, if it is not in the queue; where it stands, as a document. Fits nothing. Raises
    InputError for bad input, and with SLURM's reason.
    """
    cluster = load_cluster(options.cluster)  # its mistakes first: a plan may take seconds, and its data minutes
    require()
    plan = plan_of_arguments(options, prepare=True)
    folder = OutcomeFolder(options.results / plan.file.name)
    refuse_beyond_budget(plan, options.runs, workers=None)
    for note in slurm_notes(plan):
        tell(note)
    with folder.alone(patience_seconds=LOCK_SECONDS):
        begin(plan, folder)
    stage = stage_of(plan, folder)
    found = None
    if stage != "scored":
        runs = plan.of("family") if stage == "family" else []  # what comes after is the continuation's, on a node
        seconds_of = seconds_on(cluster, runs, options.runs, tell)
        found = advance(plan, runs, cluster, words_of(options), seconds_of=seconds_of)
    return _document(plan, folder, stage, found)


def describe_submitted(document: dict[str, Any]) -> str:
    """For people."""
    study, stage = document["study"], document["stage"]
    if stage == "scored":
        return f"{study}: scored; outcome: {document['results']}"
    lines = [f"{study}: {IN_WORDS[stage]}"]
    if stage == "family":
        lines.append(document["words"])
    lines.append(f"job {document['continuation']} goes on from there, through to the score")
    lines.append(f"output: {document['output']}")
    return "\n".join(lines)


def trainer_of(plan: Plan, options: argparse.Namespace, tell: Tell) -> Callable[[Sequence[PlannedRun]], bool]:
    """How a continuation trains: it submits, and ends with `Waiting`. Raises that here where it has done so before."""
    cluster = load_cluster(options.cluster)
    later = successor(plan)
    if later is not None:
        raise Waiting(f"job {later} goes on")
    Trunks(plan).release_all()

    def train(runs: Sequence[PlannedRun]) -> bool:
        seconds_of = seconds_on(cluster, runs, options.runs, tell)
        words = words_of(options)
        found = advance(plan, runs, cluster, words, seconds_of=seconds_of, results_before=options.continuation)
        for fault in found.faults:
            tell(fault)
        if found.continuation is None:
            return False
        tell(submission_in_words(found.submission))
        raise Waiting(f"job {found.continuation} goes on when they have ended")

    return train


def words_of(options: argparse.Namespace) -> list[str]:
    """The command line of a continuation, in the same directory."""
    words = ["study", str(options.study), "--submit"]
    for name in ("cluster", "runs", "data", "results", "wandb"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    return words


def _document(plan: Plan, folder: OutcomeFolder, stage: Stage, found: Advance | None) -> dict[str, Any]:
    submission = found.submission if found else None
    runs_directory = plan.runs[0].folder.parent
    return {
        "study": plan.file.name,
        "stage": stage,
        "job": submission.job if submission else None,
        "tasks": submission.tasks if submission else 0,
        "time_minutes": submission.minutes if submission else 0,
        "submitted": list(submission.submitted) if submission else [],
        "queued": list(submission.queued) if submission else [],
        "continuation": found.continuation if found else None,
        "words": submission_in_words(submission) if submission else "",
        "output": str(study_folder(runs_directory, plan.file.name) / "output"),
        "results": str(folder.path),
    }
