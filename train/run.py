"""Train runs from their configurations: begin, resume, branch, or find them finished, and leave a record of what came
of it.
"""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from windtunnel.models.accounting import flops_per_token
from windtunnel.train.batches import Batches, order_of
from windtunnel.train.config.branch_parent import Parent
from windtunnel.train.config.config import CURVE_INTERVALS, RunConfig
from windtunnel.train.config.run_id import run_id
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.device import Numerics, Ranks, join_ranks, settle_process, tell
from windtunnel.train.errors import InputError
from windtunnel.train.evaluation import Evaluation
from windtunnel.train.fleet import Fleet
from windtunnel.train.gemm_peak import gemm_flops_per_second
from windtunnel.train.interruption import Handler, Interruption
from windtunnel.train.loop import Ending, Loop
from windtunnel.train.progress import Progress
from windtunnel.train.progress_forecast import Forecast, ForecastText
from windtunnel.train.records import FINAL, Json, RunRecord, Status, now, read_metrics, read_record, read_timings
from windtunnel.train.start import Start, begin, decide_start, refuse_collision, refuse_untrainable
from windtunnel.train.tracking.wandb_mirror import follow_beside, push
from windtunnel.train.training_curve import Curve

MIRROR_SECONDS = 60.0  # to wait for a live W&B mirror after the run: it must not hold up a queue of runs


@dataclass(frozen=True)
class Outcome:
    """What became of one run. `trained` is False where a finished run was found and nothing was done."""

    folder: Path
    record: Json
    trained: bool
    signal: int | None = None  # that interrupted it
    requeue: Handler | None = None  # to be called last: asks SLURM for another go and ends the process

    @property
    def status(self) -> Status:
        status: Status = self.record["status"]
        return status


def run_folder(config: RunConfig) -> Path:
    return Path(config.runtime.runs_directory) / run_id(config)


def train_runs(
    configs: Sequence[RunConfig],
    *,
    parent: Parent | None = None,
    overrides: Sequence[str] = (),
    show_progress: bool = True,
    forecast: Forecast | None = None,
) -> list[Outcome]:
    """Train runs of one shape as one fleet; a finished one is left alone, an interrupted one goes on where it stopped.
    `forecast` is shown beside the progress of a single run.

    Raises InputError for what cannot be trained, `records.AlreadyRunning` where another process trains one of them."""
    ranks = join_ranks()
    refuse_untrainable([config for config in configs if not _is_finished(config)], ranks)
    with ExitStack() as stack:
        records: list[RunRecord] = []

        def open_records() -> list[bool]:
            for config in configs:
                record = stack.enter_context(RunRecord(run_folder(config)))
                refuse_collision(record, config)
                records.append(record)
            return [record.status in FINAL for record in records]

        done = tell(ranks, open_records)
        outcomes: list[Outcome | None] = [
            Outcome(run_folder(config), read_record(run_folder(config)), trained=False) if finished else None
            for config, finished in zip(configs, done, strict=True)
        ]
        unfinished = [record for record, finished in zip(records, done, strict=False) if not finished]
        todo = [config for config, finished in zip(configs, done, strict=True) if not finished]
        if todo:
            trained = iter(_train(todo, unfinished, ranks, parent, overrides, show_progress, forecast))
            outcomes = [outcome or next(trained) for outcome in outcomes]
        return [outcome for outcome in outcomes if outcome is not None]


def _is_finished(config: RunConfig) -> bool:
    folder = run_folder(config)
    return (folder / "run.json").exists() and read_record(folder)["status"] in FINAL


def _train(
    configs: Sequence[RunConfig],
    records: Sequence[RunRecord],
    ranks: Ranks,
    parent: Parent | None,
    overrides: Sequence[str],
    show_progress: bool,
    forecast: Forecast | None,
) -> list[Outcome]:
    with Interruption() as interruption:
        configs = [_keep_intervals(config, record) for config, record in zip(configs, records, strict=False)] or configs
        corpus = Corpus(Path(configs[0].runtime.data_directory) / configs[0].data.folder)
        if ranks.is_first:
            corpus.verify_once()
        start = tell(ranks, (lambda: decide_start(configs, records, ranks, parent)))
        settle_process(start.numerics)
        for record, config in zip(records, configs, strict=False):
            begin(record, config, corpus, start, parent, overrides)
        if ranks.is_first and show_progress:
            how = f"going on from step {start.step}" if start.step else "beginning"
            print(f"{', '.join(record.folder.name for record in records)}: {how}", file=sys.stderr, flush=True)
        mirrors = [
            follow_beside(record.folder, "online")
            for record, config in zip(records, configs, strict=False)
            if config.logging.wandb == "online"
        ]
        try:
            loop = _prepare_loop(configs, records, ranks, start, corpus, show_progress, forecast)
            ending = loop.run(interruption)
        except BaseException as error:
            for record in records:
                stopped = isinstance(error, KeyboardInterrupt | SystemExit)
                told = None if stopped else f"{type(error).__name__}: {error}".splitlines()[0]
                record.update(status="preempted" if stopped else "failed", error=told)
            raise
        for member, record in enumerate(records):
            _finish(record, loop, member, ending)
            if record.status in FINAL and configs[member].logging.wandb == "offline":
                _mirror_offline(record.folder)
        for mirror in mirrors if ending != "preempted" else ():  # a grace time is for saving, not for waiting
            _await(mirror)
        # Told rather than read: the other ranks are here before the first has written the end.
        contents = tell(ranks, lambda: [record.content for record in records])
        return [
            Outcome(
                run_folder(config),
                content,
                trained=True,
                signal=interruption.signal,
                requeue=interruption.requeue() if ending == "preempted" else None,
            )
            for config, content in zip(configs, contents, strict=True)
        ]


