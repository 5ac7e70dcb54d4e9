"""Which runs can go on from which: runs that differ only in when and how their rate decays share all that comes before.

Runs of one trunk form a chain by the step at which their decay starts. Each goes on from the checkpoint that the one
before it keeps at its own decay's start, so every step at constant rate is trained once, and a run may start as soon as
that checkpoint exists. A run whose checkpoint is gone is trained from an earlier one, or from scratch: its numbers are
the same, bit for bit, and so is its identity.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.run_id import scientific
from windtunnel.train.schedules import Schedule


@dataclass(frozen=True)
class Link:
    """Where a run may start: the checkpoint of another at a step."""

    parent: int  # position among the runs
    step: int


def trunk_key(config: RunConfig) -> str:
    """Equal for runs with the same weights up to the earlier of their decays; where none is shared, the run itself."""
    schedule = config.schedule
    if schedule.shape not in ("wsd", "constant", "power"):
        return json.dumps(scientific(config), sort_keys=True)
    plateau = Schedule(
        shape="power" if schedule.shape == "power" else "constant",
        total_steps=max(1, schedule.warmup_steps),
        warmup_steps=schedule.warmup_steps,
        decay_steps=0,
        decay_shape="linear",
        final_fraction=0.0,
        power_exponent=schedule.power_exponent,
    )
    return json.dumps(scientific(replace(config, schedule=plateau)), sort_keys=True)


def chain(configs: Sequence[RunConfig], family: int | None = None) -> list[Link | None]:
    """The link of every run, None where it starts from scratch. Earlier runs in the sequence come first among those
    whose decays start together. The first `family` of them (None: all) go on from each other alone.
    """
    family = len(configs) if family is None else family
    trunks: dict[str, list[int]] = {}
    for place, config in enumerate(configs):
        trunks.setdefault(trunk_key(config), []).append(place)
    links: list[Link | None] = [None] * len(configs)
    for places in trunks.values():
        places.sort(key=lambda place: configs[place].schedule.decay_start)
        before: int | None = None
        before_of_family: int | None = None
        for place in places:
            chosen = before_of_family if place < family else before
            if chosen is not None and (step := configs[chosen].schedule.decay_start) > 0:
                links[place] = Link(chosen, step)
            before, before_of_family = place, place if place < family else before_of_family
    return links
