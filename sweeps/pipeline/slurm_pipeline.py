"""The pipeline of a study on SLURM: its start on a login node, and the continuation job that resumes the pipeline on a
node when the runs of a step have ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.sweeps.execution.disk_budget import Trunks
from windtunnel.sweeps.pipeline.pipeline import start_pipeline
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.run_study import StudyResult, complete_study
from windtunnel.sweeps.pipeline.sealing import Log
from windtunnel.sweeps.pipeline.stage import STAGE_DESCRIPTIONS, Stage, current_stage
from windtunnel.sweeps.planning.budget import check_budget, slurm_notes
from windtunnel.sweeps.slurm.continuation import StepSubmission, find_successor, submit_step
from windtunnel.sweeps.slurm.durations import estimate_durations
from windtunnel.sweeps.slurm.profile import ClusterProfile
from windtunnel.sweeps.slurm.submission import LOCK_SECONDS, format_submission, study_folder
from windtunnel.sweeps.study.plan import Plan, PlannedRun


class WaitingForJobs(Exception):  # noqa: N818 - not an error
    """The runs of a step are submitted; another continuation job resumes the pipeline."""


@dataclass(frozen=True)
class SubmittedStudy:
    """The stage of a study and the jobs that continue it. `step` is None where the study is scored."""

    plan: Plan
    folder: ResultsFolder
    stage: Stage
    step: StepSubmission | None

    @property
    def output(self) -> Path:
        return study_folder(self.plan.runs[0].folder.parent, self.plan.file.name) / "output"

    def summary(self) -> list[str]:
        name = self.plan.file.name
        if self.step is None:
            return [f"{name}: scored; results: {self.folder.path}"]
        jobs = [format_submission(self.step.submission)] if self.stage == "family" else []
        return [
            f"{name}: {STAGE_DESCRIPTIONS[self.stage]}",
            *jobs,
            f"job {self.step.continuation} continues from there to the scores",
            f"output: {self.output}",
        ]

    def to_dict(self) -> dict[str, Any]:
        submission = self.step.submission if self.step else None
        return {
            "study": self.plan.file.name,
            "stage": self.stage,
            "job": submission.job if submission else None,
            "tasks": submission.tasks if submission else 0,
            "time_minutes": submission.minutes if submission else 0,
            "submitted": list(submission.submitted) if submission else [],
            "queued": list(submission.queued) if submission else [],
            "continuation": self.step.continuation if self.step else None,
            "output": str(self.output),
            "results": str(self.folder.path),
        }


def submit_study(
    plan: Plan, results_directory: Path, profile: ClusterProfile, command: Sequence[str], log: Log
) -> SubmittedStudy:
    """Submit the next step of the study and its continuation, unless they are in the queue. Returns at once.

    command: the `windtunnel` arguments that the continuation repeats in this directory. Raises InputError where the
    study cannot be carried out as written or exceeds its budget, and with SLURM's reason.
    """
    folder = ResultsFolder(results_directory / plan.file.name)
    runs_directory = plan.runs[0].folder.parent
    check_budget(plan, runs_directory, workers=None)
    for note in slurm_notes(plan):
        log(note)
    with folder.lock(timeout_seconds=LOCK_SECONDS):
        start_pipeline(plan, folder)
    stage = current_stage(plan, folder)
    if stage == "scored":
        return SubmittedStudy(plan, folder, stage, None)
    runs = plan.family if stage == "family" else []  # later steps are submitted by the continuation
    duration_of = estimate_durations(profile, runs, runs_directory, log)
    return SubmittedStudy(plan, folder, stage, submit_step(plan, runs, profile, command, duration_of=duration_of))


def continue_study(
    plan: Plan,
    results_directory: Path,
    profile: ClusterProfile,
    command: Sequence[str],
    results_before: int,
    log: Log,
) -> StudyResult:
    """Run the pipeline in a continuation job, as far as the trained runs allow. results_before: as in `submit_step`.

    Raises WaitingForJobs once the runs of the next step are submitted, StudyIncomplete where runs failed, and
    InputError as `submit_study` does.
    """
    folder = ResultsFolder(results_directory / plan.file.name)

    def train(runs: Sequence[PlannedRun]) -> bool:
        duration_of = estimate_durations(profile, runs, plan.runs[0].folder.parent, log)
        step = submit_step(plan, runs, profile, command, duration_of=duration_of, results_before=results_before)
        for problem in step.problems:
            log(problem)
        if step.continuation is None:
            return False
        log(format_submission(step.submission))
        raise WaitingForJobs(f"job {step.continuation} continues when they have ended")

    with folder.lock(timeout_seconds=LOCK_SECONDS):
        later = find_successor(plan)  # this job did its work before and was started again by SLURM
        if later is not None:
            raise WaitingForJobs(f"job {later} continues")
        Trunks(plan).prune_all()
        return complete_study(plan, folder, train, log)
