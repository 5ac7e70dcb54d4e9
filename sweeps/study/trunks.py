"""Which runs can start from a checkpoint of another: runs that differ only in when and how their rate decays share all
steps before that.

The runs of one trunk form a chain, ordered by the step at which their decay starts. Each run starts from the checkpoint
that the run before it keeps at its own decay start. So every step at constant rate is trained once, and a run can start
as soon as that checkpoint exists. A run whose checkpoint is gone is trained from an earlier one, or from scratch: its
numbers are the same, bit for bit, and so is its identity.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import scientific_part
from windtunnel.train.schedules import Schedule


@dataclass(frozen=True)
class Link:
    """The checkpoint that a run can start from."""

    parent: int  # index of the run that keeps it
    step: int


def trunk_key(config: RunConfig) -> str:
    """Equal for runs with the same weights up to the earlier of their decays. A run that shares no steps has its own
    key.
    """
    schedule = config.schedule
    if schedule.shape not in ("wsd", "constant", "power"):
        return json.dumps(scientific_part(config), sort_keys=True)
    plateau = Schedule(
        shape="power" if schedule.shape == "power" else "constant",
        total_steps=max(1, schedule.warmup_steps),
        warmup_steps=schedule.warmup_steps,
        decay_steps=0,
        decay_shape="linear",
        final_fraction=0.0,
        power_exponent=schedule.power_exponent,
    )
    return json.dumps(scientific_part(replace(config, schedule=plateau)), sort_keys=True)


def link_trunks(configs: Sequence[RunConfig], num_family: int | None = None) -> list[Link | None]:
    """The link of every run; None where it starts from scratch.

    Runs whose decays start together keep the order of `configs`. The first `num_family` runs (None: all) start only
    from each other.
    """
    num_family = len(configs) if num_family is None else num_family
    trunks: dict[str, list[int]] = {}
    for index, config in enumerate(configs):
        trunks.setdefault(trunk_key(config), []).append(index)
    links: list[Link | None] = [None] * len(configs)
    for indices in trunks.values():
        indices.sort(key=lambda index: configs[index].schedule.decay_start)
        previous: int | None = None
        previous_in_family: int | None = None
        for index in indices:
            parent = previous_in_family if index < num_family else previous
            if parent is not None and (step := configs[parent].schedule.decay_start) > 0:
                links[index] = Link(parent, step)
            previous = index
            previous_in_family = index if index < num_family else previous_in_family
    return links
