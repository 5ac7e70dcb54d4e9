"""A run learns, evaluates at common milestones, and does not synchronize with the device at every step."""

import math

import numpy as np
import pytest
import torch

from windtunnel.train import loop as training_loop
from windtunnel.train.milestones import milestone_steps
from windtunnel.train.records import read_metrics, read_record, read_timings
from windtunnel.train.run import run_folder, train_runs

# The tiny run of conftest.py, seed 0: mean losses of its first three lines, and its final validation loss.
GOLDEN_LOSSES = [5.5152058601, 5.2033652067, 4.3211302757]
GOLDEN_VALIDATION = 3.0749822197


def train(*configs):
    return train_runs(configs, show_progress=False)


def test_golden_run(configure) -> None:
    """The numbers of this run, up to the rounding of CPUs. A change of any of them is a change of the science."""
    config = configure()
    (outcome,) = train(config)
    rows = read_metrics(outcome.folder, "train")
    assert [row["step"] for row in rows] == list(range(4, 41, 4))
    assert [row["loss"] for row in rows[:3]] == pytest.approx(GOLDEN_LOSSES, rel=2e-5)
    result = outcome.record["result"]
    assert result["validation_nats_per_token"] == pytest.approx(GOLDEN_VALIDATION, rel=1e-4)
    assert result["validation_bits_per_byte"] == pytest.approx(GOLDEN_VALIDATION / math.log(2), rel=1e-3)
    assert 0 < result["validation_standard_error"] < 0.2


@pytest.mark.slow
def test_run_learns_more_than_letter_frequencies(configure, data_directory) -> None:
    config = configure("horizon.steps=600", "optimizer.tokens_per_step=512", "schedule.warmup_tokens=20k")
    (outcome,) = train(config)
    tokens = np.fromfile(next((data_directory / config.data.folder).glob("*train*.bin")), dtype=np.uint16)
    frequency = np.bincount(tokens) / len(tokens)
    unigram = -sum(p * math.log(p) for p in frequency if p > 0)
    assert outcome.record["result"]["validation_nats_per_token"] < unigram - 0.3


def test_first_loss_is_that_of_a_uniform_prediction(configure) -> None:
    config = configure("logging.every_steps=1", "horizon.steps=20")
    (outcome,) = train(config)
    first = read_metrics(outcome.folder, "train")[0]
    assert first["loss"] == pytest.approx(math.log(256), rel=1e-6)  # the readout starts at zero
    assert 0 < first["rate"] < config.optimizer.rate


