"""`windtunnel sweep plan`: its output, its warnings, and the plans that it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from windtunnel.sweeps.cli.main import main
from windtunnel.sweeps.planning.cost import Timing

STUDY = """\
title: a study of three sizes
fixed: {data: prose}
family:
  - grid:
      size: [25000, 83000, 200000]  # none that a file names, so that one is composed for all
      horizon.tokens: [900k, 2M, 4M]
      seed: [0, 1, 2]
targets:
  - rows: [{size: 1050000, horizon.tokens: 5M}]
analysis: {laws: [chinchilla], where: D > 1.5e6}
"""


@pytest.fixture(autouse=True)
def fixed_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timings that are not measured: no test waits for a probe."""

    def measure(config: Any, folder: Path, sequences: int) -> Timing:
        return Timing(1.0, 1e-7 * config.model.width**3, 1e-11 * config.model.width**3, 0.01, "measured")

    monkeypatch.setattr("windtunnel.sweeps.planning.throughput_measurement.measure_timing", measure)


def plan(folder: Path, *options: str, text: str = STUDY) -> int:
    path = folder / "s.yaml"
    path.write_text(text)
    return main(["sweep", "plan", str(path), "--runs", str(folder / "runs"), "--data", str(folder / "data"), *options])


def document(folder: Path, *options: str, text: str = STUDY) -> dict[str, Any]:
    plan(folder, "--json", str(folder / "plan.json"), *options, text=text)
    content: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    return content


def test_plan_table_lists_sizes_totals_and_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(tmp_path, "--workers", "2") == 0
    printed = capsys.readouterr().out
    for words in (
        "s: a study of three sizes",
        "25,248",  # without embeddings
        "48 x 3",
        "900k 2M 4M",
        "28 runs on 10 trunks",
        "branching saves",
        "this machine, 2 workers:",
        "disk:",
        "4.85 x the largest fitted N, 1.25 x D, 6.07 x C",
        "note: the data are not prepared",
        "note: 3 sizes are fitted",
    ):
        assert words in printed, printed


def test_option_all_lists_every_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = document(tmp_path)["runs"]
    capsys.readouterr()
    assert plan(tmp_path, "--all") == 0
    printed = capsys.readouterr().out
    for run in runs:
        assert run["run"] in printed
        if run["parent"]:
            assert f"{run['parent']}@{run['parent_step']}" in printed


def test_plan_json_adds_up(tmp_path: Path) -> None:
    content = document(tmp_path, "--workers", "3")
    totals, runs, sizes = content["totals"], content["runs"], content["sizes"]
    assert totals["runs"] == len(runs) == sum(row["runs"] for row in sizes) == 28
    assert totals["tokens"] == sum(run["new_tokens"] for run in runs) == sum(row["tokens"] for row in sizes)
    assert totals["separate_tokens"] == sum(run["tokens"] for run in runs)
    assert totals["flops"] == pytest.approx(sum(6 * run["N"] * run["new_tokens"] for run in runs))
    assert totals["worker_hours"] == pytest.approx(sum(run["hours"] for run in runs))
    assert totals["worker_hours"] / 3 <= totals["hours"] <= totals["worker_hours"]
    assert totals["saving"] == pytest.approx(1 - totals["flops"] / totals["separate_flops"])
    assert [row["role"] for row in sizes] == ["family"] * 3 + ["target"]
    assert all(row["least_seeds"] == row["most_seeds"] == 3 for row in sizes[:3])
    assert content["targets"][0]["beyond"]["N"] == pytest.approx(sizes[3]["parameters"] / sizes[2]["parameters"])


