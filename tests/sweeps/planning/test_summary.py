"""The plan of a study from Python: its text and its runs as a DataFrame."""

from pathlib import Path

import pytest

from tests.support.tiny_study import write_study
from windtunnel.sweeps.planning.summary import PlanSummary, plan_study
from windtunnel.sweeps.study.load import load_study
from windtunnel.train.errors import InputError


def plan(folder: Path, **options: str | int) -> PlanSummary:
    study = load_study(write_study(folder / "study.yaml", seeds=(0, 1)))
    return plan_study(study, folder / "runs", folder / "data", **options)  # type: ignore[arg-type]


def test_repr_is_the_printed_plan(tmp_path: Path) -> None:
    summary = plan(tmp_path, gpu="h100:2")
    lines = repr(summary).splitlines()
    assert lines[0] == "study: a study for tests"
    assert any(line.startswith("6 runs on 2 trunks") for line in lines)
    assert any(line.startswith("2 x h100: ") for line in lines)
    assert len(lines) < 25
    assert repr(summary.plan) == "Plan('study', 6 family runs, 0 targets)"


def test_runs_as_a_dataframe(tmp_path: Path) -> None:
    summary = plan(tmp_path, gpu="h100")
    frame = summary.to_pandas()
    assert list(frame["run"]) == [run.run_id for run in summary.plan.runs]
    assert set(frame["part"]) == {"family"}
    assert list(frame["flops"]) == [6.0 * run.parameters.total * run.tokens for run in summary.plan.runs]
    assert frame["seconds"].sum() == pytest.approx(summary.timeline.work)
    assert (frame["new_tokens"] <= frame["tokens"]).all()


def test_seconds_are_missing_without_timings(tmp_path: Path) -> None:
    summary = plan(tmp_path)
    assert summary.to_pandas()["seconds"].isna().all()
    assert summary.totals.hours is None


def test_invalid_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown GPU 'h1'"):
        plan(tmp_path, gpu="h1")
    with pytest.raises(InputError, match=r"workers must be at least 1, got 0"):
        plan(tmp_path, workers=0)
