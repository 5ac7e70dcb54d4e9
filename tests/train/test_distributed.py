"""The number of ranks and the size of micro-batches change where a batch is computed, not the run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from windtunnel.train import checkpoint
from windtunnel.train.config.config import RunConfig
from windtunnel.train.records import read_metrics, read_record
from windtunnel.train.run import run_folder, train_runs

# Two ranks on the CPU, even on a machine with a GPU.
STEPS = ("horizon.steps=120", "runtime.device=cpu")


@contextmanager
def torchrun(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    # Connect ranks on the loopback interface, whatever the host name resolves to.
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    process = subprocess.Popen(
        [*command, "-m", "windtunnel.train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.terminate()  # torchrun ends its ranks
        process.communicate(timeout=60)


def curve(config: RunConfig) -> np.ndarray:
    """Training and validation losses."""
    rows = read_metrics(run_folder(config), "train"), read_metrics(run_folder(config), "evaluation")
    return np.array([row["loss"] for row in rows[0]] + [row["validation_nats_per_token"] for row in rows[1]])


def train(config: RunConfig) -> np.ndarray:
    train_runs([config], show_progress=False)
    return curve(config)


def micro(config: RunConfig, sequences: int, runs: Path) -> RunConfig:
    runtime = replace(config.runtime, micro_batch_sequences=sequences, runs_directory=str(runs))
    return replace(config, runtime=runtime)


@pytest.mark.slow
def test_micro_batches_add_up_to_the_batch(configure, tmp_path: Path) -> None:
    whole = train(configure(runs="whole"))
    assert len(whole) > 10
    for sequences in (1, 2):
        parted = train(micro(configure(), sequences, tmp_path / str(sequences)))
        np.testing.assert_allclose(parted, whole, rtol=1e-5)
        assert not np.array_equal(parted, whole)
    np.testing.assert_array_equal(train(micro(configure(), 4, tmp_path / "4")), whole)


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_ranks_train_the_same_run(arguments, configure, tmp_path: Path) -> None:
    config = configure(*STEPS, runs="ranks")
    with torchrun(arguments(*STEPS, "runtime.checkpoint_seconds=0", runs="ranks")) as process:
        deadline = time.monotonic() + 60
        while not any(saved.step >= 5 for saved in checkpoint.find(run_folder(config))):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    record = read_record(run_folder(config))
    assert record["status"] == "preempted"
    assert record["numerics"]["world_size"] == 2
    assert 5 <= record["progress"]["step"] < 120

    with torchrun(arguments(*STEPS, runs="ranks")) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.count("validation loss") == 1  # one rank prints for both
    assert read_record(run_folder(config))["status"] == "finished"

    halves = micro(configure(*STEPS), 2, tmp_path / "halves")  # one process that adds the same two halves
    train(halves)
    assert (run_folder(config) / "metrics.jsonl").read_bytes() == (run_folder(halves) / "metrics.jsonl").read_bytes()
    np.testing.assert_allclose(curve(config), train(configure(*STEPS, runs="whole")), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_indivisible_batch_is_printed_by_one_rank(arguments) -> None:
    with torchrun(arguments("optimizer.tokens_per_step=96", "runtime.device=cpu")) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1  # torchrun's own
    printed = [line for line in errors.splitlines() if line.startswith("windtunnel:")]
    assert printed == [
        "windtunnel: optimizer.tokens_per_step=96 is 3 sequences, which do not divide over 2 ranks; "
        "start a number of ranks that divides it"
    ]
    assert "exitcode  : 2" in errors
    assert "InputError" not in errors  # no traceback but torchrun's
