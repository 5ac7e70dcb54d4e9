"""The closed loop on records that a law wrote instead of training: what is sealed when, and what is refused."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.laws import law
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.analysis.tables.table import load_table
from windtunnel.sweeps.cli.study import describe_outcome
from windtunnel.sweeps.pipeline.pipeline import Closed, close_loop, report_of, run_set
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.pipeline.sealing import Sealed, seal_all, targets_of
from windtunnel.sweeps.study.load import parse_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan
from windtunnel.sweeps.tracking.analysis_run import read_analysis
from windtunnel.train.config.run_id import scientific_hash
from windtunnel.train.counts import corpus_summary, counts
from windtunnel.train.data.corpus import Corpus
from windtunnel.train.errors import InputError
from windtunnel.train.records import RunRecord, now

STUDY = """
title: Of a law
fixed: {data: zipf-facts, data.token_budget: 400k, data.evaluation_tokens: 1024, data.sequence_length: 32,
        data.max_epochs: 1000, optimizer.tokens_per_step: 1024, schedule.warmup_tokens: 8192}
family:
  - grid: {size: [10k, 25k, 50k, 100k], horizon.tokens: [1M, 2M, 4M], seed: [0, 1]}
targets:
  - grid: {size: 200k, horizon.tokens: 16M, seed: [0, 1]}
analysis:
  laws: [chinchilla, kaplan, overtraining]
