"""The pipeline for whole curves, with real training: what is sealed when, what is rejected, and the scores."""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.tiny_study import FIXED
from windtunnel.analysis.curves.seal import read_sealed_curves
from windtunnel.sweeps.execution.job import make_job, train_job
from windtunnel.sweeps.pipeline import curve_pipeline, reports
from windtunnel.sweeps.pipeline.curve_pipeline import make_curve_report
from windtunnel.sweeps.pipeline.pipeline import PipelineResult, run_pipeline
from windtunnel.sweeps.pipeline.reports import write_reports
from windtunnel.sweeps.pipeline.results_folder import ResultsFolder
from windtunnel.sweeps.pipeline.summary import summary_lines
from windtunnel.sweeps.study.load import parse_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan
from windtunnel.sweeps.tracking.analysis_run import read_study_content
from windtunnel.train.errors import InputError

# Cases share what one of them trained: one worker takes them all.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("curve pipeline")]

LAWS = ["instantaneous", "last-window"]
STUDY = {
    "title": "curves for tests",
    "fixed": {**FIXED, "horizon.steps": 72, "logging.evaluation_interval_tokens": 512},
    "family": [{"grid": {"schedule": ["constant", "cosine"], "seed": [0]}}],
    "targets": [
        {"grid": {"schedule": "wsd", "seed": [0, 1]}},
        {"grid": {"schedule": "cosine", "horizon.steps": 96, "seed": [0]}},
    ],
    "analysis": {"curves": {"laws": LAWS}},
}


def plan_of(text: str, folder: Path, data: Path) -> Plan:
    return make_plan(parse_study(text, folder / "curves.yaml"), folder / "runs", data, prepare=True)


class Trainer:
    """Trains runs in this process, and remembers how many predictions were sealed before each step."""

    def __init__(self, plan: Plan, folder: ResultsFolder) -> None:
        self.plan, self.folder = plan, folder
        self.requests: list[int] = []
        self.sealed_before: list[int] = []

    def __call__(self, runs: Sequence[PlannedRun]) -> bool:
        self.requests.append(len(runs))
        self.sealed_before.append(len(list(self.folder.curve_predictions.glob("*.json"))))
        for run in runs:
            config = make_job(self.plan, run).config
            quick = replace(config, runtime=replace(config.runtime, device="cpu", compile="off"))
            train_job(replace(make_job(self.plan, run), config=quick))
        return True


