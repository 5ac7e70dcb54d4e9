"""From a fit to a sealed prediction to its score: the numbers, and everything that must be refused."""

import argparse
import hashlib
import json
import math
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_records import record, write

from analysis import fit_command, predict_command, score_command
from analysis.fit_document import Fit
from analysis.fitting import fit
from analysis.known_results import runs_at
from analysis.laws import law
from analysis.prediction import predict
from analysis.score import Score, score
from analysis.score import outcome as outcome_of
from analysis.seal import read_sealed, seal
from analysis.table import Table, load_table
from analysis.target import parse_at
from train.errors import InputError

TRUTH = {"E": 1.2, "A": 60.0, "B": 300.0, "alpha": 0.32, "beta": 0.40}
SIZES, TOKENS = (each.ravel() for each in np.meshgrid(np.geomspace(1e5, 3e6, 5), np.geomspace(1e6, 1e8, 5)))
AT = {"N": 1.2e7, "D": 2e8}


def losses(N: Any, D: Any, noise: float = 0.0, seed: int = 0) -> Any:
    exact = law("chinchilla").predict_one(TRUTH, {"N": np.asarray(N, float), "D": np.asarray(D, float)})
    return exact * np.exp(noise * np.random.default_rng(seed).standard_normal(len(exact)))


def table(noise: float = 0.003, seeds: int = 1) -> Table:
    N, D = np.tile(SIZES, seeds), np.tile(TOKENS, seeds)
    columns = {"N": N, "D": D, "loss": losses(N, D, noise), "seed": np.repeat(np.arange(float(seeds)), len(SIZES))}
    cell = np.tile([f"cell {number}" for number in range(len(SIZES))], seeds)
    return replace(Table.of(columns), cell=cell)


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(table(), law("chinchilla"), profile=False)


def command(module: Any, *words: str) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    status: int = module.run(parser.parse_args(list(words)))
    return status


def write_csv(path: Path, rows: list[tuple[Any, ...]], header: str = "N,D,loss") -> str:
    path.write_text("\n".join([header, *(",".join(map(repr_of, row)) for row in rows)]) + "\n")
    return str(path)


def repr_of(value: Any) -> str:
    return value if isinstance(value, str) else repr(float(value))


def outcome(loss: float, N: float = AT["N"], D: float = AT["D"]) -> tuple[float, float, float]:
    return N, D, loss


# --- predictions


def test_a_prediction_is_the_law_at_the_target() -> None:
    found = predict(fit(table(noise=0.0), law("chinchilla"), profile=False), AT, rivals=False)
    expected = float(losses([AT["N"]], [AT["D"]])[0])
    assert found.loss == pytest.approx(expected, rel=1e-8)
    assert found.interval_90 == pytest.approx((expected, expected), rel=1e-6)
    assert found.extrapolation == pytest.approx({"N": 4.0, "D": 2.0, "C": 8.0})


def test_columns_that_follow_from_others_need_not_be_given(fitted: Fit) -> None:
    whole = predict(fitted, AT, rivals=False)
    for at in ({"N": 1.2e7, "C": 6 * 1.2e7 * 2e8}, {"N": 1.2e7, "M": 2e8 / 1.2e7}, {"D": 2e8, "C": 6 * 1.2e7 * 2e8}):
        assert predict(fitted, at, rivals=False).loss == pytest.approx(whole.loss, rel=1e-12)


def test_the_interval_holds_the_truth_and_widens_with_distance(fitted: Fit) -> None:
    near, far = (predict(fitted, {"N": 3e6 * k, "D": 1e8 * k}, rivals=False) for k in (1.0, 5.0))
    widths = [each.interval_90[1] - each.interval_90[0] for each in (near, far)]
    assert widths[0] < widths[1]
    assert near.interval_90[0] < near.loss < near.interval_90[1]
    # 3 standard deviations of the noise, at 90 %, is a floor and a ceiling on a sane width inside the data.
    assert 0.6 < widths[0] / near.loss / (2 * 1.645 * 0.003) < 2.0