def test_standard_output_holds_only_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(tmp_path, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["study"] == "s"


@pytest.mark.slow
def test_plan_without_probe_has_no_hours(tmp_path: Path) -> None:
    content = document(tmp_path, "--no-probe")
    assert content["totals"]["hours"] is None
    assert content["totals"]["peak_bytes"] > content["totals"]["left_bytes"] > 0
    assert document(tmp_path)["totals"]["hours"] > 0
    assert document(tmp_path, "--no-probe")["totals"]["hours"] > 0, "an earlier probe is known"


@pytest.mark.slow
def test_hours_on_named_gpus_are_noted_as_assumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, four = document(tmp_path, "--gpu", "h100"), document(tmp_path, "--gpu", "h100:4")
    assert one["totals"]["hours"] > four["totals"]["hours"] >= four["totals"]["longest_path_hours"] - 1e-9
    assert one["machine"]["paces"] == ["published"]
    capsys.readouterr()
    plan(tmp_path, "--gpu", "h100:4")
    assert "note: hours on 4 x h100 assume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("hours: 0.001", "hours 0."),
        ("tokens: 30M", "tokens 4.6"),
        ("flops: 1e12", "flops "),
        ("disk_gigabytes: 0.001", "disk_gigabytes 0.0"),
    ],
)
def test_exceeded_budget_is_reported_after_the_table(
    budget: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(tmp_path, text=f"{STUDY}budget: {{{budget}}}\n") == 2
    printed = capsys.readouterr()
    assert "28 runs" in printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith(f"windtunnel: {tmp_path}/s.yaml:11: beyond the budget: {words}")


def test_plan_within_budget_succeeds(tmp_path: Path) -> None:
    assert plan(tmp_path, text=f"{STUDY}budget: {{hours: 1000, tokens: 1B, flops: 1e16, disk_gigabytes: 1}}\n") == 0


def test_disk_limit_that_workers_can_wait_for_is_a_note(tmp_path: Path) -> None:
    small = STUDY.replace("{size: 1050000, horizon.tokens: 5M}", "{size: 25000, horizon.tokens: 8M}")
    needed = document(tmp_path, "--workers", "1", text=small)["totals"]["peak_bytes"]
    text = f"{small}budget: {{disk_gigabytes: {1.01 * needed / 1e9}}}\n"
    content = document(tmp_path, "--workers", "30", text=text)
    assert not content["exceeded"]
    assert any("wait for disk space" in note for note in content["notes"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("[0, 1, 2]", "[0, 1]", "fewer than 3 seeds at 25.2k, 83.3k, 195k"),
        ("where: D > 1.5e6", "where: N > 0", "25.2k at 900k, 83.3k at 900k: under 1M tokens the loss is still"),
        ("horizon.tokens: 5M", "horizon.tokens: 4M", "3.6 tokens per parameter"),
        ("{size: 1050000, horizon.tokens: 5M}", "{size: 3000000, horizon.tokens: 16M}", "beyond the data in compute"),
        ("{size: 1050000, horizon.tokens: 5M}", "{size: 83000, horizon.tokens: 3M}", "it is no extrapolation"),
        ("{data: prose}", "{data: prose, data.evaluation_tokens: 65536}", "evaluation on 65,536 tokens"),
        ("{data: prose}", "{data: prose, parametrization: standard}", "biases the exponent of N"),
        ("seed: [0, 1, 2]", "seed: [0, 1, 2]\n      schedule: [wsd, linear]", "schedules are mixed"),
        ("where: D > 1.5e6", "where: loss < 3", "no column loss"),
    ],
)
def test_plan_warnings(before: str, after: str, words: str, tmp_path: Path) -> None:
    assert before in STUDY
    text = STUDY.replace(before, after)
    assert any(words in note for note in document(tmp_path, text=text)["notes"])
    assert not any(words in note for note in document(tmp_path)["notes"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedules", "words"),
    [
        ("schedule: constant", "the family has one schedule"),
        ("schedule: [constant, cosine]", "no run of the family below 10%: the ends of decays will be predicted badly"),
    ],
)
def test_plan_warns_of_family_with_few_schedules(schedules: str, words: str, tmp_path: Path) -> None:
    text = """\
title: a study of curves
fixed: {data: prose, horizon.tokens: 2M, size: 25000}
family: [{grid: {SCHEDULES, seed: [0, 1, 2]}}]
targets: [{rows: [{schedule: wsd}]}]
analysis: {curves: {laws: [auto]}}
"""
    assert any(words in note for note in document(tmp_path, text=text.replace("SCHEDULES", schedules))["notes"])
    whole = text.replace("SCHEDULES, seed", "schedule: [constant, cosine], schedule.final_fraction: 0, seed")
    assert not any("famil" in note for note in document(tmp_path, text=whole)["notes"])


def test_plan_does_not_warn_of_rate_checked_at_largest_size(tmp_path: Path) -> None:
    warning = "the learning rate is not checked"
    assert any(warning in note for note in document(tmp_path)["notes"])
    checked = STUDY.replace(
        "targets:", "  - grid: {size: 200000, horizon.tokens: 2M, optimizer.rate: [6e-3]}\ntargets:"
    )
    assert not any(warning in note for note in document(tmp_path, text=checked)["notes"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--workers", "0"), "--workers 0: give at least 1"),
        (("--gpu", "h100", "--workers", "2"), "leave out --workers"),
        (("--gpu", "gtx"), "write NAME or NAME:COUNT"),
    ],
)
def test_plan_invalid_options(
    options: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(tmp_path, *options) == 2
    assert words in capsys.readouterr().err


def test_model_too_large_for_the_gpu_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = STUDY.replace("size: 1050000, horizon.tokens: 5M", "size: 2000000000, horizon.tokens: 3B")
    assert plan(tmp_path, "--gpu", "l4", text=large) == 2
    assert "do not fit into its 24 GB" in capsys.readouterr().err
