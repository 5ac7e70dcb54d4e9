"""Small prepared data sets that several files of this folder look at."""

from pathlib import Path

import pytest

from windtunnel.train.data.corpus import Corpus
from windtunnel.train.data.prepare import prepare
from windtunnel.train.data.specification import DataSpec


@pytest.fixture(scope="session")
def speeches(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(prepare(DataSpec("speeches"), tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    spec = DataSpec("synthetic:zipf-facts+synthetic:zipf-facts?seed=1", vocabulary=0, token_budget=100_000)
    return Corpus(prepare(spec, tmp_path_factory.mktemp("data")))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of twenty short text files."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.txt").write_text(
            f"Document {number}: été, {'word ' * (10 + number)}end.\n", encoding="utf-8"
        )
    return folder
