"""Settings of every test: no network, one thread, no warnings of other libraries. Set before a library reads them."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
# Tests run side by side on few cores, and torch takes its thread count from here when it is first imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

from tests.support.slurm_cluster import SlurmCluster, private_cluster, reason_unavailable

# No deadline: a busy machine must not fail a test.
settings.register_profile("windtunnel", deadline=None)
settings.load_profile("windtunnel")


@pytest.fixture(scope="session")
def slurm_session() -> Iterator[SlurmCluster]:
    """The cluster itself; tests ask for `slurm`."""
    if reason := reason_unavailable():
        pytest.skip(reason)
    with private_cluster() as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_session: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A private SLURM, in this process's environment too, empty before and after the test."""
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, slurm_session.env[name])
    yield slurm_session
    slurm_session.cancel_all()
