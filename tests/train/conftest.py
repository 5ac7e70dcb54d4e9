"""Runs small enough to train in a test: a model of about 8k parameters on real text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from windtunnel.train.config.compose import compose
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import resolve
from windtunnel.train.records import read_metrics

TINY = (
    "size=custom",
    "size.width=16",
    "size.depth=2",
    "size.head_count=2",
    "horizon=steps",
    "horizon.steps=40",
    "schedule.warmup_tokens=1024",
    "optimizer.tokens_per_step=128",
    "data.sequence_length=32",
    "data.evaluation_tokens=1024",
    "optimizer.rate=6e-3",
    "parametrization.embedding_std=1",
    "logging.every_steps=4",
    "logging.wandb=off",
)
Arguments = Callable[..., list[str]]
Configure = Callable[..., RunConfig]


@pytest.fixture(scope="session")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared corpora, shared by the tests of all workers. Preparation is locked and idempotent."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "data"


@pytest.fixture
def arguments(tmp_path: Path, data_directory: Path) -> Arguments:
    """`arguments("seed=1", runs="a")`: the command line of the tiny run with overrides, recorded below tmp_path/a."""

    def make(*overrides: str, runs: str = "runs") -> list[str]:
        paths = (f"runtime.runs_directory={tmp_path / runs}", f"runtime.data_directory={data_directory}")
        return [*TINY, *paths, *overrides]

    return make


@pytest.fixture
def configure(arguments: Arguments) -> Configure:
    """`configure("seed=1", runs="a")`: the same as a configuration."""

    def make(*overrides: str, runs: str = "runs") -> RunConfig:
        return resolve(compose(arguments(*overrides, runs=runs)), overrides, progress=lambda message: None)[0]

    return make


@pytest.fixture
def losses() -> Callable[[Path], list[object]]:
    def read(folder: Path) -> list[object]:
        return [row["loss"] for row in read_metrics(folder, "train")]

    return read
