"""Run a study on this machine, from its plan to scores and report: `windtunnel study` and `windtunnel.Study.run`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windtunnel.sweeps.execution.scheduler import run_jobs
from windtunnel.sweeps.pipeline.pipeline import PipelineResult, Train, run_pipeline
from windtunnel.sweeps.pipeline.reports import write_reports
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.sealing import Log
from windtunnel.sweeps.pipeline.summary import summary_lines
from windtunnel.sweeps.planning.budget import check_budget
from windtunnel.sweeps.planning.devices import count_workers
from windtunnel.sweeps.study.load import StudyFile
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan


class StudyIncomplete(RuntimeError):  # noqa: N818 - a state of the study
    """Runs failed, so the study stopped before its scores. Running it again retries them."""


class StudyInterrupted(KeyboardInterrupt):
    """A signal stopped training. Runs saved their state; running the study again continues it."""

    def __init__(self, signal: int) -> None:
        super().__init__(f"interrupted by signal {signal}")
        self.signal = signal


@dataclass(frozen=True)
class StudyResult:
    """A completed study. `pages`: the files of its report, the main page first."""

    plan: Plan
    folder: ResultsFolder
    outcome: PipelineResult
    pages: tuple[Path, ...]

    def summary(self) -> list[str]:
        """About five lines for people."""
        return summary_lines(self.plan, self.outcome, self.pages)

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON."""
        curves = self.outcome.curves
        return {
            "study": self.plan.file.name,
            "results": str(self.folder.path),
            "scores": [score.to_dict() for score in self.outcome.scores],
            "curve_scores": [score.to_dict() for score in curves.scores] if curves is not None else [],
        }


def run_study(
    study: StudyFile,
    *,
    runs_directory: Path = Path("runs"),
    data_directory: Path = Path("data"),
    results_directory: Path = Path("results"),
    workers: int | None = None,
    log: Log = print,
) -> StudyResult:
    """Train the family, fit and seal, train the targets, score, and write the report, as far as this was not done
    before. Results are in `results_directory` below the study's name.

    workers: runs in training at once; None: as many as the machine takes. log: called with each line of progress.

    Raises InputError where the study cannot be carried out as written or exceeds its budget, or another process is
    running it; StudyIncomplete where runs failed; StudyInterrupted where a signal stopped training.
    """
    plan = make_plan(study, runs_directory, data_directory, prepare=True, progress=log)

    def train(runs: Sequence[PlannedRun]) -> bool:
        result = run_jobs(plan, runs, workers=workers)
        if result.signal is not None:
            raise StudyInterrupted(result.signal)
        for failure in result.failures:
            log(f"{failure.run_id} failed: {failure.error}")
        return result.is_complete

    check_budget(plan, runs_directory, count_workers(plan.runs, workers))
    folder = ResultsFolder(results_directory / plan.file.name)
    with folder.lock():
        return complete_study(plan, folder, train, log)


def complete_study(plan: Plan, folder: ResultsFolder, train: Train, log: Log) -> StudyResult:
    """Run the pipeline and write the report. `folder` is locked by the caller. Raises as `run_study` does."""
    outcome = run_pipeline(plan, folder, train, log)
    if outcome is None:
        raise StudyIncomplete(f"{plan.file.name}: runs are missing; fix the cause of the failures and repeat")
    return StudyResult(plan, folder, outcome, tuple(write_reports(plan, outcome, folder, log)))
