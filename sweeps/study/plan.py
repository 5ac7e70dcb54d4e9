"""The plan of a study: every run resolved once, in an order in which parents come before their branches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Literal

from windtunnel.analysis.tables.expressions import evaluate_condition
from windtunnel.models.accounting import ParameterCount, count_parameters
from windtunnel.sweeps.study.block_errors import BlockErrors
from windtunnel.sweeps.study.grid import Settings, block_settings, count_runs
from windtunnel.sweeps.study.load import StudyFile
from windtunnel.sweeps.study.resolve import Resolver
from windtunnel.sweeps.study.run_columns import planned_columns
from windtunnel.sweeps.study.schema import Block
from windtunnel.sweeps.study.trunks import link_trunks
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import UNPREPARED
from windtunnel.train.config.run_id import run_id
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.evaluation_windows import evaluation_windows
from windtunnel.train.data.order import run_order
from windtunnel.train.errors import InputError

Role = Literal["family", "target"]
MAX_RUNS = 100_000


@dataclass(frozen=True)
class PlannedRun:
    """One run. `parent` is the id of the run from whose checkpoint at `parent_step` it can start."""

    run_id: str
    role: Role
    config: RunConfig  # its checkpoint steps include those that other runs start from
    parent: str | None
    parent_step: int
    requested_checkpoint_steps: tuple[int, ...] = ()  # those in the study file, which are kept for good

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
        """Tokens that no other run of the plan trains on."""
        return self.tokens - self.parent_step * self.config.tokens_per_step

    @property
    def flops(self) -> float:
        """6 N D of the whole run, N of all parameters."""
        return 6.0 * self.parameters.total * self.tokens

    @property
    def new_flops(self) -> float:
        """6 N D of `new_tokens`."""
        return 6.0 * self.parameters.total * self.new_tokens


@dataclass(frozen=True)
class Plan:
    """All runs of a study."""

    file: StudyFile
    runs: tuple[PlannedRun, ...]

    @cached_property
    def by_id(self) -> dict[str, PlannedRun]:
        return {run.run_id: run for run in self.runs}

    @property
    def family(self) -> list[PlannedRun]:
        return self.runs_of("family")

    @property
    def targets(self) -> list[PlannedRun]:
        return self.runs_of("target")

    def runs_of(self, role: Role) -> list[PlannedRun]:
        return [run for run in self.runs if run.role == role]

    def ancestors(self, run: PlannedRun) -> list[tuple[PlannedRun, int]]:
        """The runs that it can start from, nearest first, each with the step of the checkpoint."""
        ancestors = []
        while run.parent is not None:
            parent = self.by_id[run.parent]
            ancestors.append((parent, run.parent_step))
            run = parent
        return ancestors

    @property
    def prepared(self) -> bool:
        """Whether the data of every run are prepared. Until then run ids are provisional."""
        return all(run.config.data.content_hash != UNPREPARED for run in self.runs)

    def __repr__(self) -> str:
        return f"Plan({self.file.name!r}, {len(self.family)} family runs, {len(self.targets)} targets)"


def make_plan(
    file: StudyFile,
    runs_directory: Path,
    data_directory: Path,
    *,
    prepare: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> Plan:
    """The plan of a study. `prepare` prepares the data that are missing. Raises InputError with the line of a run that
    cannot be trained.
    """
    study, resolver = file.study, Resolver(runs_directory, data_directory)
    number = sum(count_runs(block) for block in (*study.family, *study.targets))
    if number > MAX_RUNS:
        raise InputError(f"{file.path}: {number:,} runs; a study has at most {MAX_RUNS:,}: split it")
    family = _resolve_blocks(file, "family", study.family, resolver, prepare, progress)
    targets = _resolve_blocks(file, "targets", study.targets, resolver, prepare, progress)
    roles: dict[str, Role] = {}
    configs: dict[str, RunConfig] = {}
    sections: tuple[tuple[Role, list[RunConfig]], ...] = (("family", family), ("target", targets))
    for role, role_configs in sections:
        for config in role_configs:
            name = run_id(config)
            if roles.get(name) not in (None, role):
                raise InputError(f"{file.path}: {name} is both in the family and a target: a target is held out")
            roles[name], configs[name] = role, config
    return Plan(file, _link_runs(configs, roles))


def _resolve_blocks(
    file: StudyFile,
    section: str,
    blocks: Sequence[Block],
    resolver: Resolver,
    prepare: bool,
    progress: Callable[[str], None],
) -> list[RunConfig]:
    resolved: list[RunConfig] = []
    for index, block in enumerate(blocks):
        errors = BlockErrors(file, section, index)
        rows = list(block_settings(block))
        requests = []
        for settings in rows:
            with errors.located(settings):
                requests.append(resolver.request({**file.study.fixed, **settings}))
        if prepare:
            resolver.prepare_data(requests, progress)
        configs = []
        for settings, request in zip(rows, requests, strict=True):
            with errors.located(settings):
                configs.append(resolver.config(request))
        if block.where is not None:
            with file.located((section, index, "where"), "where: "):
                keep = evaluate_condition(block.where, planned_columns(configs), len(configs)).tolist()
            rows, configs = list(compress(rows, keep)), list(compress(configs, keep))
        if not configs:
            raise file.error_at((section, index, "where"), f"{section}: no run is left of {len(requests)}")
        configs = [_with_group(config, file) for config in configs]
        _check_data(errors, rows, configs)
        resolved += configs
    return resolved


def _with_group(config: RunConfig, file: StudyFile) -> RunConfig:
    """A study is one group in W&B. It is pushed when it has ended, because mirroring costs a second per run."""
    is_set = "logging.wandb" in file.study.fixed
    wandb = config.logging.wandb if is_set else "off"
    return replace(config, logging=replace(config.logging, wandb=wandb, group=config.logging.group or file.name))


def _check_data(errors: BlockErrors, rows: Sequence[Settings], configs: Sequence[RunConfig]) -> None:
    """Raises InputError where a dataset has too few tokens or evaluation windows for its longest run."""
    longest: dict[object, tuple[Settings, RunConfig]] = {}
    for settings, config in zip(rows, configs, strict=True):
        data = config.data
        if data.content_hash != UNPREPARED:
            key = (data, config.sequences_per_step)
            if key not in longest or config.total_tokens > longest[key][1].total_tokens:
                longest[key] = (settings, config)
    for settings, config in longest.values():
        with errors.located(settings):
            corpus = Corpus(Path(config.runtime.data_directory) / config.data.folder)
            run_order(config, corpus)
            evaluation_windows(corpus, config.data.sequence_length, config.data.evaluation_tokens)


def _link_runs(configs: dict[str, RunConfig], roles: dict[str, Role]) -> tuple[PlannedRun, ...]:
    """Runs with their links, parents first. No family run starts from a target, which trains later."""
    names = sorted(configs, key=lambda name: roles[name] == "target")  # stable: the order of the file within a role
    ordered = [configs[name] for name in names]
    links = link_trunks(ordered, sum(role == "family" for role in roles.values()))
    branch_steps: dict[int, set[int]] = {}
    for link in links:
        if link is not None:
            branch_steps.setdefault(link.parent, set()).add(link.step)
    indices = sorted(
        range(len(names)), key=lambda index: (roles[names[index]] == "target", ordered[index].schedule.decay_start)
    )
    runs = []
    for index in indices:
        config, link = ordered[index], links[index]
        steps = tuple(sorted({*config.logging.checkpoint_steps, *branch_steps.get(index, ())}))
        runs.append(
            PlannedRun(
                run_id=names[index],
                role=roles[names[index]],
                config=replace(config, logging=replace(config.logging, checkpoint_steps=steps)),
                parent=names[link.parent] if link else None,
                parent_step=link.step if link else 0,
                requested_checkpoint_steps=config.logging.checkpoint_steps,
            )
        )
    return tuple(runs)
