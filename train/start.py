"""Where a run begins: at its own newest whole checkpoint, else its parent's, else at the start; and what its record
then says.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from train import checkpoint
from train.configuration import RunConfig
from train.counts import corpus_summary, counts
from train.data.corpus import Corpus
from train.device import Numerics, Ranks, decide_numerics, device_name, differences
from train.errors import InputError
from train.evaluation import milestone_steps
from train.identity import scientific_hash
from train.lineage import Parent
from train.provenance import provenance
from train.records import RunRecord, now


@dataclass(frozen=True)
class Start:
    """Where members begin, decided by the first rank and told to the others."""

    step: int
    states: tuple[checkpoint.Checkpoint | None, ...]
    numerics: Numerics


def refuse_collision(record: RunRecord, config: RunConfig) -> None:
    recorded = record.content.get("scientific_hash")
    if recorded is not None and recorded != scientific_hash(config):
        raise InputError(f"{record.folder}: holds another configuration under the same id; move that folder away")


def decide_start(
    configs: Sequence[RunConfig], records: Sequence[RunRecord], ranks: Ranks, parent: Parent | None
) -> Start:
    """The newest step that every member can begin from: its own checkpoint, else its parent's, else the start."""
    recorded = records[0].content.get("numerics") or (parent.record.get("numerics") if parent else None)
    numerics = decide_numerics(configs[0], ranks, recorded)
    for change in differences(numerics, recorded):
        print(f"note: {records[0].folder.name}: {change}: the curve goes on, but not bitwise", flush=True)
    own = [{c.step: c for c in checkpoint.find(record.folder)} for record in records]
    common = set.intersection(*(set(steps) for steps in own))
    for step in sorted(common, reverse=True):
        if all(_is_whole(steps[step]) for steps in own):
            return Start(step, tuple(steps[step] for steps in own), numerics)
    if parent is not None:
        found = parent.checkpoint()
        return Start(parent.step, (found,), numerics)
    return Start(0, (None,) * len(configs), numerics)


def _is_whole(found: checkpoint.Checkpoint) -> bool:
    try:
        found.load()
    except InputError as error:
        print(f"note: {error}; going back to an older one", flush=True)
        return False
    return True


def begin(
    record: RunRecord, config: RunConfig, corpus: Corpus, start: Start, parent: Parent | None, overrides: Sequence[str]
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
