"""`windtunnel.train` and `windtunnel.Study`: what trains, from Python."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from windtunnel.train.config.compose import compose
from windtunnel.train.errors import InputError
from windtunnel.train.records import read_metrics, read_record

if TYPE_CHECKING:  # for start-up time: a plan and the pipeline load when a study is used
    from windtunnel.sweeps.pipeline.run_study import StudyResult
    from windtunnel.sweeps.planning.summary import PlanSummary


@dataclass(frozen=True)
class Run:
    """A run by its folder, `runs/<run_id>`."""

    folder: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of `run.json`."""
        return read_record(self.folder)

    @property
    def status(self) -> str:
        """`finished`, `diverged`, `preempted`, ..."""
        return str(self.record["status"])

    @property
    def loss(self) -> float | None:
        """The final validation loss in nats per token; None unless the run is finished."""
        loss = (self.record.get("result") or {}).get("validation_nats_per_token")
        return None if loss is None else float(loss)

    def training_curve(self) -> pd.DataFrame:
        """Columns `step`, `tokens`, `loss` (nats per token), `rate` and `gradient_norm`."""
        return pd.DataFrame(read_metrics(self.folder, "train")).drop(columns="kind", errors="ignore")

    def evaluations(self) -> pd.DataFrame:
        """Columns `step`, `tokens` and those of the validation losses."""
        return pd.DataFrame(read_metrics(self.folder, "evaluation")).drop(columns="kind", errors="ignore")

    def __repr__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return f"Run({self.folder.name}, {self.status}{loss})"


def train(*overrides: str, show_progress: bool = True) -> Run:
    """Trains one run in this process, as `windtunnel train` does, and returns it. A finished run is left as it is, and
    an interrupted one resumes.

    overrides: settings as on the command line, such as `"size=25k"`, `"horizon.tokens=2M"`. show_progress: whether to
    print progress to standard error.

    Raises InputError where the settings cannot be trained, AlreadyRunning where another process trains the run, and
    KeyboardInterrupt after an interrupted run has saved its state.
    """
    # Loaded here for start-up time: torch.
    from windtunnel.sweeps.pipeline.live_forecast import make_forecast
    from windtunnel.train.config.resolve import resolve
    from windtunnel.train.run import train_runs

    for override in overrides:
        if not isinstance(override, str):
            raise InputError(f'{override!r}: give each setting as a text, such as wt.train("size=25k", "seed=1")')
    request = compose(overrides)
    if request.dry_run:
        raise InputError(
            "dry_run=true: wt.train has no dry run; use the command, `windtunnel train ... dry_run=true`, or for a "
            "study wt.Study(...).plan()"
        )

    def log(text: str) -> None:
        if show_progress:
            print(text, file=sys.stderr)

    forecast = None if request.logging.law is None else make_forecast(request.logging.law)
    config, parent = resolve(request, overrides, progress=log)
    (outcome,) = train_runs(
        [config], parent=parent, overrides=overrides, show_progress=show_progress, forecast=forecast
    )
    if outcome.status == "preempted":
        raise KeyboardInterrupt(f"{outcome.folder.name} was interrupted and saved; train it again to resume")
    return Run(outcome.folder)


class Study:
    """A study by its name among the packaged ones, such as "quickstart", or by its YAML file.

    runs, data, results: the folders in which its runs, its prepared data and its results are kept.

    Raises InputError, with the line of the file, where the study cannot be read.
    """

    def __init__(
        self, name: str | Path, *, runs: str | Path = "runs", data: str | Path = "data", results: str | Path = "results"
    ) -> None:
        from windtunnel.sweeps.study.load import load_study  # for start-up time

        self.file = load_study(name)
        self.runs, self.data, self.results = Path(runs), Path(data), Path(results)

    def plan(self, *, gpu: str | None = None, workers: int | None = None, measure: bool = False) -> "PlanSummary":
        """Every run of the study with its cost, before any is trained. It prints as `windtunnel sweep plan`, and its
        `to_pandas()` has a row for each run.

        gpu: cost the plan on named GPUs, such as "h100:4"; None: on this machine. workers: runs at one time; None: one
            per GPU or processor. measure: time a few steps of each shape here, about a second each.

        Raises InputError, with the line of the study file, for a run that cannot be trained.
        """
        from windtunnel.sweeps.planning.summary import plan_study  # for start-up time

        return plan_study(self.file, self.runs, self.data, gpu=gpu, workers=workers, measure=measure)

    def run(self, *, workers: int | None = None, log: Callable[[str], None] = print) -> "StudyResult":
        """Trains the family, fits and seals, trains the targets, scores, and writes the report, as far as this was not
        done before.

        workers: runs in training at once; None: as many as the machine takes. log: called with each line of progress.

        Raises InputError where the study cannot be carried out as written.
        """
        from windtunnel.sweeps.pipeline.run_study import run_study  # for start-up time

        return run_study(
            self.file,
            runs_directory=self.runs,
            data_directory=self.data,
            results_directory=self.results,
            workers=workers,
            log=log,
        )

    def __repr__(self) -> str:
        return f"Study({self.file.name!r}: {self.file.study.title})"
