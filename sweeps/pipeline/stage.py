"""How far the closed loop of a study is, from its records and its outcome alone."""

from typing import Literal

from windtunnel.sweeps.execution.job import is_final
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.study.plan import Plan

Stage = Literal["family", "sealing", "targets", "scoring", "scored"]
IN_WORDS: dict[Stage, str] = {
    "family": "training the family",
    "sealing": "fitting and sealing",
    "targets": "training the targets",
    "scoring": "scoring and reporting",
    "scored": "scored",
}


def stage_of(plan: Plan, folder: OutcomeFolder) -> Stage:
    """The step that is to be done next, or is being done; `scored`: none is."""
    if not all(is_final(run.folder) for run in plan.of("family")):
        return "family"
    if not all(is_final(run.folder) for run in plan.of("target")):
        return "targets" if folder.has_sealed else "sealing"
    return "scored" if _is_current(plan, folder) else "scoring"


def _is_current(plan: Plan, folder: OutcomeFolder) -> bool:
    """Whether the outcome is of this study and of the runs as they are; its last file is written last."""
    last = folder.report_page if plan.file.study.analysis is not None else folder.table
    if not (last.exists() and folder.table.exists() and folder.study.exists()):
        return False
    if folder.study.read_text() != plan.file.text:
        return False
    written = [folder.table, *(run.folder / "run.json" for run in plan.runs)]
    return last.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in written)