def test_rivals_are_ranked_on_the_same_points(fitted: Fit) -> None:
    rivals = predict(fitted, AT).rivals
    assert set(rivals) == {"chinchilla", "constant", "floorless:C", "power:C"}
    errors = {name: error for name, error in rivals.items() if error is not None}
    assert min(errors, key=lambda name: errors[name]) == "chinchilla"
    assert errors["constant"] > 5 * errors["chinchilla"]


def test_far_targets_are_refused_unless_asked_for(fitted: Fit) -> None:
    far = {"N": 3e6 * 6, "D": 1e8 * 6}
    with pytest.raises(InputError, match="36 times beyond the data in C"):
        predict(fitted, far)
    found = predict(fitted, far, far=True, rivals=False)
    assert any("36 times" in note for note in found.notes)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"N": 1.2e8, "D": 1e6}, "40 times beyond the data in N"),
        ({"N": 1e5, "D": 4e9}, "40 times beyond the data in D"),
        ({"N": 2.5e3, "D": 1e8}, "40 times below the data in N"),
        ({"N": 1.0, "D": 1.0}, r"6e\+11|1e\+11 times below the data in C and 1e\+05 times below the data in N and 1e"),
    ],
)
def test_a_target_is_far_in_size_or_data_alone_and_below_them(fitted: Fit, at: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=f"the target is {said}.*say --far"):
        predict(fitted, at, rivals=False)
    assert any(re.search(said, note) for note in predict(fitted, at, far=True, rivals=False).notes)


def test_refused_fits_and_bad_targets_have_no_prediction(fitted: Fit) -> None:
    refused = fit(table().select("N < 1.1e5"), law("chinchilla"), profile=False)
    with pytest.raises(InputError, match="was refused"):
        predict(refused, AT)
    with pytest.raises(InputError, match=r"add D=NUMBER"):
        predict(fitted, {"N": 1e6})
    for at, fault in (
        ({"N": 1e6, "D": 2e7, "M": 40.0}, "M is not D / N"),
        ({"N": 1e6, "D": 2e7, "C": 5.0}, "C is not 6 N D"),
        ({"N": 1e9, "C": 1.2e14, "M": 20.0}, "N does not follow from C = 6 N D and M = D / N"),
        ({"N": 1e6, "D": 2e7, "Q": 3.0}, "law chinchilla does not read Q"),
        ({"N": 1e6, "D": 2e7, "loss": 3.0}, "law chinchilla does not read loss"),
    ):
        with pytest.raises(InputError, match=fault):
            predict(fitted, at, far=True)
    assert predict(fitted, {"N": 1e6, "D": 2e7, "C": 1.21e14, "M": 20.0}, rivals=False).loss > 0  # people round
    for text in ("N", "N=", "N=-1", "N=1e6,N=2e6", "N=ten", "N=nan"):
        with pytest.raises(InputError, match="--at"):
            parse_at(text)
    with pytest.raises(InputError, match="--at"):
        parse_at("N=0,D=2e10")
    assert parse_at(" N=1e9 , weight_code=0") == {"N": 1e9, "weight_code": 0.0}


# --- seals


def sealed_file(fitted: Fit, folder: Path, **changes: Any) -> Path:
    return seal(predict(fitted, AT, rivals=False), fitted, folder, **{"results": [], **changes})


