"""The closed loop over whole curves, trained for real: what is sealed when, what is refused, what the scores are."""

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
from windtunnel.sweeps.cli.study import describe_outcome, draw_reports
from windtunnel.sweeps.execution.job import job_of, train_job
from windtunnel.sweeps.pipeline import curve_pipeline as curve_loop
from windtunnel.sweeps.pipeline.curve_pipeline import curve_report_of
from windtunnel.sweeps.pipeline.pipeline import Closed, close_loop
from windtunnel.sweeps.pipeline.results_folder import OutcomeFolder
from windtunnel.sweeps.study.load import parse_study
from windtunnel.sweeps.study.plan import Plan, PlannedRun, make_plan
from windtunnel.sweeps.tracking.analysis_run import read_analysis
from windtunnel.train.errors import InputError

# Cases share what one of them trained: one worker takes them all.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("curve loop")]

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
    """Trains what it is asked, here, and remembers what was sealed at each step."""

    def __init__(self, plan: Plan, folder: OutcomeFolder) -> None:
        self.plan, self.folder = plan, folder
        self.asked: list[int] = []
        self.sealed_before: list[int] = []

    def __call__(self, runs: Sequence[PlannedRun]) -> bool:
        self.asked.append(len(runs))
        self.sealed_before.append(len(list(self.folder.curve_predictions.glob("*.json"))))
        for run in runs:
            config = job_of(self.plan, run).config
            quick = replace(config, runtime=replace(config.runtime, device="cpu", compile="off"))
            train_job(replace(job_of(self.plan, run), config=quick))
        return True


