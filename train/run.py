"""Train runs from their configurations: begin, resume, branch, or find them finished, and leave a record of what came
of it.
"""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
import torch.distributed as distributed

from models.accounting import count_parameters, flops_per_token
from train import checkpoint
from train.batches import Batches, order_of
from train.configuration import RunConfig
from train.curve import Curve
from train.data.corpus import Corpus
from train.device import Numerics, Ranks, decide_numerics, device_name, differences, join_ranks, settle_process
from train.errors import InputError
from train.evaluation import Evaluation, milestone_steps
from train.fleet import Fleet
from train.identity import run_id, scientific_hash
from train.interruption import Handler, Interruption
from train.lineage import Parent
from train.loop import Ending, Loop
from train.peak import gemm_flops_per_second
from train.progress import Progress
from train.provenance import provenance
from train.records import FINAL, Json, RunRecord, Status, now, read_record, read_timings
from train.wandb_mirror import follow_beside, push

MIRROR_SECONDS = 60.0  # to wait for a live W&B mirror after the run: it must not hold up a queue of runs
Value = TypeVar("Value")


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


@dataclass(frozen=True)
class _Start:
    """Where members begin, decided by the first rank and told to the others."""

    step: int
    states: tuple[checkpoint.Checkpoint | None, ...]
    numerics: Numerics


def run_folder(config: RunConfig) -> Path:
    return Path(config.runtime.runs_directory) / run_id(config)


def counts(config: RunConfig, corpus: Corpus) -> Json:
    """What the run is in every convention, from the configuration alone."""
    parameters = count_parameters(config.model)
    flops = flops_per_token(config.model, config.data.sequence_length)
    order, samples = order_of(config, corpus), config.schedule.total_steps * config.sequences_per_step
    return {
        "parameters": asdict(parameters),
        "flops_per_token": asdict(flops),
        "flops": {name: value * config.total_tokens for name, value in asdict(flops).items()},
        "steps": config.schedule.total_steps,
        "tokens": config.total_tokens,
        "unique_tokens": order.unique_tokens_seen(samples),
        "epochs": order.epochs(samples),
        "tokens_per_parameter": config.total_tokens / parameters.total,
    }


def corpus_summary(corpus: Corpus) -> Json:
    """What a record says of its data beside the configuration."""
    return {
        "content_hash": corpus.manifest.content_hash,
        "domains": [
            {
                "name": domain.name,
                "source": domain.source,
                "licence": domain.licence,
                "train_tokens": domain.train_tokens,
                "validation_tokens": domain.validation_tokens,
                "validation_bytes_per_token": domain.validation_bytes_per_token,
                "entropy_nats_per_token": domain.entropy_nats_per_token,
            }
            for domain in corpus.manifest.domains
        ],
    }


def train_runs(
    configs: Sequence[RunConfig],
    *,
    parent: Parent | None = None,
    overrides: Sequence[str] = (),
    show_progress: bool = True,
) -> list[Outcome]:
    """Train runs of one shape as one fleet; a finished one is left alone, an interrupted one goes on where it stopped.

    Raises InputError for what cannot be trained, `records.AlreadyRunning` where another process trains one of them."""
    ranks = join_ranks()
    with ExitStack() as stack:
        records: list[RunRecord] = []

        def open_records() -> list[bool]:
            for config in configs:
                record = stack.enter_context(RunRecord(run_folder(config)))
                _refuse_collision(record, config)
                records.append(record)
            return [record.status in FINAL for record in records]

        done = _tell(ranks, open_records)
        outcomes: list[Outcome | None] = [
            Outcome(run_folder(config), read_record(run_folder(config)), trained=False) if finished else None
            for config, finished in zip(configs, done, strict=True)
        ]
        unfinished = [record for record, finished in zip(records, done, strict=False) if not finished]
        todo = [config for config, finished in zip(configs, done, strict=True) if not finished]
        if todo:
            trained = iter(_train(todo, unfinished, ranks, parent, overrides, show_progress))
            outcomes = [outcome or next(trained) for outcome in outcomes]
        return [outcome for outcome in outcomes if outcome is not None]