@pytest.mark.slow
def test_steps_do_not_synchronize_with_the_device(configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that copy a value to the host are as many for 200 steps as for 100, up to those of one more flush."""
    calls = 0

    def counting(name: str):
        original = getattr(torch.Tensor, name)

        def counted(self, *arguments, **options):
            nonlocal calls
            calls += 1
            return original(self, *arguments, **options)

        return counted

    for name in ("item", "cpu", "tolist", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, counting(name))
    monkeypatch.setattr(training_loop, "FLUSH_SECONDS", 1e9)
    counts = []
    for steps in (training_loop.BUFFER_STEPS, 2 * training_loop.BUFFER_STEPS):
        calls = 0
        train(configure(f"horizon.steps={steps}"))
        counts.append(calls)
    assert counts[1] - counts[0] <= 4


@pytest.mark.parametrize("tokens_per_step", [64, 1000, 1024])
def test_milestones_are_common_to_all_horizons(tokens_per_step: int) -> None:
    short, long = (milestone_steps(1000, tokens_per_step, steps) for steps in (700, 3000))
    assert short[-1] == 700
    assert long[-1] == 3000
    assert set(short[:-1]) == {step for step in long if step < 700}
    assert all((step - 1) * tokens_per_step < 8000 * 2**k <= step * tokens_per_step for k, step in enumerate(long[:-1]))


def test_evaluation_interval_adds_its_multiples() -> None:
    assert milestone_steps(1000, 100, 1000, 30_000) == [80, 160, 300, 320, 600, 640, 900, 1000]
    assert milestone_steps(1000, 128, 20, 1000) == [8, 16, 20]


@pytest.mark.slow
def test_evaluations_between_milestones_do_not_change_training(configure) -> None:
    often = configure("logging.evaluation_interval_tokens=1k", "data.evaluation_tokens=256", runs="often")
    rarely = configure("data.evaluation_tokens=256", runs="rarely")
    train(often)
    train(rarely)
    assert run_folder(often).name == run_folder(rarely).name
    assert read_metrics(run_folder(often), "train") == read_metrics(run_folder(rarely), "train")
    assert [row["tokens"] for row in read_metrics(run_folder(often), "evaluation")] == [1024, 2048, 3072, 4096, 5120]
    assert [row["tokens"] for row in read_metrics(run_folder(rarely), "evaluation")] == [2048, 4096, 5120]


@pytest.mark.slow
def test_evaluations_are_at_milestones_and_cost_little(configure) -> None:
    config = configure("data.evaluation_tokens=256", "horizon.steps=60")
    (outcome,) = train(config)
    rows = read_metrics(outcome.folder, "evaluation")
    assert [row["tokens"] for row in rows] == [2048, 4096, 60 * 128]
    evaluated, trained = 256 * len(rows), config.total_tokens
    assert evaluated / trained < 0.15


@pytest.mark.slow
def test_evaluation_does_not_change_training(configure) -> None:
    often = configure("data.evaluation_tokens=256", runs="often")
    rarely = configure("data.evaluation_tokens=2048", runs="rarely")
    train(often)
    train(rarely)
    assert read_metrics(run_folder(often), "train") == read_metrics(run_folder(rarely), "train")


def test_record_has_every_convention(configure) -> None:
    config = configure()
    (outcome,) = train(config)
    record = read_record(outcome.folder)
    counts = record["counts"]
    assert counts["tokens"] == 40 * 128
    assert counts["parameters"]["total"] == sum(counts["parameters"][k] for k in ("embedding", "head", "non_embedding"))
    assert counts["flops"]["six_n_total"] == 6 * counts["parameters"]["total"] * counts["tokens"]
    assert counts["flops"].keys() == counts["flops_per_token"].keys()
    assert counts["unique_tokens"] == counts["tokens"]
    assert 0 < counts["epochs"] < 0.01
    assert record["numerics"]["device"] == "cpu"
    assert record["versions"]["torch"] == torch.__version__
    assert read_timings(outcome.folder)[-1]["step"] == 40


@pytest.mark.slow
def test_z_loss_and_weights_change_the_run(configure) -> None:
    losses = set()
    for index, override in enumerate(("seed=0", "architecture.z_loss=0.01", "parametrization=standard", "seed=3")):
        (outcome,) = train(configure(override, runs=str(index)))
        losses.add(outcome.record["result"]["validation_nats_per_token"])
    assert len(losses) == 4


@pytest.mark.slow
def test_mixture_reports_each_domain(configure) -> None:
    (outcome,) = train(configure("data=prose", "data.weights=[0.25,0.75]", "data.evaluation_tokens=4096"))
    result = outcome.record["result"]
    assert {"validation_speeches_nats_per_token", "validation_plays_bits_per_byte"} <= result.keys()
    assert (
        min(result[f"validation_{name}_nats_per_token"] for name in ("speeches", "plays"))
        <= result["validation_nats_per_token"]
    )


def test_synthetic_tokens_have_no_bits_per_byte(configure) -> None:
    (outcome,) = train(configure("data=zipf-facts", "data.token_budget=50k"))
    assert "validation_bits_per_byte" not in outcome.record["result"]
    assert outcome.record["data"]["domains"][0]["entropy_nats_per_token"] == pytest.approx(0.811963, abs=1e-6)
    assert outcome.record["data"]["domains"][0]["opening_excess_nats"] is None