def _keep_intervals(config: RunConfig, record: RunRecord) -> RunConfig:
    """A curve that has begun keeps the intervals of its lines and evaluations."""
    recorded = record.content.get("config", {}).get("logging")
    if recorded is None:
        return config
    kept = {name: recorded.get(name) for name in CURVE_INTERVALS}
    return replace(config, logging=replace(config.logging, **kept))


def _prepare_loop(
    configs: Sequence[RunConfig],
    records: Sequence[RunRecord],
    ranks: Ranks,
    start: Start,
    corpus: Corpus,
    show_progress: bool,
    forecast: Forecast | None,
) -> Loop:
    config = configs[0]
    fleet = Fleet(configs, start.numerics, ranks)
    curves = []
    for member, found in enumerate(start.states):
        pending, recent = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
        if found is not None:
            state = found.load()
            pending, recent = state.pop("pending_losses").numpy(), state.pop("recent_losses").numpy()
            fleet.load_member_state(member, state)
        curves.append(
            Curve(
                config.logging.every_steps,
                config.tokens_per_step,
                config.model.vocabulary_size,
                fleet.rates_SM[:, member],
                step=start.step,
                pending_S2=pending,
                recent_S=recent,
            )
        )
    batches = Batches(
        corpus,
        [order_of(each, corpus) for each in configs],
        sequence_length=config.data.sequence_length,
        sequences_per_step=config.sequences_per_step,
        rank=ranks.rank,
        world_size=ranks.world_size,
        device=fleet.device,
    )
    evaluation = Evaluation(
        corpus,
        sequence_length=config.data.sequence_length,
        evaluation_tokens=config.data.evaluation_tokens,
        ranks=ranks,
        device=fleet.device,
    )
    progress = None
    if ranks.is_first and show_progress:
        flops = flops_per_token(config.model, config.data.sequence_length).exact_causal
        name = records[0].folder.name + (f" and {len(configs) - 1} more" if len(configs) > 1 else "")
        text = ForecastText(forecast, records[0].folder) if forecast is not None and len(records) == 1 else None
        peak = _peak(start.numerics, ranks)
        progress = Progress(name, config.schedule.total_steps, config.tokens_per_step, flops, peak, text)
    earlier = [timing["seconds"] for timing in read_timings(records[0].folder)[-1:]] if records else []
    return Loop(fleet, batches, evaluation, records, curves, start.step, sum(earlier), progress)


def _peak(numerics: Numerics, ranks: Ranks) -> float:
    device_type = numerics.torch_device(ranks).type
    return gemm_flops_per_second(device_type, numerics.compute_dtype, torch.get_num_threads()) * ranks.world_size


def _finish(record: RunRecord, loop: Loop, member: int, ending: Ending) -> None:
    config, curve = loop.fleet.configs[member], loop.curves[member]
    flops = flops_per_token(config.model, config.data.sequence_length).exact_causal
    rate, peak = loop.tokens_per_second, _peak(loop.fleet.numerics, loop.fleet.ranks)
    performance = {
        "wall_seconds": round(loop.wall_seconds, 3),
        "tokens_per_second": round(rate, 1),
        # Model FLOPs (`exact_causal`) over the rate of a matrix product measured in this process.
        "share_of_peak": round(rate * flops / peak, 4),
        "gemm_flops_per_second": round(peak),
        "overhead_share": round(loop.clock.overhead_share, 4),
    }
    if curve.diverged_at is not None:
        record.update(
            status="diverged", finished=now(), performance=performance, result={"diverged_at_step": curve.diverged_at}
        )
    elif ending == "preempted":
        record.update(status="preempted", performance=performance, progress={"step": loop.step})
    else:
        # A run killed after its last checkpoint was evaluated by the process that made it.
        evaluated = loop.results[member] or read_metrics(record.folder, "evaluation")[-1]
        result = {name: value for name, value in evaluated.items() if name.startswith("validation_")}
        result = {"step": loop.step, "tokens": config.total_tokens, **result}
        record.update(status="finished", finished=now(), performance=performance, result=result, progress=None)


def _mirror_offline(folder: Path) -> None:
    try:
        problem = push(folder, mode="offline").error
    except InputError as error:
        problem = str(error)
    if problem is not None:
        print(f"note: {problem}; `windtunnel wandb push {folder}` tries again", flush=True)


def _await(mirror: subprocess.Popen[bytes]) -> None:
    """Give the live mirror time to deliver the end of the run; it goes on by itself if it needs longer."""
    try:
        problem = mirror.wait(MIRROR_SECONDS) != 0
    except subprocess.TimeoutExpired:
        problem = True
    if problem:
        print(
            "note: the W&B mirror is not complete, see wandb.log beside the record; `windtunnel wandb push` rebuilds it"
        )
