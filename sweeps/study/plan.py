"""The plan of a study: every run resolved, each once, in an order in which none comes before what it goes on from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windtunnel.analysis.tables.expressions import choose_rows
from windtunnel.models.accounting import ParameterCount, count_parameters, flops_per_token
from windtunnel.sweeps.study.grid import Settings, block_cells, count_cells
from windtunnel.sweeps.study.load import StudyFile
from windtunnel.sweeps.study.resolve import BlockPlace, Resolver
from windtunnel.sweeps.study.schema import Block
from windtunnel.sweeps.study.trunks import chain
from windtunnel.train.batches import order_of
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import UNPREPARED
from windtunnel.train.config.run_id import run_id
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.evaluation_windows import evaluation_windows
from windtunnel.train.errors import InputError

Role = Literal["family", "target"]
MOST_RUNS = 100_000


@dataclass(frozen=True)
class PlannedRun:
    """One run. `parent` is the id of the run it may go on from at `parent_step`."""

    run_id: str
    role: Role
    config: RunConfig  # with the checkpoints that others go on from among its milestones
    parent: str | None
    parent_step: int
    asked_checkpoint_steps: tuple[int, ...] = ()  # those that the study file asks for, which are kept for good

    @property
    def folder(self) -> Path:
        return Path(self.config.runtime.runs_directory) / self.run_id

    @cached_property
    def parameters(self) -> ParameterCount:
        return count_parameters(self.config.model)

    @property
    def tokens(self) -> int:
        return self.config.total_tokens

    @property
    def new_tokens(self) -> int:
        """Those that no other run of the plan trains."""
        return self.tokens - self.parent_step * self.config.tokens_per_step

    @property
    def flops(self) -> float:
        """6 N D of all parameters, of the whole run."""
        return 6.0 * self.parameters.total * self.tokens


@dataclass(frozen=True)
class Plan:
    file: StudyFile
    runs: tuple[PlannedRun, ...]

    @cached_property
    def by_id(self) -> dict[str, PlannedRun]:
        return {run.run_id: run for run in self.runs}

    def of(self, role: Role) -> list[PlannedRun]:
        return [run for run in self.runs if run.role == role]

    def ancestors(self, run: PlannedRun) -> list[tuple[PlannedRun, int]]:
        """The runs from which it may go on, nearest first, each with the step."""
        found = []
        while run.parent is not None:
            parent = self.by_id[run.parent]
            found.append((parent, run.parent_step))
            run = parent
        return found

    @property
    def prepared(self) -> bool:
        """Whether the data of every run are there; until then ids are not those that will be trained."""
        return all(run.config.data.content_hash != UNPREPARED for run in self.runs)


def make_plan(
    file: StudyFile,
    runs_directory: Path,
    data_directory: Path,
    *,
    prepare: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> Plan:
    """The plan of a study. `prepare` makes its data where they are not there yet. Raises InputError naming the line of
    what cannot be trained.
    """
    study, resolver = file.study, Resolver(runs_directory, data_directory)
    number = sum(count_cells(block) for block in (*study.family, *study.targets))
    if number > MOST_RUNS:
        raise InputError(f"{file.path}: {number:,} runs; a study has at most {MOST_RUNS:,}: take them apart")
    family = _block_runs(file, "family", study.family, resolver, prepare, progress)
    targets = _block_runs(file, "targets", study.targets, resolver, prepare, progress)
    roles: dict[str, Role] = {}
    configs: dict[str, RunConfig] = {}
    for role, found in (("family", family), ("target", targets)):
        for config in found:
            name = run_id(config)
            if roles.get(name) not in (None, role):
                raise InputError(f"{file.path}: {name} is both in the family and a target: a target is held out")
            roles[name], configs[name] = role, config  # type: ignore[assignment]
    return Plan(file, _linked(configs, roles))


def _block_runs(
    file: StudyFile,
    section: str,
    blocks: Sequence[Block],
    resolver: Resolver,
    prepare: bool,
    progress: Callable[[str], None],
) -> list[RunConfig]:
    found: list[RunConfig] = []
    for number, block in enumerate(blocks):
        place = BlockPlace(file, section, number)
        cells = list(block_cells(block))
        requests = [place.named(cell, resolver.request, {**file.study.fixed, **cell}) for cell in cells]
        if prepare:
            resolver.prepare_data(requests, progress)
        configs = [place.named(cell, resolver.config, request) for cell, request in zip(cells, requests, strict=True)]
        if block.where is not None:
            try:
                kept = choose_rows(block.where, columns_of(configs), len(configs)).tolist()
            except InputError as error:
                raise file.fault((section, number, "where"), f"where: {error}") from None
            cells, configs = list(compress(cells, kept)), list(compress(configs, kept))
        configs = [_grouped(config, file) for config in configs]
        if not configs:
            raise file.fault((section, number, "where"), f"{section}: no run is left of {len(requests)}")
        _refuse_unreadable(place, cells, configs)
        found += configs
    return found


def _grouped(config: RunConfig, file: StudyFile) -> RunConfig:
    """In W&B a study is one group. It is pushed when the study is done, which costs a second a run otherwise."""
    asked = "logging.wandb" in file.study.fixed
    wandb = config.logging.wandb if asked else "off"
    return replace(config, logging=replace(config.logging, wandb=wandb, group=config.logging.group or file.name))


def columns_of(configs: Sequence[RunConfig]) -> dict[str, NDArray[Any]]:
    """What is known of runs before they are trained, (P,) each, under the names of the run table."""
    rows = [_row(config) for config in configs]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _row(config: RunConfig) -> dict[str, float | str]:
    parameters = count_parameters(config.model)
    flops = flops_per_token(config.model, config.data.sequence_length)
    tokens = float(config.total_tokens)
    return {
        "N": float(parameters.total),
        "N_non_embedding": float(parameters.non_embedding),
        "N_non_embedding_and_head": float(parameters.non_embedding + config.model.vocabulary_size * config.model.width),
        "N_active": float(parameters.active),
        "D": tokens,
        "U": tokens,  # nothing is repeated unless `max_epochs` allows it
        "C": flops.six_n_total * tokens,
        "C_non_embedding": flops.six_n_non_embedding * tokens,
        "C_non_embedding_and_head": flops.six_n * tokens,
        "C_exact": flops.exact * tokens,
        "C_exact_causal": flops.exact_causal * tokens,
        "M": tokens / parameters.total,
        "S": float(config.schedule.total_steps),
        "B": float(config.tokens_per_step),
        "seed": float(config.seed),
        "rate": config.optimizer.rate,
        "width": float(config.model.width),
        "depth": float(config.model.depth),
        "schedule": config.schedule.shape,
        "decay_shape": config.schedule.decay_shape,
    }


def _refuse_unreadable(place: BlockPlace, cells: Sequence[Settings], configs: Sequence[RunConfig]) -> None:
    """The longest run of each data set must find tokens enough, and evaluation windows, before the first is trained."""
    longest: dict[object, tuple[Settings, RunConfig]] = {}
    for cell, config in zip(cells, configs, strict=True):
        data = config.data
        if data.content_hash != UNPREPARED:
            key = (data, config.sequences_per_step)
            if key not in longest or config.total_tokens > longest[key][1].total_tokens:
                longest[key] = (cell, config)
    for cell, config in longest.values():
        corpus = Corpus(Path(config.runtime.data_directory) / config.data.folder)
        place.named(cell, order_of, config, corpus)
        place.named(cell, evaluation_windows, corpus, config.data.sequence_length, config.data.evaluation_tokens)


def _linked(configs: dict[str, RunConfig], roles: dict[str, Role]) -> tuple[PlannedRun, ...]:
    """Runs with their links, parents first. No run of the family goes on from a target, which is trained later."""
    names = sorted(configs, key=lambda name: roles[name] == "target")  # stable: the file's order within a role
    resolved = [configs[name] for name in names]
    family = sum(roles[name] == "family" for name in names)
    links = chain(resolved, family)
    kept: dict[int, set[int]] = {}
    for link in links:
        if link is not None:
            kept.setdefault(link.parent, set()).add(link.step)
    order = sorted(
        range(len(names)), key=lambda place: (roles[names[place]] == "target", resolved[place].schedule.decay_start)
    )
    runs = []
    for place in order:
        config, link = resolved[place], links[place]
        steps = tuple(sorted({*config.logging.checkpoint_steps, *kept.get(place, ())}))
        runs.append(
            PlannedRun(
                run_id=names[place],
                role=roles[names[place]],
                config=replace(config, logging=replace(config.logging, checkpoint_steps=steps)),
                parent=names[link.parent] if link else None,
                parent_step=link.step if link else 0,
                asked_checkpoint_steps=config.logging.checkpoint_steps,
            )
        )
    return tuple(runs)