@pytest.fixture(scope="module", autouse=True)
def few_replicates() -> Iterator[None]:
    """The quality of intervals is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve_pipeline, "REPLICATES", 8)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "data"


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[PipelineResult, Plan, Trainer]:
    """The study, run once in `runs` and `results` of a folder."""
    base = tmp_path_factory.mktemp("curves")
    plan, folder = plan_of(yaml.safe_dump(STUDY), base, data), ResultsFolder(base / "results")
    train = Trainer(plan, folder)
    result = run_pipeline(plan, folder, train, lambda message: None)
    assert result is not None
    return result, plan, train


@pytest.fixture
def copied(completed: tuple[PipelineResult, Plan, Trainer], tmp_path: Path, data: Path) -> tuple[Plan, ResultsFolder]:
    """A copy of the study with its runs and results, to be changed."""
    base = completed[2].folder.path.parent
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    return plan_of(yaml.safe_dump(STUDY), tmp_path, data), ResultsFolder(tmp_path / "results")


def test_predictions_are_sealed_before_targets_begin(completed: tuple[PipelineResult, Plan, Trainer]) -> None:
    result, plan, train = completed
    assert train.requests == [2, 3]
    assert train.sealed_before == [0, len(LAWS)]
    assert result.curves is not None
    assert (
        [each.requested for each in result.curves.scores] == [each.requested for each in result.curves.sealed] == LAWS
    )
    runs = {run for target in result.curves.sealed[0].targets for run in target.runs}
    assert runs == {run.run_id for run in plan.targets} == set(result.curves.trained)
    assert [len(target.runs) for target in result.curves.sealed[0].targets] == [1, 2]  # seeds together
    assert set(train.folder.path.iterdir()) >= {train.folder.document("curve-scores"), train.folder.curve_predictions}


def test_scores_are_those_of_the_sealed_file_and_the_metrics(completed: tuple[PipelineResult, Plan, Trainer]) -> None:
    _, plan, train = completed
    document = json.loads(train.folder.document("curve-scores").read_text())
    measured = {}
    for run in plan.runs:
        rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        rows = [row for row in rows if row["kind"] == "evaluation"]
        measured[run.run_id] = {row["step"]: row["validation_nats_per_token"] for row in rows}
    replicates = [run for run in plan.targets if run.config.schedule.shape == "wsd"]
    last = [math.log(measured[run.run_id][72]) for run in replicates]
    noise = abs(last[0] - last[1]) / math.sqrt(2)  # one pair of seeds, one degree of freedom
    assert document["noise_between_seeds"] == pytest.approx(noise)
    means = {}
    for law in document["laws"]:
        (path,) = train.folder.curve_predictions.glob(f"curves-{law['asked']}-*.json")
        sealed = json.loads(path.read_text())
        assert sealed["sealed"] == law["sealed"]
        finals, every = [], []
        for target in sealed["targets"]:
            predicted = dict(zip(target["step"], target["loss"], strict=True))
            assert min(predicted) >= target["schedule"]["warmup_steps"]
            ends = []
            for run in target["runs"]:
                errors = [predicted[step] / loss - 1 for step, loss in measured[run].items() if step in predicted]
                (score,) = (each for each in law["curves"] if each["run"] == run)
                assert len(errors) == score["points"] == len(predicted)
                assert score["mean_abs_relative_error"] == pytest.approx(np.mean(np.abs(errors)))
                assert score["worst"] == pytest.approx(np.max(np.abs(errors)))
                assert score["final"] == pytest.approx(errors[-1])
                low, high = target["interval_90"]
                assert score["inside_90"] == (low <= measured[run][target["step"][-1]] <= high)
                every.append(score["mean_abs_relative_error"])
                ends.append(errors[-1])
            finals.append(np.mean(ends))
        means[law["asked"]] = law["mean_abs_relative_error"]
        assert law["mean_abs_relative_error"] == pytest.approx(np.mean(every))
        assert law["final"] == pytest.approx(np.sqrt(np.mean(np.square(finals))))
        assert law["final_in_noise"] == pytest.approx(law["final"] / noise)
    (against,) = document["laws"][0]["against"]
    assert against["baseline"] == "last-window"
    assert against["difference"] == pytest.approx(means["instantaneous"] - means["last-window"])


def test_repeating_changes_no_byte(copied: tuple[Plan, ResultsFolder]) -> None:
    plan, folder = copied
    before = {path: path.read_bytes() for path in folder.path.rglob("curve*/*") if path.is_file()}
    before[folder.document("curve-scores")] = folder.document("curve-scores").read_bytes()
    assert len(before) == 2 * len(LAWS) + 1
    train = Trainer(plan, folder)
    assert run_pipeline(plan, folder, train, lambda message: None) is not None
    assert train.requests == []
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(folder.curve_predictions.iterdir())) == len(LAWS)


def test_target_that_started_before_the_seal_is_rejected(copied: tuple[Plan, ResultsFolder]) -> None:
    plan, folder = copied
    shutil.rmtree(folder.path)
    for run in plan.targets[1:]:
        shutil.rmtree(run.folder)
    with pytest.raises(InputError, match=r"has started .* there is no sealed prediction"):
        run_pipeline(plan, folder, Trainer(plan, folder), lambda message: None)
    assert not list(folder.curve_predictions.glob("*"))


def test_interrupted_sealing_continues_while_no_target_has_started(copied: tuple[Plan, ResultsFolder]) -> None:
    """Once a target has started, missing seals stay missing."""
    plan, folder = copied
    for run in plan.targets:
        shutil.rmtree(run.folder)
    sorted(folder.curve_predictions.iterdir())[0].unlink()
    train = Trainer(plan, folder)
    assert run_pipeline(plan, folder, train, lambda message: None) is not None
    assert train.sealed_before == [len(LAWS)]
    sorted(folder.curve_predictions.iterdir())[0].unlink()
    logged: list[str] = []
    assert run_pipeline(plan, folder, Trainer(plan, folder), logged.append) is not None
    assert any(line.startswith("not sealed: ") and "has started" in line for line in logged)
    assert len(list(folder.curve_predictions.iterdir())) == len(LAWS) - 1


def test_started_seed_replicate_of_a_target_is_rejected(copied: tuple[Plan, ResultsFolder], data: Path) -> None:
    """A run of the same schedule that belongs to no study."""
    plan, folder = copied
    shutil.rmtree(folder.path)
    for run in plan.targets:
        if run.config.seed == 0:
            shutil.rmtree(run.folder)
    targets = [{"grid": {**block["grid"], "seed": [0]}} for block in STUDY["targets"]]
    other = plan_of(yaml.safe_dump({**STUDY, "targets": targets}), folder.path.parent, data)
    with pytest.raises(InputError, match=r"-s1-.* has started .* there is no sealed prediction"):
        run_pipeline(other, folder, Trainer(other, folder), lambda message: None)


@pytest.mark.parametrize("edit", ["loss", "name"])
def test_edited_sealed_file_is_rejected(copied: tuple[Plan, ResultsFolder], edit: str) -> None:
    plan, folder = copied
    path = sorted(folder.curve_predictions.iterdir())[0]
    loss = read_sealed_curves(path).targets[0].loss[-1]
    if edit == "name":
        path.rename(path.with_name(f"curves-instantaneous-{'0' * 16}.json"))
    else:
        path.chmod(0o600)
        path.write_text(path.read_text().replace(str(loss), str(loss * 1.001)))
    with pytest.raises(
        InputError, match="changed after it was sealed" if edit == "loss" else "its name lacks the seal"
    ):
        run_pipeline(plan, folder, Trainer(plan, folder), lambda message: None)


def test_family_changed_after_the_seal_is_rejected(copied: tuple[Plan, ResultsFolder]) -> None:
    plan, folder = copied
    metrics = plan.family[0].folder / "metrics.jsonl"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    for row in rows:
        if row["kind"] == "evaluation":
            row["validation_nats_per_token"] *= 1.01
    metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(InputError, match="sealed from other curves than the family's present"):
        run_pipeline(plan, folder, Trainer(plan, folder), lambda message: None)


def test_scores_become_wandb_tables(completed: tuple[PipelineResult, Plan, Trainer]) -> None:
    folder = completed[2].folder
    study_content = read_study_content(folder)
    content = json.loads(folder.document("curve-scores").read_text())
    own = content["laws"][0]
    tables = {
        name: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        for name, table in study_content.tables.items()
    }
    assert [row["requested_law"] for row in tables["curve_laws"]] == LAWS
    means = own["seed_means"]
    assert tables["curve_laws"][0]["seed_means_worst"] == means["worst"]
    assert len(tables["curve_scores"]) == 3 * len(LAWS)
    assert [row["worst"] for row in tables["curve_scores"][:3]] == [each["worst"] for each in own["curves"]]
    assert len(tables["curve_predictions"]) == 2 * len(LAWS)
    for row, target in zip(tables["curve_predictions"], read_sealed_curves(sealed_path(folder)).targets, strict=False):
        assert (row["final_loss"], row["low_90"]) == (target.loss[-1], (target.interval_90 or (None,))[0])
    assert {row["requested_law"] for row in tables["curve_fits"]} == set(LAWS)
    assert study_content.summary["curves/law"] == own["law"]
    assert study_content.summary["curves/noise_alone/seed_means_worst"] == content["noise_alone"]["seed_means_worst"]
    assert study_content.summary["curves/mean_abs_relative_error"] == own["mean_abs_relative_error"]


def sealed_path(folder: ResultsFolder) -> Path:
    """Of the first law."""
    (path,) = folder.curve_predictions.glob(f"curves-{LAWS[0]}-*.json")
    return path


def test_curve_study_has_a_report_and_a_summary(
    completed: tuple[PipelineResult, Plan, Trainer], tmp_path: Path
) -> None:
    result, plan, train = completed
    folder = ResultsFolder(tmp_path / "results")
    pages = write_reports(plan, result, folder, lambda message: None)
    assert pages == [folder.report_page]
    content = json.loads(train.folder.document("curve-scores").read_text())
    own, other = content["laws"]
    lines = summary_lines(plan, result, pages)
    assert len(lines) <= 6
    assert lines[0] == "targets: 3 curves under 2 schedules at 1 size, none of them fitted"
    assert lines[1].startswith(
        f"instantaneous: mean error {100 * own['mean_abs_relative_error']:.2g} %, "
        f"worst point {100 * own['worst']:.2g} %"
    )
    assert f"; a perfect law: {100 * content['noise_alone']['mean_abs_relative_error']:.2g} %" in lines[1]
    assert lines[2].startswith(
        f"final losses: root mean square error {100 * own['final']:.2g} %, {own['final_in_noise']:.2g} times the"
    )
    inside = sum(curve["inside_90"] for curve in own["curves"])
    assert lines[2].endswith(f"{inside} of 3 inside their 90 % intervals")
    assert lines[3] == f"mean error of the other laws: last-window {100 * other['mean_abs_relative_error']:.2g} %"
    assert lines[-1] == f"report: {folder.report_page}"
    assert "3 curves under 2 schedules at 1 size" in folder.report_page.read_text()
    assert [each.name for each in make_curve_report(plan, result.curves).schedules] == [
        "WSD, 1-sqrt 19 %, 9.22k tokens",
        "cosine, 12.3k tokens",
    ]
    assert {path.name for path in (folder.report / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("curves", "curve-errors") for kind in ("svg", "png")
    }


def test_curves_have_their_own_page_beside_the_report_on_final_losses(
    completed: tuple[PipelineResult, Plan, Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, plan, _ = completed
    folder = ResultsFolder(tmp_path / "results")
    monkeypatch.setattr(reports, "make_report", lambda result: result)
    monkeypatch.setattr(reports, "write_report", lambda report, place: (place / "report.html").touch())
    both = replace(result, fits={"chinchilla": None})
    assert write_reports(plan, both, folder, lambda message: None) == [folder.report_page, folder.curves_page]
    assert folder.curves_page.name == "curves.html"
    assert "Curves of curves" in folder.curves_page.read_text()
    # `windtunnel.sweeps.pipeline.stage` relies on the page that is written last.
    assert folder.report_page.stat().st_mtime_ns >= folder.curves_page.stat().st_mtime_ns


@pytest.mark.parametrize(
    ("analysis", "line", "complaint"),
    [
        ("analysis: {}", 8, "names laws, of final losses .* or of whole curves"),
        ("analysis:\n  curves:\n    laws: [anealing]", 10, "no curve law named 'anealing'"),
        (
            "analysis:\n  curves:\n    laws: [annealing]",
            10,
            "2 sizes and annealing is a law of one size",
        ),
        ("analysis:\n  curves:\n    laws: [auto]\n    objective: lad", 11, "curves are fitted with log-huber:DELTA"),
        ("analysis:\n  curves:\n    laws: [auto]\n    objective: foo", 11, "no objective named 'foo'"),
    ],
)
def test_infeasible_analysis_names_its_line(
    tmp_path: Path, data: Path, analysis: str, line: int, complaint: str
) -> None:
    text = f"""title: infeasible