def test_a_sealed_file_is_named_by_its_content_and_cannot_be_written(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path, commit="abc")
    content = json.loads(path.read_text())
    body = {name: value for name, value in content.items() if name != "sealed"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert content["sealed"] == digest
    assert path.name == f"prediction-chinchilla-{digest[:16]}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert content["commit"] == "abc"
    assert content["time"].endswith("Z")
    assert content["fit"]["table_digest"] == table().digest
    assert read_sealed(path).loss == predict(fitted, AT, rivals=False).loss
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("loss",), 1.5),
        (("interval_90",), [1.0, 3.0]),
        (("at", "N"), 1.3e7),
        (("time",), "2020-01-01T00:00:00Z"),
        (("fit", "parameters", "E"), 1.0),
        (("extrapolation", "C"), 1.0),
        (("notes",), ["as expected"]),
        (("commit",), "def"),
    ],
)
def test_any_change_is_detected(fitted: Fit, tmp_path: Path, keys: tuple[str, ...], value: Any) -> None:
    path = sealed_file(fitted, tmp_path)
    content = json.loads(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    assert place[keys[-1]] != value
    place[keys[-1]] = value
    path.chmod(0o644)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="changed after it was sealed"):
        read_sealed(path)


def reseal(content: dict[str, Any], folder: Path) -> Path:
    """What a forger would do: a new hash for the new content."""
    body = {name: value for name, value in content.items() if name != "sealed"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path = folder / f"prediction-chinchilla-{digest[:16]}.json"
    path.write_text(json.dumps({**body, "sealed": digest}))
    return path


def test_a_key_that_stands_twice_is_refused(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    text = path.read_text()
    path.chmod(0o644)
    path.write_text(text.replace("{\n", '{\n "loss": 1.5,\n', 1))
    with pytest.raises(InputError, match="the key loss stands twice"):
        read_sealed(path)


def test_a_target_that_is_sealed_again_says_so_under_the_seal(fitted: Fit, tmp_path: Path) -> None:
    first = sealed_file(fitted, tmp_path)
    assert not any("sealed before" in note for note in read_sealed(first).notes)
    at = {"C": 6 * AT["N"] * AT["D"], "N": AT["N"] * 1.001}
    again = seal(predict(fitted, at, rivals=False), fitted, tmp_path, results=[])
    assert any(f"sealed before at this target by this law: {first.name}" in note for note in read_sealed(again).notes)
    other = seal(predict(fitted, {**AT, "N": 1.3e7}, rivals=False), fitted, tmp_path, results=[])
    assert not any("sealed before" in note for note in read_sealed(other).notes)


def test_a_forged_hash_does_not_fit_the_name_or_the_law(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    content = json.loads(path.read_text())
    forged = reseal({**content, "loss": 1.5}, tmp_path)
    with pytest.raises(InputError, match=r"gives .* where 1.5 is sealed: it was not made by this law"):
        read_sealed(forged)
    renamed = forged.rename(tmp_path / path.name.replace("chinchilla", "copy"))
    with pytest.raises(InputError, match="its name does not say"):
        read_sealed(renamed)


def test_a_law_that_changed_since_says_so(fitted: Fit, tmp_path: Path) -> None:
    content = json.loads(sealed_file(fitted, tmp_path).read_text())
    with pytest.raises(InputError, match="the code of chinchilla has changed since"):
        read_sealed(reseal({**content, "loss": 1.5, "law_digest": "0" * 64}, tmp_path))


def test_what_is_no_sealed_prediction(fitted: Fit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_sealed(tmp_path / "none.json")
    path = tmp_path / "file.json"
    for text, fault in (("{", "not JSON"), ("[]", "not a prediction"), ("{}", "not a prediction")):
        path.write_text(text)
        with pytest.raises(InputError, match=fault):
            read_sealed(path)
    path.write_text(json.dumps(predict(fitted, AT, rivals=False).document()))
    with pytest.raises(InputError, match="never sealed"):
        read_sealed(path)


def test_what_was_fitted_cannot_be_predicted(fitted: Fit, tmp_path: Path) -> None:
    at = {"N": float(SIZES[3]) * 1.004, "D": float(TOKENS[3])}  # people round
    with pytest.raises(InputError, match="among the points that were fitted"):
        seal(predict(fitted, at, rivals=False), fitted, tmp_path, results=[])
    assert not any(tmp_path.iterdir())


def test_rows_of_the_source_that_were_left_out_count_as_known(tmp_path: Path) -> None:
    rows = [(n, d, y, "") for n, d, y in zip(SIZES, TOKENS, losses(SIZES, TOKENS, 0.003), strict=True)]
    source = write_csv(tmp_path / "runs.csv", [*rows, (*outcome(1.6), "diverged")], "N,D,loss,status")
    known = fit(load_table(source), law("chinchilla"), profile=False)
    assert known.num_points == 25
    known.to_json(tmp_path / "fit.json")
    with pytest.raises(InputError, match=r"row 26 .* already has results"):
        command(predict_command, str(tmp_path / "fit.json"), "--at", "N=1.2e7,D=2e8", "--seal")
    assert command(predict_command, str(tmp_path / "fit.json"), "--at", "N=2e7,D=2e8", "--seal", "--no-rivals") == 0


@pytest.mark.parametrize(("status", "begun"), [("diverged", True), ("finished", True), ("planned", False), ("", False)])
def test_a_target_without_a_loss_has_begun_if_it_says_so(fitted: Fit, tmp_path: Path, status: str, begun: bool) -> None:
    results = write_csv(
        tmp_path / "target.csv", [(AT["N"], AT["D"], "", status), (1e6, 1e7, 2.5, "")], "N,D,loss,status"
    )
    prediction = predict(fitted, AT, rivals=False)
    if begun:
        with pytest.raises(InputError, match=r"row 1 .* already has results"):
            seal(prediction, fitted, tmp_path, results=[results])
    else:
        assert seal(prediction, fitted, tmp_path, results=[results]).exists()


def test_a_source_that_is_gone_must_be_named(fitted: Fit, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "runs.csv", [*zip(SIZES, TOKENS, losses(SIZES, TOKENS, 0.003), strict=True)])
    fit(load_table(source), law("chinchilla"), profile=False).to_json(tmp_path / "fit.json")
    moved = Path(source).rename(tmp_path / "moved.csv")
    words = (str(tmp_path / "fit.json"), "--at", "N=1.2e7,D=2e8", "--seal", "--no-rivals")
    with pytest.raises(InputError, match="is not here to look through"):
        command(predict_command, *words)
    assert command(predict_command, *words, "--results", str(moved)) == 0


@pytest.mark.parametrize("status", ["finished", "running", "diverged"])
@pytest.mark.parametrize("convention", ["total", "non_embedding", "with_head"])
def test_run_folders_are_looked_through_in_every_convention(
    fitted: Fit, tmp_path: Path, status: str, convention: str
) -> None:
    run = record(width=128, steps=100_000, status=status)
    counts = run["counts"]["parameters"]
    size = counts["non_embedding"] + 256 * 128 if convention == "with_head" else counts[convention]
    at = {"N": float(f"{size:.3g}"), "D": 1.024e8}
    found = predict(fitted, at, rivals=False)
    runs = tmp_path / "runs"
    write(runs, record(width=128, steps=50_000))
    seal(found, fitted, tmp_path, results=[str(runs)])
    write(runs, run, losses={100: 4.0})
    with pytest.raises(InputError, match=rf"\({status}\) already has results"):
        seal(found, fitted, tmp_path, results=[str(runs)])


def test_a_run_folder_is_looked_through_by_every_column_of_the_target(tmp_path: Path) -> None:
    run, at = run_at_target(128, 100_000, rate=0.012)
    write(tmp_path, run)
    assert runs_at(str(tmp_path), at)
    assert runs_at(str(tmp_path), {**at, "rate": 0.012, "final_fraction": 0.0})
    assert not runs_at(str(tmp_path), {**at, "rate": 0.006})


def test_a_planned_run_without_metrics_is_no_result(fitted: Fit, tmp_path: Path) -> None:
    run = record(width=128, steps=100_000, status="planned")
    write(tmp_path / "runs", run)
    at = {"N": float(run["counts"]["parameters"]["total"]), "D": 1.024e8}
    assert seal(predict(fitted, at, rivals=False), fitted, tmp_path, results=[str(tmp_path / "runs")]).exists()


def test_fits_that_are_no_optimum_and_open_intervals_are_not_sealed(fitted: Fit, tmp_path: Path) -> None:
    found = predict(fitted, AT, rivals=False)
    with pytest.raises(InputError, match="the fit is not_converged"):
        seal(found, replace(fitted, status="not_converged", reason="starts disagree"), tmp_path, results=[])
    with pytest.raises(InputError, match="do not bound the loss"):
        seal(replace(found, interval_90=(1.0, math.inf)), fitted, tmp_path, results=[])
    assert seal(found, replace(fitted, status="not_identified"), tmp_path, results=[]).exists()


# --- scores


def test_a_score_in_per_cent_widths_and_seed_noise(tmp_path: Path) -> None:
    fitted = fit(table(seeds=3), law("chinchilla"), profile=False)
    assert fitted.seed_noise == pytest.approx(0.003, rel=0.2)
    path = sealed_file(fitted, tmp_path)
    found = predict(fitted, AT, rivals=False)
    low, high = found.interval_90
    source = write_csv(tmp_path / "target.csv", [outcome(found.loss / 1.01), outcome(found.loss / 0.99)])
    result = score(path, source)
    assert [each.error_percent for each in result.runs] == pytest.approx([1.0, -1.0])
    assert result.runs[0].interval_widths == pytest.approx((found.loss - found.loss / 1.01) / (high - low))
    assert result.runs[0].seed_noise == pytest.approx(math.log(1.01) / (fitted.seed_noise or 0))
    assert result.mean.loss == pytest.approx(found.loss * (1 / 1.01 + 1 / 0.99) / 2)
    assert result.document()["error_percent"] == pytest.approx(-0.01, abs=1e-3)


def test_a_threshold_from_the_seeds_is_recorded_in_the_fit(tmp_path: Path) -> None:
    found = fit(table(seeds=3), law("chinchilla"), "log-huber:seed-noise", profile=False)
    assert found.seed_noise is not None
    kind, _, delta = found.objective.partition("=")
    assert kind == "log-huber:seed-noise"
    assert float(delta) == pytest.approx(1.345 * found.seed_noise, rel=1e-3)
    found.to_json(tmp_path / "fit.json")
    again = Fit.from_json(tmp_path / "fit.json")
    assert predict(again, AT, rivals=False).interval_90 == predict(found, AT, rivals=False).interval_90
    with pytest.raises(InputError, match="no repeated seeds"):
        fit(table(), law("chinchilla"), "log-huber:seed-noise")


def test_inside_is_decided_by_the_sealed_interval(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    low, high = read_sealed(path).interval_90
    for number, (loss, inside) in enumerate(((low * 1.0001, True), (low * 0.9999, False), (high * 1.0001, False))):
        source = write_csv(tmp_path / f"{number}.csv", [outcome(loss)])
        assert score(path, source).mean.inside_90 is inside


def test_an_open_interval_has_no_width_and_is_written_as_null(fitted: Fit) -> None:
    made = replace(predict(fitted, AT, rivals=False), interval_90=(1.0, math.inf))
    told = outcome_of(made, "seed 0", 2.0, None)
    assert (told.interval_widths, told.inside_90) == (None, True)
    document = Score(made, "runs", told, (told,), ()).document()
    assert document["interval_90"] == [1.0, None]
    json.dumps(document, allow_nan=False)


def test_runs_a_little_off_the_target_are_scored_with_a_note(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    found = score(path, write_csv(tmp_path / "near.csv", [outcome(1.7, N=AT["N"] * 1.01)]))
    assert any("1 % from N=1.2e+07" in note for note in found.notes)
    with pytest.raises(InputError, match=r"no run at N=1.2e"):
        score(path, write_csv(tmp_path / "off.csv", [outcome(1.7, N=AT["N"] * 1.05)]))


def test_unfinished_targets_are_refused(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    source = write_csv(tmp_path / "target.csv", [(*outcome(1.9), "running"), (1e6, 1e7, 2.5, "")], "N,D,loss,status")
    with pytest.raises(InputError, match="cannot be scored: not finished: running"):
        score(path, source)


def test_runs_at_the_target_that_are_not_scored_are_named(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    rows = [(*outcome(1.9), ""), (AT["N"], AT["D"], "", "diverged"), (*outcome(2.9), "running"), (1e6, 1e7, 3.0, "")]
    source = write_csv(tmp_path / "target.csv", rows, "N,D,loss,status")
    found = score(path, source)
    assert [each.run for each in found.runs] == ["row 1"]
    assert "row 2 is at the target and not in this score: not finished: diverged" in found.notes
    assert "row 3 is at the target and not in this score: not finished: running" in found.document()["notes"]
    assert not any("row 4" in note for note in found.notes)
    two = write_csv(tmp_path / "two.csv", [outcome(1.9), outcome(1.95)])
    assert any(
        "row 2 is at the target and not in this score: left out by --where" in note
        for note in score(path, two, where="loss < 1.92").notes
    )


@pytest.mark.parametrize(
    ("row", "where", "said"),
    [
        ((*outcome(1.9), "running"), None, "not finished: running; finish it first"),
        ((AT["N"], AT["D"], "", "diverged"), None, "not finished: diverged; it has no loss to compare"),
        ((*outcome(1.9), ""), "loss > 2", "left out by --where; widen the condition"),
    ],
)
def test_the_mend_of_what_cannot_be_scored_fits_its_reason(
    fitted: Fit, tmp_path: Path, row: tuple[Any, ...], where: str | None, said: str
) -> None:
    path = sealed_file(fitted, tmp_path)
    source = write_csv(tmp_path / "target.csv", [row, (1e6, 1e7, 2.5, "")], "N,D,loss,status")
    with pytest.raises(InputError, match=f"row 1 cannot be scored: {said}"):
        score(path, source, where=where)


def run_at_target(width: int, steps: int, **changes: Any) -> tuple[dict[str, Any], dict[str, float]]:
    run = record(width=width, steps=steps, **changes)
    return run, {"N": float(run["counts"]["parameters"]["total"]), "D": float(run["counts"]["tokens"])}


def test_a_run_folder_is_scored_if_it_was_begun_after_the_seal(fitted: Fit, tmp_path: Path) -> None:
    run, at = run_at_target(128, 100_000)
    path = seal(predict(fitted, at, rivals=False), fitted, tmp_path / "sealed", results=[])
    write(tmp_path / "late", {**run, "created": "2999-01-01T00:00:00Z"})
    assert score(path, str(tmp_path / "late")).mean.loss == 3.0
    write(tmp_path / "early", {**run, "created": "2020-01-01T00:00:00Z"})
    with pytest.raises(InputError, match="before the prediction was sealed"):
        score(path, str(tmp_path / "early"))
    unfinished, _ = run_at_target(128, 100_000, status="running")
    write(tmp_path / "running", unfinished, losses={100: 4.0})
    with pytest.raises(InputError, match="cannot be scored: running, not finished"):
        score(path, str(tmp_path / "running"))


def test_a_source_without_times_says_that_they_are_not_checked(fitted: Fit, tmp_path: Path) -> None:
    path = sealed_file(fitted, tmp_path)
    found = score(path, write_csv(tmp_path / "target.csv", [outcome(1.9)]))
    assert any("after the seal is not checked" in note for note in found.notes)
    run, at = run_at_target(128, 100_000)
    path = seal(predict(fitted, at, rivals=False), fitted, tmp_path / "again", results=[])
    write(tmp_path / "late", {**run, "created": "2999-01-01T00:00:00Z"})
    assert not any("not checked" in note for note in score(path, str(tmp_path / "late")).notes)


def test_a_run_that_was_fitted_is_no_held_out_run(tmp_path: Path) -> None:
    run, at = run_at_target(128, 100_000)
    columns = {"N": SIZES, "D": TOKENS, "loss": losses(SIZES, TOKENS, 0.003)}
    names = [run["run_id"], *(f"other-{number}" for number in range(len(SIZES) - 1))]
    known = fit(Table.of(columns, run=names), law("chinchilla"), profile=False)
    path = seal(predict(known, at, rivals=False), known, tmp_path / "sealed", results=[])
    write(tmp_path / "runs", {**run, "created": "2999-01-01T00:00:00Z"})
    with pytest.raises(InputError, match="was in the table that was fitted"):
        score(path, str(tmp_path / "runs"))


# --- the commands


def test_the_source_of_a_fit_is_read_as_the_fit_read_it(tmp_path: Path) -> None:
    """Its columns have other names: neither the seal nor the score is told again which is N."""
    rows = [(n, d / 1e6, y) for n, d, y in zip(SIZES, TOKENS, losses(SIZES, TOKENS, 0.003), strict=True)]
    source, output = write_csv(tmp_path / "runs.csv", rows, "params,millions,val"), str(tmp_path / "fit.json")
    naming = ("--columns", "N=params,D=millions*1e6,loss=val")
    assert command(fit_command, source, "--law", "chinchilla", *naming, "--output", output) == 0
    sealing = ("--seal", "--no-rivals", "--output", str(tmp_path))
    fitted = Fit.from_json(Path(output))
    path = seal(predict(fitted, AT, rivals=False), fitted, tmp_path / "sealed", results=[source])
    write_csv(tmp_path / "runs.csv", [*rows, (AT["N"], AT["D"] / 1e6, 2.0)], "params,millions,val")
    with pytest.raises(InputError, match=r"row 26 .* already has results"):
        command(predict_command, output, "--at", "N=1.2e7,D=2e8", *sealing)
    assert command(score_command, str(path), source) == 0


def test_fit_predict_and_score_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*zip(SIZES, TOKENS, losses(SIZES, TOKENS, 0.003), strict=True)]
    source, output = write_csv(tmp_path / "runs.csv", rows), str(tmp_path / "fit.json")
    assert command(fit_command, source, "--law", "chinchilla", "--output", output) == 0
    words = (output, "--at", "N=1.2e7,D=2e8", "--seal", "--output", str(tmp_path / "sealed"))
    capsys.readouterr()
    assert command(predict_command, *words, "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["at"] == AT
    assert document["extrapolation"] == pytest.approx({"N": 4.0, "D": 2.0, "C": 8.0})
    assert document["interval_90"][0] < document["loss"] < document["interval_90"][1]
    assert Path(document["file"]).name == f"prediction-chinchilla-{document['sealed'][:16]}.json"
    target = write_csv(tmp_path / "target.csv", [outcome(float(losses([AT["N"]], [AT["D"]])[0]))])
    assert command(score_command, document["file"], target) == 0
    shown = capsys.readouterr().out
    assert "predicted" in shown
    assert "yes" in shown
    assert "predicted / measured - 1" in shown
    assert command(predict_command, output, "--at", "N=1.2e7,D=2e8") == 0
    shown = capsys.readouterr().out
    assert "held-out error on this table: chinchilla" in shown
    assert "sealed" not in shown


def test_an_unsealed_prediction_for_programs(fitted: Fit, tmp_path: Path) -> None:
    fitted.to_json(tmp_path / "fit.json")
    out = tmp_path / "prediction.json"
    assert command(predict_command, str(tmp_path / "fit.json"), "--at", "N=1.2e7,D=2e8", "--json", str(out)) == 0
    assert json.loads(out.read_text())["sealed"] is None
