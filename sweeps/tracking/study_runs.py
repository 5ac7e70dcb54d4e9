"""A study in W&B: its runs as one group, and one run of job type `analysis` with its results.

Everything is built from the run records and the results folder. Pushing again replaces it.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.study.plan import Plan
from windtunnel.sweeps.tracking.analysis_run import StudyContent, read_study_content
from windtunnel.train.errors import InputError
from windtunnel.train.tracking.wandb_mirror import push
from windtunnel.train.tracking.wandb_run import (
    Destination,
    Mode,
    PushResult,
    capture_errors,
    location_of,
    offline_folder,
    open_run,
    replace_run,
)

if TYPE_CHECKING:  # wandb loads in a second
    import wandb

MAX_NAME_LENGTH = 64  # of the study in a run id; W&B derives longer names from the id, of at most 128 characters


def study_pushes(
    plan: Plan, folder: ResultsFolder, mode: Mode, directory: Path | None, log: Callable[[str], None]
) -> list[Callable[[], PushResult]]:
    """One push for each recorded run of the study, then one for the analysis; missing parts are logged. Raises
    InputError where there is nothing to push.
    """
    name, destination = plan.file.name, study_destination(plan)
    recorded = [run.folder for run in plan.runs if (run.folder / "run.json").exists()] if plan.prepared else []
    if not recorded and not folder.table.exists():
        raise InputError(
            f"{name}: nothing to push: none of its runs is in {plan.runs[0].folder.parent} and no results in "
            f"{folder.path}; name the folders with runs=... and results=..., or start with: windtunnel study {name}"
        )
    if not plan.prepared:
        log(f"{name}: the data of its runs are not prepared here, so their ids are not known: no run is pushed")
    elif len(recorded) < len(plan.runs):
        log(f"{name}: {len(plan.runs) - len(recorded)} of its {len(plan.runs)} runs are not recorded yet")
    pushes = [partial(push, run, mode=mode, directory=directory, destination=destination) for run in recorded]
    if not folder.table.exists():
        log(f"{name}: no analysis yet: no results in {folder.path}; windtunnel study {plan.file.path} writes them")
        return [*pushes]
    return [*pushes, partial(push_analysis, name, folder, destination, mode=mode, directory=directory)]


def study_destination(plan: Plan) -> Destination:
    """The W&B project and group of a study, also for its runs that were first trained elsewhere."""
    logging = plan.runs[0].config.logging
    return Destination(logging.project, logging.group or plan.file.name)


def analysis_id(study: str) -> str:
    """The W&B run id of a study's analysis: its name, as far as W&B allows it."""
    plain = re.sub(r"[^\w.+-]", "-", study, flags=re.ASCII)[:MAX_NAME_LENGTH]
    return f"analysis-{plain}" + ("" if plain == study else f"-{hashlib.sha256(study.encode()).hexdigest()[:8]}")


def push_analysis(
    study: str, folder: ResultsFolder, destination: Destination, *, mode: Mode, directory: Path | None = None
) -> PushResult:
    """Write the analysis run of a study, replacing an earlier one. A failure of W&B is returned. Raises InputError
    where the results cannot be read.
    """
    content = read_study_content(folder)
    run_id, parent = analysis_id(study), offline_folder(directory)

    def write(scratch: Path) -> str:
        with open_run(
            run_id,
            mode,
            scratch,
            destination,
            job_type="analysis",
            tags=["analysis"],
            config={"name": study, **content.config},
        ) as run:
            location = location_of(run, mode)
            # `wandb sync` reads the files of tables again from where they were when the run was written.
            staged = _staged(parent, run_id) / Path(location).name if mode == "offline" else scratch / "staged"
            with _staging(staged):
                _log_content(run, content)
        run.finish(exit_code=0)
        return location

    def replace() -> str:
        location = replace_run(run_id, mode, parent, write)
        if mode == "offline":
            _drop_staged(_staged(parent, run_id), keep=Path(location).name)
        return location

    return capture_errors(run_id, replace)


def _log_content(run: "wandb.Run", content: StudyContent) -> None:
    import wandb

    logged: dict[str, object] = {
        name: wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])
        for name, table in content.tables.items()
    }
    logged |= {f"figures/{name}": wandb.Image(str(path)) for name, path in content.figures.items()}
    if content.page is not None:
        logged["report"] = wandb.Html(str(content.page), inject=False)
    run.log(logged, step=0, commit=True)
    run.summary.update(content.summary)
    for name, path in content.files.items():
        # A copy, because W&B would link to the file, which may change before the upload.
        copy = Path(run.dir) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        run.save(str(copy), base_path=run.dir, policy="now")


def _staged(parent: Path, run_id: str) -> Path:
    return parent / f".tables-{run_id}"


@contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """Make W&B write the files of tables to `folder`; by default it leaves them in the home directory."""
    shutil.rmtree(folder, ignore_errors=True)  # left by a push within the same second
    before = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_DATA_DIR"]
        else:
            os.environ["WANDB_DATA_DIR"] = before


def _drop_staged(staged: Path, keep: str) -> None:
    """Delete the tables of pushes that were replaced or killed."""
    for folder in staged.iterdir():
        if folder.name != keep:
            shutil.rmtree(folder, ignore_errors=True)