@pytest.fixture(scope="module", autouse=True)
def few_replicates() -> Iterator[None]:
    """What intervals are worth is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve_loop, "REPLICATES", 8)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "data"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[Closed, Plan, Trainer]:
    """The study carried out once, in `runs` and `results` of a folder."""
    base = tmp_path_factory.mktemp("curves")
    plan, folder = plan_of(yaml.safe_dump(STUDY), base, data), OutcomeFolder(base / "results")
    train = Trainer(plan, folder)
    found = close_loop(plan, folder, train, lambda message: None)
    assert found is not None
    return found, plan, train


@pytest.fixture
def copied(closed: tuple[Closed, Plan, Trainer], tmp_path: Path, data: Path) -> tuple[Plan, OutcomeFolder]:
    """The study and all it left, to be spoilt."""
    base = closed[2].folder.path.parent
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    return plan_of(yaml.safe_dump(STUDY), tmp_path, data), OutcomeFolder(tmp_path / "results")


def test_predictions_are_sealed_before_targets_begin(closed: tuple[Closed, Plan, Trainer]) -> None:
    found, plan, train = closed
    assert train.asked == [2, 3]
    assert train.sealed_before == [0, len(LAWS)]
    assert found.curves is not None
    assert [each.asked for each in found.curves.laws] == [each.asked for each in found.curves.sealed] == LAWS
    runs = {run for target in found.curves.sealed[0].targets for run in target.runs}
    assert runs == {run.run_id for run in plan.of("target")} == set(found.curves.trained)
    assert [len(target.runs) for target in found.curves.sealed[0].targets] == [1, 2]  # seeds together
    assert set(train.folder.path.iterdir()) >= {train.folder.document("curve-scores"), train.folder.curve_predictions}


def test_scores_are_those_of_the_sealed_file_and_the_metrics(closed: tuple[Closed, Plan, Trainer]) -> None:
    _, plan, train = closed
    document = json.loads(train.folder.document("curve-scores").read_text())
    measured = {}
    for run in plan.runs:
        rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        rows = [row for row in rows if row["kind"] == "evaluation"]
        measured[run.run_id] = {row["step"]: row["validation_nats_per_token"] for row in rows}
    twins = [run for run in plan.of("target") if run.config.schedule.shape == "wsd"]
    last = [math.log(measured[run.run_id][72]) for run in twins]
    noise = abs(last[0] - last[1]) / math.sqrt(2)  # one pair of seeds, one degree of freedom
    assert document["noise_between_seeds"] == pytest.approx(noise)
    means = {}
    for law in document["laws"]:
        (path,) = train.folder.curve_predictions.glob(f"curves-{law['asked']}-*.json")
        sealed = json.loads(path.read_text())
        assert sealed["sealed"] == law["sealed"]
        finals, every = [], []
        for target in sealed["targets"]:
            said = dict(zip(target["step"], target["loss"], strict=True))
            assert min(said) >= target["schedule"]["warmup_steps"]
            ends = []
            for run in target["runs"]:
                errors = [said[step] / loss - 1 for step, loss in measured[run].items() if step in said]
                (score,) = (each for each in law["curves"] if each["run"] == run)
                assert len(errors) == score["points"] == len(said)
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


def test_repeating_changes_no_byte(copied: tuple[Plan, OutcomeFolder]) -> None:
    plan, folder = copied
    before = {path: path.read_bytes() for path in folder.path.rglob("curve*/*") if path.is_file()}
    before[folder.document("curve-scores")] = folder.document("curve-scores").read_bytes()
    assert len(before) == 2 * len(LAWS) + 1
    train = Trainer(plan, folder)
    assert close_loop(plan, folder, train, lambda message: None) is not None
    assert train.asked == []
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(folder.curve_predictions.iterdir())) == len(LAWS)


def test_a_target_that_had_begun_before_is_refused(copied: tuple[Plan, OutcomeFolder]) -> None:
    plan, folder = copied
    shutil.rmtree(folder.path)
    for run in plan.of("target")[1:]:
        shutil.rmtree(run.folder)
    with pytest.raises(InputError, match=r"has begun .* there is no sealed prediction"):
        close_loop(plan, folder, Trainer(plan, folder), lambda message: None)
    assert not list(folder.curve_predictions.glob("*"))


def test_sealing_that_was_interrupted_goes_on_while_no_target_has_begun(copied: tuple[Plan, OutcomeFolder]) -> None:
    """And not once one has: what is missing then stays missing."""
    plan, folder = copied
    for run in plan.of("target"):
        shutil.rmtree(run.folder)
    sorted(folder.curve_predictions.iterdir())[0].unlink()
    train = Trainer(plan, folder)
    assert close_loop(plan, folder, train, lambda message: None) is not None
    assert train.sealed_before == [len(LAWS)]
    sorted(folder.curve_predictions.iterdir())[0].unlink()
    told: list[str] = []
    assert close_loop(plan, folder, Trainer(plan, folder), told.append) is not None
    assert any(line.startswith("not sealed: ") and "has begun" in line for line in told)
    assert len(list(folder.curve_predictions.iterdir())) == len(LAWS) - 1


def test_another_seed_of_a_target_is_hindsight_too(copied: tuple[Plan, OutcomeFolder], data: Path) -> None:
    """A run of the same schedule that no study named before."""
    plan, folder = copied
    shutil.rmtree(folder.path)
    for run in plan.of("target"):
        if run.config.seed == 0:
            shutil.rmtree(run.folder)
    targets = [{"grid": {**block["grid"], "seed": [0]}} for block in STUDY["targets"]]
    other = plan_of(yaml.safe_dump({**STUDY, "targets": targets}), folder.path.parent, data)
    with pytest.raises(InputError, match=r"-s1-.* has begun .* there is no sealed prediction"):
        close_loop(other, folder, Trainer(other, folder), lambda message: None)


@pytest.mark.parametrize("edit", ["loss", "name"])
def test_a_sealed_file_that_was_edited_is_refused(copied: tuple[Plan, OutcomeFolder], edit: str) -> None:
    plan, folder = copied
    path = sorted(folder.curve_predictions.iterdir())[0]
    loss = read_sealed_curves(path).targets[0].loss[-1]
    if edit == "name":
        path.rename(path.with_name(f"curves-instantaneous-{'0' * 16}.json"))
    else:
        path.chmod(0o600)
        path.write_text(path.read_text().replace(str(loss), str(loss * 1.001)))
    with pytest.raises(InputError, match="changed after it was sealed" if edit == "loss" else "not the one it was"):
        close_loop(plan, folder, Trainer(plan, folder), lambda message: None)


def test_a_family_that_changed_after_the_seal_is_refused(copied: tuple[Plan, OutcomeFolder]) -> None:
    plan, folder = copied
    metrics = plan.of("family")[0].folder / "metrics.jsonl"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    for row in rows:
        if row["kind"] == "evaluation":
            row["validation_nats_per_token"] *= 1.01
    metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(InputError, match="sealed from other curves than the family's now"):
        close_loop(plan, folder, Trainer(plan, folder), lambda message: None)


def test_its_scores_are_tables_for_w_and_b(closed: tuple[Closed, Plan, Trainer]) -> None:
    folder = closed[2].folder
    found = read_analysis(folder)
    content = json.loads(folder.document("curve-scores").read_text())
    own = content["laws"][0]
    tables = {
        name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for name, table in found.tables.items()
    }
    assert [row["asked"] for row in tables["curve_laws"]] == LAWS
    means = own["seed_means"]
    assert tables["curve_laws"][0]["seed_means_worst"] == means["worst"]
    assert len(tables["curve_scores"]) == 3 * len(LAWS)
    assert [row["worst"] for row in tables["curve_scores"][:3]] == [each["worst"] for each in own["curves"]]
    assert len(tables["curve_predictions"]) == 2 * len(LAWS)
    for row, target in zip(tables["curve_predictions"], read_sealed_curves(sealed_path(folder)).targets, strict=False):
        assert (row["final_loss"], row["low_90"]) == (target.loss[-1], (target.interval_90 or (None,))[0])
    assert {row["asked"] for row in tables["curve_fits"]} == set(LAWS)
    assert found.summary["curves/law"] == own["law"]
    assert found.summary["curves/noise_alone/seed_means_worst"] == content["noise_alone"]["seed_means_worst"]
    assert found.summary["curves/mean_abs_relative_error"] == own["mean_abs_relative_error"]


def sealed_path(folder: OutcomeFolder) -> Path:
    """Of the first law."""
    (path,) = folder.curve_predictions.glob(f"curves-{LAWS[0]}-*.json")
    return path


def test_a_study_of_curves_has_a_report(closed: tuple[Closed, Plan, Trainer], tmp_path: Path) -> None:
    found, plan, _ = closed
    folder = OutcomeFolder(tmp_path / "results")
    assert draw_reports(plan, found, folder, lambda message: None) == [f"report: {folder.report_page}"]
    first = describe_outcome(plan, found)[0]
    assert first in folder.report_page.read_text()
    assert "instantaneous said 3 curves of 2 schedules and 1 size before they were trained" in first
    assert [each.name for each in curve_report_of(plan, found.curves).schedules] == [
        "WSD, 1-sqrt 19 %, 9.22k tokens",
        "cosine, 12.3k tokens",
    ]
    assert {path.name for path in (folder.report / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("curves", "curve-errors") for kind in ("svg", "png")
    }


def test_beside_a_report_of_final_losses_it_is_a_page_of_its_own(
    closed: tuple[Closed, Plan, Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, plan, _ = closed
    folder = OutcomeFolder(tmp_path / "results")
    monkeypatch.setattr("windtunnel.sweeps.pipeline.pipeline.report_of", lambda closed: closed)
    monkeypatch.setattr(
        "windtunnel.analysis.report.report.write_report", lambda report, place: (place / "report.html").touch()
    )
    both = replace(found, fits={"chinchilla": None})
    told = draw_reports(plan, both, folder, lambda message: None)
    assert told == [f"curves: {folder.curves_page}", f"report: {folder.report_page}"]
    assert folder.curves_page.name == "curves.html"
    assert "Curves of curves" in folder.curves_page.read_text()
    # `windtunnel.sweeps.pipeline.stage` looks for the page that is written last.
    assert folder.report_page.stat().st_mtime_ns >= folder.curves_page.stat().st_mtime_ns


@pytest.mark.parametrize(
    ("analysis", "line", "complaint"),
    [
        ("analysis: {}", 8, "names laws, of final losses .* or of whole curves"),
        ("analysis:\n  curves:\n    laws: [anealing]", 10, "no curve law named 'anealing'"),
        ("analysis:\n  curves:\n    laws: [annealing]", 10, "the family has 2 sizes: annealing is of one"),
        ("analysis:\n  curves:\n    laws: [auto]\n    objective: lad", 11, "curves are fitted with log-huber:DELTA"),
        ("analysis:\n  curves:\n    laws: [auto]\n    objective: foo", 11, "no objective named 'foo'"),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_its_line(
    tmp_path: Path, data: Path, analysis: str, line: int, complaint: str
) -> None:
    text = f"""title: refused
