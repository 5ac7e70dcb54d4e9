"""Numerics: decided once, recorded, and used again by resumed runs and branches."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from windtunnel.train.device import Ranks, decide_numerics, numerics_changes
from windtunnel.train.errors import InputError
from windtunnel.train.records import read_metrics, read_record
from windtunnel.train.run import run_folder, train_runs

ALONE = Ranks(0, 1, 0)


def with_runtime(config, **values):
    return replace(config, runtime=replace(config.runtime, **values))


def test_small_runs_use_one_thread_and_no_compilation(configure) -> None:
    numerics = decide_numerics(configure(), ALONE, None)
    assert (numerics.threads, numerics.compile, numerics.micro_batch_sequences) == (1, False, 4)
    if not torch.cuda.is_available():
        assert (numerics.device, numerics.precision) == ("cpu", "fp32")


def test_recorded_numerics_replace_auto_only(configure) -> None:
    config = configure()
    recorded = {"device": "cpu", "precision": "bf16", "compile": True, "threads": 2, "micro_batch_sequences": 2}
    numerics = decide_numerics(config, ALONE, recorded)
    assert (numerics.precision, numerics.compile, numerics.threads) == ("bf16", True, 2)
    assert numerics.micro_batch_sequences == 2
    assert numerics_changes(numerics, recorded) == []
    explicit = decide_numerics(with_runtime(config, precision="fp32", compile="off"), ALONE, recorded)
    assert numerics_changes(explicit, recorded) == ["precision bf16 -> fp32", "compile True -> False"]


@pytest.mark.parametrize(
    ("micro", "ranks", "words"), [(3, 1, "does not divide the 4 sequences"), (0, 3, "over 3 ranks")]
)
def test_indivisible_batch_is_an_input_error(configure, micro: int, ranks: int, words: str) -> None:
    config = with_runtime(configure(), micro_batch_sequences=micro)
    with pytest.raises(InputError, match=words):
        decide_numerics(config, Ranks(0, ranks, 0), None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_missing_device_is_an_input_error(configure) -> None:
    with pytest.raises(InputError, match="this machine has no CUDA device"):
        decide_numerics(with_runtime(configure(), device="cuda"), ALONE, None)


@pytest.mark.slow
def test_resuming_with_other_numerics_prints_a_note(configure, capsys) -> None:
    config = configure("runtime.threads=1")
    train_runs([config], show_progress=False)
    folder = run_folder(config)
    record = read_record(folder)
    record["status"] = "preempted"
    (folder / "run.json").write_text(json.dumps(record))
    train_runs([configure("runtime.precision=bf16", "runtime.threads=1")], show_progress=False)
    assert "precision fp32 -> bf16: the curve continues, but not bitwise" in capsys.readouterr().out


@pytest.mark.slow
def test_bf16_curve_is_close_to_fp32(configure) -> None:
    curves = []
    for precision in ("fp32", "bf16"):
        config = configure(f"runtime.precision={precision}", runs=precision)
        train_runs([config], show_progress=False)
        assert read_record(run_folder(config))["numerics"]["precision"] == precision
        curves.append([row["loss"] for row in read_metrics(run_folder(config), "train")])
    assert curves[1] == pytest.approx(curves[0], rel=0.01)
    assert curves[1] != curves[0]


@pytest.mark.slow
def test_compilation_changes_only_rounding(configure, tmp_path) -> None:
    """In a separate process, because imports of inductor give warnings."""
    config = configure("runtime.compile=off", "horizon.steps=20", "size.depth=1")
    train_runs([config], show_progress=False)
    arguments = config.runtime.data_directory, str(tmp_path / "compiled")
    subprocess.run([sys.executable, "-c", COMPILED, *arguments], check=True, capture_output=True)
    folder = tmp_path / "compiled" / run_folder(config).name
    assert read_record(folder)["numerics"]["compile"] is True
    expected = [row["loss"] for row in read_metrics(run_folder(config), "train")]
    assert [row["loss"] for row in read_metrics(folder, "train")] == pytest.approx(expected, rel=1e-4)


COMPILED = """
import sys
sys.path[:0] = ["tests/train", "."]
from tests.train.conftest import TINY
from windtunnel.train.config.compose import compose
from windtunnel.train.config.resolve import resolve
from windtunnel.train.run import train_runs
data, runs = sys.argv[1:]
paths = f"runtime.data_directory={data}", f"runtime.runs_directory={runs}"
request = compose([*TINY, *paths, "runtime.compile=on", "horizon.steps=20", "size.depth=1"])
train_runs([resolve(request, (), progress=print)[0]], show_progress=False)
"""