def _train(
    configs: Sequence[RunConfig],
    records: Sequence[RunRecord],
    ranks: Ranks,
    parent: Parent | None,
    overrides: Sequence[str],
    show_progress: bool,
) -> list[Outcome]:
    with Interruption() as interruption:
        corpus = Corpus(Path(configs[0].runtime.data_directory) / configs[0].data.folder)
        start = _tell(ranks, (lambda: _decide_start(configs, records, ranks, parent)))
        settle_process(start.numerics)
        for record, config in zip(records, configs, strict=False):
            _begin(record, config, corpus, start, parent, overrides)
        mirrors = [
            follow_beside(record.folder, "online")
            for record, config in zip(records, configs, strict=False)
            if config.logging.wandb == "online"
        ]
        try:
            loop = _prepare_loop(configs, records, ranks, start, corpus, show_progress)
            ending = loop.run(interruption)
        except BaseException as error:
            for record in records:
                record.update(status="failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
            raise
        for member, record in enumerate(records):
            _finish(record, loop, member, ending)
            if record.status in FINAL and configs[member].logging.wandb == "offline":
                _mirror_offline(record.folder)
        for mirror in mirrors if ending != "preempted" else ():  # a grace time is for saving, not for waiting
            _await(mirror)
        # Told rather than read: the other ranks are here before the first has written the end.
        contents = _tell(ranks, lambda: [record.content for record in records])
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


def _refuse_collision(record: RunRecord, config: RunConfig) -> None:
    recorded = record.content.get("scientific_hash")
    if recorded is not None and recorded != scientific_hash(config):
        raise InputError(f"{record.folder}: holds another configuration under the same id; move that folder away")


def _decide_start(
    configs: Sequence[RunConfig], records: Sequence[RunRecord], ranks: Ranks, parent: Parent | None
) -> _Start:
    """The newest step that every member can begin from: its own checkpoint, else its parent's, else the start."""
    recorded = records[0].content.get("numerics") or (parent.record.get("numerics") if parent else None)
    numerics = decide_numerics(configs[0], ranks, recorded)
    for change in differences(numerics, recorded):
        print(f"note: {records[0].folder.name}: {change}: the curve goes on, but not bitwise", flush=True)
    own = [{c.step: c for c in checkpoint.find(record.folder)} for record in records]
    common = set.intersection(*(set(steps) for steps in own))
    for step in sorted(common, reverse=True):
        if all(_is_whole(steps[step]) for steps in own):
            return _Start(step, tuple(steps[step] for steps in own), numerics)
    if parent is not None:
        found = parent.checkpoint()
        return _Start(parent.step, (found,), numerics)
    return _Start(0, (None,) * len(configs), numerics)


def _is_whole(found: checkpoint.Checkpoint) -> bool:
    try:
        found.load()
    except InputError as error:
        print(f"note: {error}; going back to an older one", flush=True)
        return False
    return True


def _begin(
    record: RunRecord, config: RunConfig, corpus: Corpus, start: _Start, parent: Parent | None, overrides: Sequence[str]
) -> None:
    if record.status is None:
        lineage = {"parent": parent.folder.name, "step": parent.step} if parent else None
        record.update(
            run_id=record.folder.name,
            scientific_hash=scientific_hash(config),
            status="planned",
            created=now(),
            config=asdict(config),
            overrides=list(overrides),
            lineage=lineage,
            counts=counts(config, corpus),
            data=corpus_summary(corpus),
        )
    if parent is not None and start.step == parent.step and not checkpoint.find(record.folder):
        milestones = milestone_steps(config.data.evaluation_tokens, config.tokens_per_step, config.schedule.total_steps)
        record.adopt(parent.folder, parent.step, config.logging.every_steps, milestones)
    else:
        record.rewind(start.step)
    record.update(
        status="running",
        started=now(),
        error=None,
        numerics=asdict(start.numerics),
        **provenance(device_name(start.numerics)),
    )


def _prepare_loop(
    configs: Sequence[RunConfig],
    records: Sequence[RunRecord],
    ranks: Ranks,
    start: _Start,
    corpus: Corpus,
    show_progress: bool,
) -> Loop:
    config = configs[0]
    fleet = Fleet(configs, start.numerics, ranks)
    curves = []
    for member, found in enumerate(start.states):
        pending = np.zeros((0, 2), np.float32)
        if found is not None:
            state = found.load()
            pending = state.pop("pending_losses").numpy()
            fleet.load_member_state(member, state)
        curves.append(
            Curve(
                config.logging.every_steps,
                config.tokens_per_step,
                config.model.vocabulary_size,
                fleet.rates_SM[:, member],
                step=start.step,
                pending_S2=pending,
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
        progress = Progress(
            name, config.schedule.total_steps, config.tokens_per_step, flops, _peak(start.numerics, ranks)
        )
    earlier = [timing["seconds"] for timing in read_timings(records[0].folder)[-1:]] if records else []
    return Loop(fleet, batches, evaluation, records, curves, start.step, sum(earlier), progress)


def _peak(numerics: Numerics, ranks: Ranks) -> float:
    device_type = numerics.torch_device(ranks).type
    return gemm_flops_per_second(device_type, numerics.compute_dtype, torch.get_num_threads()) * ranks.world_size


def _finish(record: RunRecord, loop: Loop, member: int, ending: Ending) -> None:
    config, curve = loop.fleet.configs[member], loop.curves[member]
    flops = flops_per_token(config.model, config.data.sequence_length).exact_causal
    rate = loop.tokens_per_second
    performance = {
        "wall_seconds": round(loop.wall_seconds, 3),
        "tokens_per_second": round(rate, 1),
        "share_of_peak": round(rate * flops / _peak(loop.fleet.numerics, loop.fleet.ranks), 4),
        "overhead_share": round(loop.clock.overhead_share, 4),
    }
    if curve.diverged_at is not None:
        record.update(
            status="diverged", finished=now(), performance=performance, result={"diverged_at_step": curve.diverged_at}
        )
    elif ending == "preempted":
        record.update(status="preempted", performance=performance, progress={"step": loop.step})
    else:
        result = {"step": loop.step, "tokens": config.total_tokens, **loop.results[member]}
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


def _tell(ranks: Ranks, decide: Callable[[], Value]) -> Value:
    """What the first rank decides, on every rank; where it refuses, all ranks end with its complaint."""
    if ranks.world_size == 1:
        return decide()
    box: list[Value | Exception | None] = [None]
    if ranks.is_first:
        try:
            box = [decide()]
        except Exception as error:
            box = [error]
    distributed.broadcast_object_list(box, src=0)
    if isinstance(box[0], Exception):
        raise box[0]
    return cast(Value, box[0])