fixed: {json.dumps({**FIXED, "horizon.steps": 72})}
family:
  - rows: [{{size.width: 16}}, {{size.width: 24}}]
    grid: {{schedule: [constant, cosine]}}
targets:
  - grid: {{schedule: wsd}}
{analysis}
"""
    with pytest.raises(InputError, match=f"curves.yaml:{line}: .*{complaint}"):
        close_loop(plan_of(text, tmp_path, data), OutcomeFolder(tmp_path / "out"), pytest.fail, lambda message: None)


@pytest.mark.parametrize(
    ("law", "target", "complaint"),
    [
        ("instantaneous", {"size.width": 24}, "the family has one size, and a target another"),
        ("auto", {"size.width": 24}, "the family has one size, and a target another"),
        ("annealing:N", {}, "annealing:N needs two or more: write annealing"),
    ],
)
def test_sizes_that_the_family_cannot_tell_of_are_refused_before_it_is_trained(
    tmp_path: Path, data: Path, law: str, target: dict[str, int], complaint: str
) -> None:
    targets = [{"grid": {"schedule": "wsd", **target}}]
    text = yaml.safe_dump({**STUDY, "targets": targets, "analysis": {"curves": {"laws": [law]}}})
    with pytest.raises(InputError, match=complaint):
        close_loop(plan_of(text, tmp_path, data), OutcomeFolder(tmp_path / "out"), pytest.fail, lambda message: None)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"optimizer.rate": 0.1}, "a target has the peak rate 0.1, and the family 0.006"),
        ({"optimizer.tokens_per_step": 256}, r"a target's updates take 256 tokens, and the family's \d+"),
    ],
)
def test_a_target_that_no_law_of_the_family_speaks_of_is_refused_before_it_is_trained(
    tmp_path: Path, data: Path, settings: dict[str, float], complaint: str
) -> None:
    text = yaml.safe_dump({**STUDY, "targets": [{"grid": {"schedule": "wsd", **settings}}]})
    with pytest.raises(InputError, match=complaint):
        close_loop(plan_of(text, tmp_path, data), OutcomeFolder(tmp_path / "out"), pytest.fail, lambda message: None)


def test_runs_of_too_few_losses_are_refused_before_they_are_trained(tmp_path: Path, data: Path) -> None:
    sparse = {**STUDY, "fixed": {**FIXED, "horizon.steps": 72, "data.evaluation_tokens": 1024}}
    plan = plan_of(yaml.safe_dump(sparse), tmp_path, data)
    with pytest.raises(InputError, match=r"of the 4 validation losses .* lower logging.evaluation_interval_tokens"):
        close_loop(plan, OutcomeFolder(tmp_path / "out"), pytest.fail, lambda message: None)
