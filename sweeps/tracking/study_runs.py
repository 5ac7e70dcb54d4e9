"""A study in W&B: one group of its runs, and one run of job type `analysis` with what it came to.

All of it is rebuilt from the run records and the outcome folder; pushing again replaces.
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

from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.study.plan import Plan
from windtunnel.sweeps.tracking.analysis_run import Analysis, read_analysis
from windtunnel.train.errors import InputError
from windtunnel.train.tracking.wandb_mirror import push
from windtunnel.train.tracking.wandb_run import (
    Home,
    Mode,
    Push,
    attempt,
    location_of,
    offline_parent,
    opened,
    replace_run,
)

if TYPE_CHECKING:
    import wandb

NAME_LENGTH = 64  # of the id's part that names the study; W&B makes longer names of it, of at most 128


def study_pushes(
    plan: Plan, folder: OutcomeFolder, mode: Mode, directory: Path | None, tell: Callable[[str], None]
) -> list[Callable[[], Push]]:
    """One push for each run of the study that is recorded, then the analysis; what is missing is told. Raises
    InputError where there is nothing to push.
    """
    name, home = plan.file.name, home_of(plan)
    recorded = [run.folder for run in plan.runs if (run.folder / "run.json").exists()] if plan.prepared else []
    if not recorded and not folder.table.exists():
        raise InputError(
            f"{name}: nothing to push: no run of it in {plan.runs[0].folder.parent} and no outcome in {folder.path}; "
            f"name the folders with --runs and --results, or begin with: windtunnel study {name}"
        )
    if not plan.prepared:
        tell(f"{name}: the data of its runs are not prepared here, so that their ids are not known: no run is pushed")
    elif len(recorded) < len(plan.runs):
        tell(f"{name}: {len(plan.runs) - len(recorded)} of its {len(plan.runs)} runs are not recorded yet")
    pushes = [partial(push, run, mode=mode, directory=directory, home=home) for run in recorded]
    if not folder.table.exists():
        tell(f"{name}: no analysis yet: nothing in {folder.path}; windtunnel study {plan.file.path} makes it")
        return [*pushes]
    return [*pushes, partial(push_analysis, name, folder, home, mode=mode, directory=directory)]


def home_of(plan: Plan) -> Home:
    """Where all of a study goes, also runs that another study, or none, trained first."""
    logging = plan.runs[0].config.logging
    return Home(logging.project, logging.group or plan.file.name)


def analysis_id(study: str) -> str:
    """The id of a study's analysis run: its name, as far as W&B takes it."""
    plain = re.sub(r"[^\w.+-]", "-", study, flags=re.ASCII)[:NAME_LENGTH]
    return f"analysis-{plain}" + ("" if plain == study else f"-{hashlib.sha256(study.encode()).hexdigest()[:8]}")


def push_analysis(study: str, folder: OutcomeFolder, home: Home, *, mode: Mode, directory: Path | None = None) -> Push:
    """Write the analysis run of a study in place of an earlier one. Raises InputError where the outcome cannot be
    read. Whatever goes wrong with W&B is returned.
    """
    analysis = read_analysis(folder)
    run_id, parent = analysis_id(study), offline_parent(directory)

    def write(scratch: Path) -> str:
        with opened(
            run_id,
            mode,
            scratch,
            home,
            job_type="analysis",
            tags=["analysis"],
            config={"name": study, **analysis.config},
        ) as run:
            location = location_of(run, mode)
            # Files of tables are read again by `wandb sync`, where they lay when the run was written.
            staged = _staged(parent, run_id) / Path(location).name if mode == "offline" else scratch / "staged"
            with _staging(staged):
                _log(run, analysis)
        run.finish(exit_code=0)
        return location

    def replace() -> str:
        location = replace_run(run_id, mode, parent, write)
        if mode == "offline":
            _drop_staged(_staged(parent, run_id), keep=Path(location).name)
        return location

    return attempt(run_id, replace)


def _log(run: "wandb.Run", analysis: Analysis) -> None:
    import wandb

    shown: dict[str, object] = {
        name: wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])
        for name, table in analysis.tables.items()
    }
    shown |= {f"figures/{name}": wandb.Image(str(path)) for name, path in analysis.figures.items()}
    if analysis.page is not None:
        shown["report"] = wandb.Html(str(analysis.page), inject=False)
    run.log(shown, step=0, commit=True)
    run.summary.update(analysis.summary)
    for name, path in analysis.files.items():
        # A copy: W&B would link to the file, which may change before the run is uploaded.
        copy = Path(run.dir) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        run.save(str(copy), base_path=run.dir, policy="now")


def _staged(parent: Path, run_id: str) -> Path:
    return parent / f".tables-{run_id}"


@contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """W&B keeps the files of tables there, instead of in the home directory for good."""
    shutil.rmtree(folder, ignore_errors=True)  # of a push within the same second
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
    """The tables of pushes that another replaced, or that were killed."""
    for folder in staged.iterdir():
        if folder.name != keep:
            shutil.rmtree(folder, ignore_errors=True)
