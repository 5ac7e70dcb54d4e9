"""Small prepared datasets that several tests of this folder read."""

import pytest

from tests.support.text_files import texts as texts  # a fixture
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
