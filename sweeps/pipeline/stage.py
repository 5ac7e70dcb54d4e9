"""The stage of a study's pipeline, from the run records and the results folder alone."""

from typing import Literal

from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.study.plan import Plan
from windtunnel.train.records import is_final

Stage = Literal["family", "sealing", "targets", "scoring", "scored"]
STAGE_DESCRIPTIONS: dict[str, str] = {
    "family": "training the family",
    "sealing": "fitting and sealing",
    "targets": "training the targets",
    "scoring": "scoring and reporting",
    "scored": "scored",
}


def current_stage(plan: Plan, folder: ResultsFolder) -> Stage:
    """The stage that runs now or next; `scored` if the study is complete."""
    if not all(is_final(run.folder) for run in plan.family):
        return "family"
    if not all(is_final(run.folder) for run in plan.targets):
        return "targets" if folder.has_sealed else "sealing"
    return "scored" if _is_current(plan, folder) else "scoring"


def _is_current(plan: Plan, folder: ResultsFolder) -> bool:
    """Whether the results belong to this study file and to the run records as they are. The report, or without an
    analysis the table, is written last.
    """
    last = folder.report_page if plan.file.study.analysis is not None else folder.table
    if not (last.exists() and folder.table.exists() and folder.study.exists()):
        return False
    if folder.study.read_text() != plan.file.text:
        return False
    inputs = [folder.table, *(run.folder / "run.json" for run in plan.runs)]
    return last.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in inputs)
