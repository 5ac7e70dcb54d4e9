"""The committed results in `sweeps/results`: every seal verifies, and every score that follows from committed files is
computed again, equal to the last digit.

Run records and whole curves are too large to commit. So of the committed scores, these are excluded by name:
`source`, `notes` and the `run` of a score of final losses (the table names no start times and numbers its rows), and of
a score of curves `points`, `mean_abs_relative_error` and `worst` of a run, `seed_means`, `noise_alone` and
`noise_between_seeds`, which need whole curves.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.paths import ROOT
from windtunnel.analysis.curves import score as curve_score
from windtunnel.analysis.curves.curve import LossCurve
from windtunnel.analysis.curves.schedule_sums import LearningRates
from windtunnel.analysis.curves.score import ScoredCurve, pooled_seed_noise, score_laws, score_run
from windtunnel.analysis.curves.seal import PredictedCurve, SealedCurves, read_sealed_curves
from windtunnel.analysis.prediction.score import score
from windtunnel.analysis.prediction.seal import read_sealed

RESULTS = ROOT / "sweeps" / "results"
Json = dict[str, Any]


def read(path: Path) -> Json:
    content: Json = json.loads(path.read_text())
    return content


def studies_with(pattern: str) -> list[str]:
    return sorted({path.relative_to(RESULTS).parts[0] for path in RESULTS.glob(f"*/{pattern}")})


SCORED = [study for study in studies_with("scores.json") if read(RESULTS / study / "scores.json")["scores"]]
CURVE_SCORED = studies_with("curve-scores.json")


def test_there_are_committed_results() -> None:
    assert SCORED == ["ladder", "quickstart"]
    assert CURVE_SCORED == ["schedules", "schedules-plays", "schedules-prose"]


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("prediction-*.json")), ids=lambda path: path.stem)
def test_sealed_prediction_verifies(path: Path) -> None:
    sealed, content = read_sealed(path), read(path)
    assert sealed.sealed == content["sealed"]
    assert sealed.to_dict() == content


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("curves-*.json")), ids=lambda path: path.stem)
def test_sealed_curves_verify(path: Path) -> None:
    sealed, content = read_sealed_curves(path), read(path)
    assert sealed.sealed == content["sealed"]
    assert [list(target.loss) for target in sealed.targets] == [target["loss"] for target in content["targets"]]


# ---- final losses


def table_rows(study: str) -> list[dict[str, str]]:
    with (RESULTS / study / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def open_table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The table of a study without its column `held_out`, which would keep the targets out of a score."""
    rows = table_rows(request.param)
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "held_out"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(("study", "open_table"), [(study, study) for study in SCORED], indirect=["open_table"])
def test_scores_of_final_losses_are_reproduced(study: str, open_table: Path) -> None:
    committed = read(RESULTS / study / "scores.json")["scores"]
    sealed = {read(path)["sealed"]: path for path in (RESULTS / study / "predictions").iterdir()}
    assert {each["sealed"] for each in committed} == set(sealed)
    for each in committed:
        again = score(sealed[each["sealed"]], str(open_table)).to_dict()
        assert list(again) == list(each)
        assert comparable_score(again) == comparable_score(each)


def comparable_score(content: Json) -> Json:
    runs = [{name: value for name, value in run.items() if name != "run"} for run in content["runs"]]
    return {**{name: value for name, value in content.items() if name not in ("source", "notes")}, "runs": runs}


@pytest.mark.parametrize("study", SCORED)
def test_own_prediction_is_that_of_the_first_law(study: str) -> None:
    content = read(RESULTS / study / "scores.json")
    if "own" in content:  # files of earlier versions do not say
        assert content["own"]["sealed"] == content["scores"][0]["sealed"]
        assert (content["own"]["law"], content["own"]["at"]) == (
            content["scores"][0]["law"],
            content["scores"][0]["at"],
        )


# ---- whole curves


@pytest.fixture(params=CURVE_SCORED)
def study(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sealed_curves(study: str) -> list[SealedCurves]:
    """In the order of the committed scores."""
    sealed = [read_sealed_curves(path) for path in (RESULTS / study / "curve-predictions").iterdir()]
    committed = [law["sealed"] for law in read(RESULTS / study / "curve-scores.json")["laws"]]
    assert {each.sealed for each in sealed} == set(committed)
    return sorted(sealed, key=lambda each: committed.index(each.sealed))


def final_losses(study: str) -> dict[str, float]:
    return {row["run"]: float(row["loss"]) for row in table_rows(study)}


def last_points(study: str, targets: Sequence[PredictedCurve]) -> dict[str, LossCurve]:
    """The trained curves of the targets, with their last point only: the loss in the table."""
    losses = final_losses(study)
    return {
        run: LossCurve(
            run,
            LearningRates.from_knots(np.array([0.0, target.step[-1]]), np.array([target.rate, target.rate]), 0),
            np.array([target.step[-1]]),
            np.array([losses[run]]),
        )
        for target in targets
        for run in target.runs
    }


def test_noise_between_seeds_is_that_of_the_table(study: str) -> None:
    """Only about: the committed number is that of the last evaluations in the metrics, which are not committed."""
    settings = ("N", "D", "schedule", "decay_shape", "decay_fraction", "final_fraction", "rate", "warmup_tokens")
    final: dict[str, list[float]] = {}
    for row in table_rows(study):
        final.setdefault(" ".join(row[name] for name in settings), []).append(float(row["loss"]))
    committed = read(RESULTS / study / "curve-scores.json")["noise_between_seeds"]
    assert pooled_seed_noise(final) == pytest.approx(committed, rel=0.05)


def test_errors_of_final_losses_are_reproduced(study: str) -> None:
    committed = read(RESULTS / study / "curve-scores.json")["laws"]
    for sealed, law in zip(sealed_curves(study), committed, strict=True):
        curves = last_points(study, sealed.targets)
        again = [score_run(target, curves[run], run) for target in sealed.targets for run in target.runs]
        assert [each.run for each in again] == [curve["run"] for curve in law["curves"]]
        for name in ("target", "final", "inside_90"):
            assert [getattr(each, name) for each in again] == [curve[name] for curve in law["curves"]]


def test_scores_of_laws_follow_from_those_of_their_curves(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and worst errors, final errors in seed noise, coverage, and the differences to the baselines with their
    bootstrap intervals, from the committed score of each curve.
    """
    content = read(RESULTS / study / "curve-scores.json")
    sealed = sealed_curves(study)
    committed: Iterator[Json] = (curve for law in content["laws"] for curve in law["curves"])

    def committed_score(target: PredictedCurve, curve: LossCurve, run: str) -> ScoredCurve:
        scored = score_run(target, curve, run)
        if run == target.target:  # the mean over seeds
            return scored
        known = next(committed)
        assert known["run"] == run
        return replace(scored, **{name: known[name] for name in ("points", "mean_abs_relative_error", "worst")})

    monkeypatch.setattr(curve_score, "score_run", committed_score)
    targets: Mapping[str, LossCurve] = last_points(study, sealed[0].targets)
    again = [law.to_dict() for law in score_laws(sealed, targets, content["noise_between_seeds"])]
    assert next(committed, None) is None
    for law, expected in zip(again, content["laws"], strict=True):
        law, expected = (json.loads(json.dumps(each)) for each in (law, expected))
        assert list(law) == list(expected)
        assert {**law, "seed_means": None} == {**expected, "seed_means": None}