fixed: {json.dumps({**FIXED, "horizon.steps": 72})}
family:
  - rows: [{{size.width: 16}}, {{size.width: 24}}]
    grid: {{schedule: [constant, cosine]}}
targets:
  - grid: {{schedule: wsd}}
{analysis}
"""
    with pytest.raises(InputError, match=f"curves.yaml:{line}: .*{complaint}"):
        run_pipeline(plan_of(text, tmp_path, data), ResultsFolder(tmp_path / "out"), pytest.fail, lambda message: None)


@pytest.mark.parametrize(
    ("law", "target", "complaint"),
    [
        ("instantaneous", {"size.width": 24}, "the family has one size and a target has another"),
        ("auto", {"size.width": 24}, "the family has one size and a target has another"),
        ("annealing:N", {}, "annealing:N needs two or more: write annealing"),
    ],
)
def test_unknown_sizes_are_rejected_before_training(
    tmp_path: Path, data: Path, law: str, target: dict[str, int], complaint: str
) -> None:
    targets = [{"grid": {"schedule": "wsd", **target}}]
    text = yaml.safe_dump({**STUDY, "targets": targets, "analysis": {"curves": {"laws": [law]}}})
    with pytest.raises(InputError, match=complaint):
        run_pipeline(plan_of(text, tmp_path, data), ResultsFolder(tmp_path / "out"), pytest.fail, lambda message: None)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"optimizer.rate": 0.1}, "a target has the peak rate 0.1 and the family 0.006"),
        ({"optimizer.tokens_per_step": 256}, r"a target has 256 tokens per step and the family 128"),
    ],
)
def test_target_beyond_the_family_is_rejected_before_training(
    tmp_path: Path, data: Path, settings: dict[str, float], complaint: str
) -> None:
    text = yaml.safe_dump({**STUDY, "targets": [{"grid": {"schedule": "wsd", **settings}}]})
    with pytest.raises(InputError, match=complaint):
        run_pipeline(plan_of(text, tmp_path, data), ResultsFolder(tmp_path / "out"), pytest.fail, lambda message: None)


def test_runs_with_too_few_losses_are_rejected_before_training(tmp_path: Path, data: Path) -> None:
    sparse = {**STUDY, "fixed": {**FIXED, "horizon.steps": 72, "data.evaluation_tokens": 1024}}
    plan = plan_of(yaml.safe_dump(sparse), tmp_path, data)
    with pytest.raises(InputError, match=r"\d validation losses .* needs 4: lower logging.evaluation_interval_tokens"):
        run_pipeline(plan, ResultsFolder(tmp_path / "out"), pytest.fail, lambda message: None)
