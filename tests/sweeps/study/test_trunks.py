"""Any set of runs: a branch shares every step before its checkpoint with its parent, and shared steps train once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.models.configuration import ModelConfig, Parametrization
from windtunnel.sweeps.study.trunks import Link, link_trunks, trunk_key
from windtunnel.train.config.config import DataConfig, LoggingConfig, OptimizerConfig, RunConfig, RuntimeConfig
from windtunnel.train.schedules import Schedule, shares_rates

CONFIG = RunConfig(
    model=ModelConfig(
        16, 2, 2, 48, 256, "swiglu", False, False, 1e4, 1e-6, 0.0, Parametrization("mup", 32, 2, 1, 1, 0)
    ),
    optimizer=OptimizerConfig(6e-3, 128, 0.9, 0.95, 1e-8, 0.1, 1.0),
    schedule=Schedule("wsd", 100, 10, 20, "1-sqrt", 0.0, 0.0),
    data=DataConfig("a" * 64, 256, 32, None, None, 1024, 1.0, "speeches", "speeches-0"),
    seed=0,
    runtime=RuntimeConfig("auto", "auto", "off", 1, 0, "runs", "data", 60.0, 1),
    logging=LoggingConfig(10, (), "off", "windtunnel", None, ()),
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    shape = draw(st.sampled_from(["wsd", "constant", "power", "cosine", "linear"]))
    warmup, total = draw(st.sampled_from([0, 5, 9])), draw(st.integers(10, 60))
    decays = shape == "wsd" or (shape == "power" and draw(st.booleans()))
    decay = draw(st.integers(1, total - warmup)) if decays else 0
    return Schedule(
        shape=shape,
        total_steps=total,
        warmup_steps=warmup,
        decay_steps=decay,
        decay_shape=draw(st.sampled_from(["1-sqrt", "linear", "cosine"])) if decay else "linear",
        final_fraction=draw(st.sampled_from([0.0, 0.1])) if decay else 0.0,
        power_exponent=0.5 if shape == "power" else 0.0,
    )


@st.composite
def runs(draw: st.DrawFn) -> list[RunConfig]:
    members = draw(st.lists(st.tuples(schedules(), st.integers(0, 1), st.sampled_from([6e-3, 1e-2])), max_size=12))
    return [
        replace(CONFIG, schedule=schedule, seed=seed, optimizer=replace(CONFIG.optimizer, rate=rate))
        for schedule, seed, rate in members
    ]


def first_step(links: list[Link | None], index: int) -> int:
    link = links[index]
    return link.step if link else 0


@pytest.mark.slow
@given(configs=runs(), share=st.floats(0, 1))
def test_link_is_to_a_run_with_equal_steps_before_it(configs: list[RunConfig], share: float) -> None:
    num_family = round(share * len(configs))
    for index, link in enumerate(link_trunks(configs, num_family)):
        if link is None:
            continue
        child, parent = configs[index], configs[link.parent]
        assert 0 < link.step <= min(child.schedule.total_steps, parent.schedule.total_steps)
        assert shares_rates(child.schedule, parent.schedule, link.step)
        aligned = replace(child, schedule=parent.schedule)
        assert aligned == parent, "they differ in more than their schedules"
        assert link.parent < num_family or index >= num_family, "a family run waits for a target"


@pytest.mark.slow
@given(configs=runs(), share=st.floats(0, 1))
def test_links_lead_to_a_root_without_cycles(configs: list[RunConfig], share: float) -> None:
    links = link_trunks(configs, round(share * len(configs)))
    for index in range(len(configs)):
        seen = {index}
        link = links[index]
        while link is not None:
            assert link.parent not in seen
            assert first_step(links, link.parent) <= link.step, "the parent starts after the checkpoint"
            seen.add(link.parent)
            link = links[link.parent]


@pytest.mark.slow
@given(configs=runs())
def test_every_step_at_constant_rate_is_trained_once(configs: list[RunConfig]) -> None:
    links = link_trunks(configs)
    trained: dict[str, list[tuple[int, int]]] = {}
    for index, config in enumerate(configs):
        if config.schedule.shape in ("wsd", "constant", "power"):
            plateau = (first_step(links, index), config.schedule.decay_start)
            trained.setdefault(trunk_key(config), []).append(plateau)
    for intervals in trained.values():
        steps = [step for first, last in intervals for step in range(first, last)]
        assert sorted(steps) == list(range(max(last for _, last in intervals)))


@given(configs=runs(), share=st.floats(0, 1))
def test_branching_never_trains_more_than_separate_runs(configs: list[RunConfig], share: float) -> None:
    links = link_trunks(configs, round(share * len(configs)))
    new = [config.schedule.total_steps - first_step(links, index) for index, config in enumerate(configs)]
    assert all(steps >= 0 for steps in new)
    assert sum(new) <= sum(config.schedule.total_steps for config in configs)


def test_runtime_and_logging_do_not_change_the_trunk() -> None:
    elsewhere = replace(
        CONFIG,
        schedule=replace(CONFIG.schedule, total_steps=200, decay_steps=40),
        runtime=replace(CONFIG.runtime, threads=2),
        logging=replace(CONFIG.logging, tags=("a",)),
    )
    assert link_trunks([CONFIG, elsewhere]) == [None, Link(0, 80)]


def test_another_warmup_is_another_trunk() -> None:
    warmed = replace(CONFIG, schedule=replace(CONFIG.schedule, warmup_steps=11, total_steps=200))
    assert link_trunks([CONFIG, warmed]) == [None, None]


def test_cosine_shares_no_steps() -> None:
    cosine = replace(CONFIG, schedule=Schedule("cosine", 100, 10, 0, "linear", 0.1, 0.0))
    longer = replace(CONFIG, schedule=Schedule("cosine", 200, 10, 0, "linear", 0.1, 0.0))
    assert link_trunks([cosine, longer]) == [None, None]
