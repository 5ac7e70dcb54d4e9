"""The pipeline on records that follow a law: what is sealed when, what is scored, and what is rejected."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.recorded_study import STUDY, RecordingTrainer, plan_text, write_record
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.analysis.prediction.target import format_target
from windtunnel.analysis.tables.load import load_table
from windtunnel.sweeps.pipeline.pipeline import PipelineResult, make_report, run_pipeline, run_set
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.sealing import SealedPrediction, prediction_targets, seal_predictions
from windtunnel.sweeps.pipeline.summary import summary_lines
from windtunnel.sweeps.study.plan import Plan, PlannedRun
from windtunnel.sweeps.tracking.analysis_run import read_study_content
from windtunnel.train.errors import InputError


def run_recorded(plan: Plan, folder: Path, trainer: RecordingTrainer) -> tuple[PipelineResult | None, list[str]]:
    """The result of the pipeline and the lines that it logged."""
    logged: list[str] = []
    return run_pipeline(plan, ResultsFolder(folder / "results"), trainer, logged.append), logged


@pytest.mark.slow
def test_targets_are_sealed_before_they_are_trained_and_scored_after(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_text(STUDY, tmp_path, data_directory)
    sealed_when_targets_began: list[str] = []

    class Watching(RecordingTrainer):
        def __call__(self, runs: Sequence[PlannedRun]) -> bool:
            if runs[0].role == "target":
                sealed_when_targets_began.extend(path.name for path in (tmp_path / "results/predictions").iterdir())
            return super().__call__(runs)

    trainer = Watching()
    result, logged = run_recorded(plan, tmp_path, trainer)
    assert result is not None
    assert result.own_score is not None
    assert [len(runs) for runs in trainer.requests] == [24, 2]
    assert sorted(sealed_when_targets_began) == sorted(each.path.name for each in result.sealed)
    assert [each.prediction.law for each in result.scores] == ["chinchilla", "kaplan", "overtraining"]
    assert abs(result.own_score.mean.error_percent) < 2.0
    assert result.own_score.mean.inside_90
    assert len(result.own_score.runs) == 2
    assert {"C", "M"} == set(result.scores[2].prediction.at)
    for name in ("scores.json", "ranking.json", "audit.json"):
        json.loads((tmp_path / "results" / name).read_text())
    assert (tmp_path / "results/table.csv").read_text().count("\n") == 27
    assert any("inside the 90 % interval" in line for line in logged)


@pytest.mark.slow
def test_repeating_trains_and_seals_nothing_again(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_text(STUDY, tmp_path, data_directory)
    first, _ = run_recorded(plan, tmp_path, RecordingTrainer())
    before = {path: path.read_bytes() for path in (tmp_path / "results/predictions").iterdir()}
    trainer = RecordingTrainer()
    second, _ = run_recorded(plan, tmp_path, trainer)
    assert trainer.requests == []
    assert {path: path.read_bytes() for path in (tmp_path / "results/predictions").iterdir()} == before
    assert first is not None
    assert second is not None
    assert [each.to_dict() for each in second.scores] == [each.to_dict() for each in first.scores]


@pytest.mark.slow
def test_targets_do_not_enter_the_fit(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_text(STUDY, tmp_path, data_directory)
    run_recorded(plan, tmp_path, RecordingTrainer())
    again, _ = run_recorded(plan, tmp_path, RecordingTrainer())
    assert again is not None
    assert len(again.table) == 24
    held_out = ["a target of the study, held out"] * 2
    assert [each.reason for each in again.table.excluded] == held_out
    # The table in the results folder excludes them too.
    written = load_table(tmp_path / "results")
    assert [each.reason for each in written.excluded] == held_out
    assert sorted(written.columns["loss"]) == sorted(again.table.columns["loss"])


@pytest.mark.slow
def test_a_target_with_results_is_never_sealed(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_text(STUDY, tmp_path, data_directory)
    write_record(plan.targets[1])
    with pytest.raises(InputError, match=r"has started .* no sealed prediction at"):
        run_recorded(plan, tmp_path, RecordingTrainer())


@pytest.mark.slow
def test_law_without_a_seal_is_not_sealed_later(tmp_path: Path, data_directory: Path) -> None:
    """The pipeline continues with the other laws."""
    plan = plan_text(STUDY, tmp_path, data_directory)
    run_recorded(plan, tmp_path, RecordingTrainer())
    next((tmp_path / "results/predictions").glob("*kaplan*")).unlink()
    result, logged = run_recorded(plan, tmp_path, RecordingTrainer())
    assert result is not None
    assert [each.prediction.law for each in result.scores] == ["chinchilla", "overtraining"]
    assert any("not sealed: kaplan" in line and "has started" in line for line in logged)
    assert not list((tmp_path / "results/predictions").glob("*kaplan*"))


@pytest.mark.slow
def test_missing_own_prediction_is_not_replaced_by_another_law(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_text(STUDY.replace("chinchilla, kaplan, overtraining", "kaplan, power:C"), tmp_path, data_directory)
    run_recorded(plan, tmp_path, RecordingTrainer())
    next((tmp_path / "results/predictions").glob("*kaplan*")).unlink()
    result, logged = run_recorded(plan, tmp_path, RecordingTrainer())
    assert result is not None
    assert [each.prediction.law for each in result.scores] == ["power:C"]
    assert result.own_score is None
    assert any("first law kaplan" in line and "is MISSING" in line for line in logged)
    printed = summary_lines(plan, result, [tmp_path / "report.html"])
    assert result.own_point is not None
    assert printed[0].startswith(f"target {format_target(result.own_point)}: measured ")
    assert printed[1] == make_report(result).headline[0]
    assert "first law kaplan" in printed[1]
    assert "is MISSING" in printed[1]
    assert re.match("other laws: the 90 % intervals of [01] of 1 contain the measured loss", printed[2])
    assert printed[-1] == f"report: {tmp_path}/report.html"
    summary = read_study_content(ResultsFolder(tmp_path / "results")).summary
    assert (summary["law"], summary["sealed"]) == ("kaplan", "missing")


@pytest.mark.slow
def test_a_target_with_a_started_seed_replicate_is_never_sealed(tmp_path: Path, data_directory: Path) -> None:
    other = plan_text(STUDY.replace("16M, seed: [0, 1]", "16M, seed: [7]"), tmp_path, data_directory)
    write_record(other.targets[0])
    with pytest.raises(InputError, match=r"-s7-.* has started .* no sealed prediction at"):
        run_recorded(plan_text(STUDY, tmp_path, data_directory), tmp_path, RecordingTrainer())


def seal_one_law(plan: Plan, folder: Path) -> list[SealedPrediction]:
    """Seal one law of a quick fit, without the rest of the pipeline."""
    for run in plan.family:
        write_record(run)
    fits = {"kaplan": fit(load_table(run_set(plan)), get_law("kaplan"), profile=False)}
    outcome = ResultsFolder(folder / "results")
    outcome.create()
    return seal_predictions(plan, prediction_targets(plan), fits, outcome, lambda message: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "deleted", "sign"),
    [
        (0, ("metrics.jsonl", "result"), "its record says running"),
        (7, ("metrics.jsonl", "run.json"), "it has checkpoints"),
        (7, ("checkpoints", "run.json"), "it has metrics.jsonl"),
    ],
)
def test_a_target_with_deleted_files_is_never_sealed(
    tmp_path: Path, data_directory: Path, seed: int, deleted: tuple[str, ...], sign: str
) -> None:
    study = STUDY.replace("chinchilla, kaplan, overtraining", "kaplan")
    other = plan_text(study.replace("16M, seed: [0, 1]", f"16M, seed: {seed}"), tmp_path, data_directory)
    run = other.targets[0]
    write_record(run, "running" if "result" in deleted else "finished")
    if "checkpoints" not in deleted:
        (run.folder / "checkpoints").mkdir()
    for name in deleted:
        (run.folder / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match=rf"{run.run_id} has started \({sign}\), and there is no sealed prediction"):
        seal_one_law(plan_text(study, tmp_path, data_directory), tmp_path)


@pytest.mark.slow
def test_a_target_that_is_only_planned_is_sealed(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_text(STUDY.replace("chinchilla, kaplan, overtraining", "kaplan"), tmp_path, data_directory)
    run = plan.targets[0]
    write_record(run, "planned")
    (run.folder / "metrics.jsonl").unlink()
    assert len(seal_one_law(plan, tmp_path)) == 1


@pytest.mark.slow
def test_missing_run_stops_the_pipeline_before_the_fit(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_text(STUDY, tmp_path, data_directory)
    result, _ = run_recorded(plan, tmp_path, RecordingTrainer(broken=plan.family[3].run_id))
    assert result is None
    assert not list((tmp_path / "results/predictions").iterdir())
    trainer = RecordingTrainer()
    result, _ = run_recorded(plan, tmp_path, trainer)
    assert result is not None
    assert trainer.requests[0] == [plan.family[3].run_id]


@pytest.mark.slow
def test_a_study_may_not_change_once_it_is_sealed(tmp_path: Path, data_directory: Path) -> None:
    run_recorded(plan_text(STUDY, tmp_path, data_directory), tmp_path, RecordingTrainer())
    changed = plan_text(STUDY.replace("chinchilla, kaplan", "kaplan, chinchilla"), tmp_path, data_directory)
    with pytest.raises(InputError, match=r"is not what .* was when its predictions were sealed"):
        run_recorded(changed, tmp_path, RecordingTrainer())


@pytest.mark.slow
def test_changed_digit_in_a_sealed_file_is_detected(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_text(STUDY, tmp_path, data_directory)
    run_recorded(plan, tmp_path, RecordingTrainer())
    path = next((tmp_path / "results/predictions").iterdir())
    loss = read_sealed(path).loss
    path.chmod(0o600)
    path.write_text(path.read_text().replace(str(loss), str(loss * 1.001)))
    with pytest.raises(InputError, match="changed after it was sealed"):
        run_recorded(plan, tmp_path, RecordingTrainer())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "line", "complaint"),
    [
        ("chinchilla, kaplan", "chinchila, kaplan", 10, "chinchila"),
        ("chinchilla, kaplan", "error-loss, kaplan", 10, "predicts error, which run records do not contain"),
        ("chinchilla, kaplan", "power:seconds, kaplan", 10, "not known before a run is trained"),
        ("size: 200k, horizon.tokens: 16M", "size: 3m, horizon.tokens: 60M", 10, "times beyond the data in C"),
        ("[10k, 25k, 50k, 100k], horizon.tokens: [", "100k, horizon.tokens: [3M, ", 10, "every point has N = "),
        ("[10k, 25k, 50k, 100k]", "[50k, 100k]", 10, "chinchilla: 2 values of N, 3 values of D .* whatever the losses"),
        (
            "overtraining]",
            "overtraining]\n  where: D > 3e6 and seed == 0",
            10,
            "chinchilla: 4 points for the 5 parameters",
        ),
        ("overtraining]", "overtraining]\n  where: D >= 3e7", 11, "where: .* leaves no run to fit"),
        ("overtraining]", "overtraining]\n  where: tokens > 3", 11, "where: .*no column tokens; the table has run"),
        ("overtraining]", "overtraining]\n  where: D >", 11, "where: cannot read 'D >'"),
        ("overtraining]", "overtraining]\n  where: loss < 3 and depht > 1", 11, "no column depht"),
        ("overtraining]", "overtraining]\n  holdout: C > 1e30", 11, "holdout: .* holds out no row"),
        ("overtraining]", "overtraining]\n  holdout: tokens > 3", 11, "holdout: .*no column tokens"),
        ("overtraining]", "overtraining]\n  columns: D=tokens", 11, "columns: .*no column tokens"),
        ("overtraining]", "overtraining]\n  columns: loss=perplexity", 11, "columns: .*no column perplexity"),
        ("overtraining]", "overtraining]\n  objective: hubber", 11, "objective: no objective named 'hubber'"),
        ("overtraining]", "overtraining]\n  objective: mse@spread", 11, "objective: .*no column spread"),
    ],
)
def test_infeasible_analysis_is_rejected_before_training(
    tmp_path: Path, data_directory: Path, old: str, new: str, line: int, complaint: str
) -> None:
    plan = plan_text(STUDY.replace(old, new), tmp_path, data_directory)
    trainer = RecordingTrainer()
    with pytest.raises(InputError, match=f"law.yaml:{line}: .*{complaint}"):
        run_recorded(plan, tmp_path, trainer)
    assert trainer.requests == []