"""
NOISE = 0.002


@pytest.fixture(scope="session")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "data"


def plan_of(text: str, folder: Path, data_directory: Path) -> Plan:
    return make_plan(parse_study(text, folder / "law.yaml"), folder / "runs", data_directory, prepare=True)


def loss_of(run: PlannedRun) -> float:
    size, tokens = run.parameters.total, run.tokens
    noise = NOISE * np.random.default_rng(run.config.seed + size).standard_normal()
    return float((1.2 + 20 / size**0.3 + 60 / tokens**0.35) * math.exp(noise))


def write_record(run: PlannedRun, status: str = "finished") -> None:
    config = run.config
    corpus = Corpus(Path(config.runtime.data_directory) / config.data.folder)
    with RunRecord(run.folder) as record:
        record.update(
            run_id=run.run_id,
            scientific_hash=scientific_hash(config),
            status=status,
            created=now(),
            config=asdict(config),
            lineage={"parent": run.parent, "step": run.parent_step} if run.parent else None,
            counts=counts(config, corpus),
            data=corpus_summary(corpus),
            result={"validation_nats_per_token": loss_of(run), "tokens": run.tokens} if status == "finished" else None,
        )
        record.append([{"kind": "evaluation", "step": config.schedule.total_steps, "tokens": run.tokens}])


class Trainer:
    """Writes the records of what it is asked to train, and remembers."""

    def __init__(self, broken: str | None = None) -> None:
        self.asked: list[list[str]] = []
        self.broken = broken

    def __call__(self, runs: Sequence[PlannedRun]) -> bool:
        self.asked.append([run.run_id for run in runs])
        for run in runs:
            write_record(run, "failed" if run.run_id == self.broken else "finished")
        return self.broken is None or self.broken not in self.asked[-1]


def close(plan: Plan, folder: Path, train: Trainer) -> tuple[Closed | None, list[str]]:
    told: list[str] = []
    return close_loop(plan, OutcomeFolder(folder / "results"), train, told.append), told


def test_targets_are_sealed_before_they_are_trained_and_scored_after(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_of(STUDY, tmp_path, data_directory)
    sealed_when_targets_began: list[str] = []

    class Watching(Trainer):
        def __call__(self, runs: Sequence[PlannedRun]) -> bool:
            if runs[0].role == "target":
                sealed_when_targets_began.extend(path.name for path in (tmp_path / "results/predictions").iterdir())
            return super().__call__(runs)

    train = Watching()
    closed, told = close(plan, tmp_path, train)
    assert closed is not None
    assert closed.headline is not None
    assert [len(asked) for asked in train.asked] == [24, 2]
    assert sorted(sealed_when_targets_began) == sorted(each.path.name for each in closed.sealed)
    assert [each.prediction.law for each in closed.scores] == ["chinchilla", "kaplan", "overtraining"]
    assert abs(closed.headline.mean.error_percent) < 2.0
    assert closed.headline.mean.inside_90
    assert len(closed.headline.runs) == 2
    assert {"C", "M"} == set(closed.scores[2].prediction.at)
    for name in ("scores.json", "ranking.json", "audit.json"):
        json.loads((tmp_path / "results" / name).read_text())
    assert (tmp_path / "results/table.csv").read_text().count("\n") == 27
    assert any("inside the 90 % interval" in line for line in told)


def test_repeating_trains_and_seals_nothing_again(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_of(STUDY, tmp_path, data_directory)
    first, _ = close(plan, tmp_path, Trainer())
    before = {path: path.read_bytes() for path in (tmp_path / "results/predictions").iterdir()}
    train = Trainer()
    second, _ = close(plan, tmp_path, train)
    assert train.asked == []
    assert {path: path.read_bytes() for path in (tmp_path / "results/predictions").iterdir()} == before
    assert first is not None
    assert second is not None
    assert [each.document() for each in second.scores] == [each.document() for each in first.scores]


def test_targets_do_not_enter_the_fit(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_of(STUDY, tmp_path, data_directory)
    close(plan, tmp_path, Trainer())
    again, _ = close(plan, tmp_path, Trainer())
    assert again is not None
    assert len(again.table) == 24
    held_out = ["a target of the study, held out"] * 2
    assert [each.reason for each in again.table.excluded] == held_out
    # Nor where somebody fits the table that is left behind.
    written = load_table(tmp_path / "results")
    assert [each.reason for each in written.excluded] == held_out
    assert sorted(written.columns["loss"]) == sorted(again.table.columns["loss"])


def test_a_target_with_results_is_never_sealed(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_of(STUDY, tmp_path, data_directory)
    write_record(plan.of("target")[1])
    with pytest.raises(InputError, match=r"has begun .* no sealed prediction at"):
        close(plan, tmp_path, Trainer())


def test_a_law_that_was_not_sealed_in_time_is_left_out_of_what_was(tmp_path: Path, data_directory: Path) -> None:
    """As is one whose fit could not be sealed: the loop goes on with the others, and never seals it afterwards."""
    plan = plan_of(STUDY, tmp_path, data_directory)
    close(plan, tmp_path, Trainer())
    next((tmp_path / "results/predictions").glob("*kaplan*")).unlink()
    closed, told = close(plan, tmp_path, Trainer())
    assert closed is not None
    assert [each.prediction.law for each in closed.scores] == ["chinchilla", "overtraining"]
    assert any("not sealed: kaplan" in line and "has begun" in line for line in told)
    assert not list((tmp_path / "results/predictions").glob("*kaplan*"))


def test_no_other_law_stands_for_the_first_where_its_seal_is_gone(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_of(STUDY.replace("chinchilla, kaplan, overtraining", "kaplan, power:C"), tmp_path, data_directory)
    close(plan, tmp_path, Trainer())
    next((tmp_path / "results/predictions").glob("*kaplan*")).unlink()
    closed, told = close(plan, tmp_path, Trainer())
    assert closed is not None
    assert [each.prediction.law for each in closed.scores] == ["power:C"]
    assert closed.headline is None
    assert any("first law kaplan" in line and "is MISSING" in line for line in told)
    printed = describe_outcome(plan, closed)
    assert printed[0] == report_of(closed).document()["headline"][0]
    assert "first law kaplan" in printed[0]
    assert "is MISSING" in printed[0]
    assert printed[1].startswith("power:C at ")
    summary = read_analysis(OutcomeFolder(tmp_path / "results")).summary
    assert (summary["law"], summary["sealed"]) == ("kaplan", "missing")


def test_nor_one_of_which_another_seed_has(tmp_path: Path, data_directory: Path) -> None:
    other = plan_of(STUDY.replace("16M, seed: [0, 1]", "16M, seed: [7]"), tmp_path, data_directory)
    write_record(other.of("target")[0])
    with pytest.raises(InputError, match=r"-s7-.* has begun .* no sealed prediction at"):
        close(plan_of(STUDY, tmp_path, data_directory), tmp_path, Trainer())


def seal_one_law(plan: Plan, folder: Path) -> list[Sealed]:
    """One law of a quick fit, without all that the loop does besides."""
    for run in plan.of("family"):
        write_record(run)
    fits = {"kaplan": fit(load_table(run_set(plan)), law("kaplan"), profile=False)}
    outcome = OutcomeFolder(folder / "results")
    outcome.make()
    return seal_all(plan, targets_of(plan), fits, outcome, lambda message: None)


@pytest.mark.parametrize(
    ("seed", "deleted", "sign"),
    [
        (0, ("metrics.jsonl", "result"), "its record says running"),
        (7, ("metrics.jsonl", "run.json"), "it has checkpoints"),
        (7, ("checkpoints", "run.json"), "it has metrics.jsonl"),
    ],
)
def test_nor_one_of_which_traces_were_deleted(
    tmp_path: Path, data_directory: Path, seed: int, deleted: tuple[str, ...], sign: str
) -> None:
    study = STUDY.replace("chinchilla, kaplan, overtraining", "kaplan")
    other = plan_of(study.replace("16M, seed: [0, 1]", f"16M, seed: {seed}"), tmp_path, data_directory)
    run = other.of("target")[0]
    write_record(run, "running" if "result" in deleted else "finished")
    if "checkpoints" not in deleted:
        (run.folder / "checkpoints").mkdir()
    for name in deleted:
        (run.folder / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match=rf"{run.run_id} has begun \({sign}\), and there is no sealed prediction"):
        seal_one_law(plan_of(study, tmp_path, data_directory), tmp_path)


def test_a_target_that_is_only_planned_is_sealed(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_of(STUDY.replace("chinchilla, kaplan, overtraining", "kaplan"), tmp_path, data_directory)
    run = plan.of("target")[0]
    write_record(run, "planned")
    (run.folder / "metrics.jsonl").unlink()
    assert len(seal_one_law(plan, tmp_path)) == 1


def test_a_run_that_is_missing_stops_the_loop_before_the_fit(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_of(STUDY, tmp_path, data_directory)
    closed, _ = close(plan, tmp_path, Trainer(broken=plan.of("family")[3].run_id))
    assert closed is None
    assert not list((tmp_path / "results/predictions").iterdir())
    train = Trainer()
    closed, _ = close(plan, tmp_path, train)
    assert closed is not None
    assert train.asked[0] == [plan.of("family")[3].run_id]


def test_a_study_may_not_change_once_it_is_sealed(tmp_path: Path, data_directory: Path) -> None:
    close(plan_of(STUDY, tmp_path, data_directory), tmp_path, Trainer())
    changed = plan_of(STUDY.replace("chinchilla, kaplan", "kaplan, chinchilla"), tmp_path, data_directory)
    with pytest.raises(InputError, match=r"is not what .* was when its predictions were sealed"):
        close(changed, tmp_path, Trainer())


def test_a_changed_digit_in_a_sealed_file_is_found(tmp_path: Path, data_directory: Path) -> None:
    plan = plan_of(STUDY, tmp_path, data_directory)
    close(plan, tmp_path, Trainer())
    path = next((tmp_path / "results/predictions").iterdir())
    loss = read_sealed(path).loss
    path.chmod(0o600)
    path.write_text(path.read_text().replace(str(loss), str(loss * 1.001)))
    with pytest.raises(InputError, match="changed after it was sealed"):
        close(plan, tmp_path, Trainer())


@pytest.mark.parametrize(
    ("old", "new", "line", "complaint"),
    [
        ("chinchilla, kaplan", "chinchila, kaplan", 10, "chinchila"),
        ("chinchilla, kaplan", "error-loss, kaplan", 10, "predicts error, which runs do not record"),
        ("chinchilla, kaplan", "power:seconds, kaplan", 10, "not known of a run before it is trained"),
        ("size: 200k, horizon.tokens: 16M", "size: 3m, horizon.tokens: 60M", 10, "times beyond the data in C"),
        ("[10k, 25k, 50k, 100k], horizon.tokens: [", "100k, horizon.tokens: [3M, ", 10, "every point has N = "),
        ("[10k, 25k, 50k, 100k]", "[50k, 100k]", 10, "chinchilla: 2 values of N, 3 values of D: whatever the losses"),
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
        ("overtraining]", "overtraining]\n  hold: C > 1e30", 11, "hold: .* holds out no row"),
        ("overtraining]", "overtraining]\n  hold: tokens > 3", 11, "hold: .*no column tokens"),
        ("overtraining]", "overtraining]\n  columns: D=tokens", 11, "columns: .*no column tokens"),
        ("overtraining]", "overtraining]\n  columns: loss=perplexity", 11, "columns: .*no column perplexity"),
        ("overtraining]", "overtraining]\n  objective: hubber", 11, "objective: no objective named 'hubber'"),
        ("overtraining]", "overtraining]\n  objective: mse@spread", 11, "objective: .*no column spread"),
    ],
)
def test_what_cannot_be_predicted_is_refused_before_training(
    tmp_path: Path, data_directory: Path, old: str, new: str, line: int, complaint: str
) -> None:
    plan = plan_of(STUDY.replace(old, new), tmp_path, data_directory)
    train = Trainer()
    with pytest.raises(InputError, match=f"law.yaml:{line}: .*{complaint}"):
        close(plan, tmp_path, train)
    assert train.asked == []
