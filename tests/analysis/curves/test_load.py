"""Loss curves from files, DataFrames and run folders: logging intervals, warm-up, jumps, and bad input."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.run_records import TOKENS_PER_STEP, record, variant, write
from windtunnel.analysis.curves.from_file import curve_from_file
from windtunnel.analysis.curves.load import load_curve_groups, load_curves, load_schedule
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import Schedule, multiplier


def write_rows(path: Path, text: str) -> Path:
    path.write_text("step,lr,loss\n" + text)
    return path


LATE = "".join(f"{step},{3e-4},{4 - step / 2e4}\n" for step in range(2160, 6000, 128))


def test_file_that_begins_late_gets_a_linear_warm_up(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", LATE)
    curve = curve_from_file(path)
    assert curve.rates.warmup == 2160
    assert curve.num_points == 30
    assert curve.rate_sums[0] == pytest.approx(3e-4 * (2160 - 1) / 2, rel=1e-12)
    assert "end of a linear warm-up" in curve.notes[0]
    assert curve_from_file(path, warmup=0).rate_sums[0] == pytest.approx(3e-4 * 2160, rel=1e-12)
    assert curve_from_file(path, warmup=1000).rate_sums[0] == pytest.approx(
        3e-4 * (2160 - 1000 + 999 / 2 + 0.5), rel=1e-3
    )


def test_warm_up_of_a_file_that_logs_it(tmp_path: Path) -> None:
    text = "".join(f"{step},{min(step, 300) * 1e-6},{5 - step / 1e4}\n" for step in range(0, 1000, 50))
    curve = curve_from_file(write_rows(tmp_path / "a.csv", text))
    assert curve.rates.warmup == 300
    assert curve.time_P[0] == 300
    assert any("6 rows in the warm-up" in note for note in curve.notes)


@pytest.mark.parametrize("zeros", [1, 4])
def test_losses_before_the_first_rate_above_0_are_left_out(tmp_path: Path, zeros: int) -> None:
    """No update was made before them, and laws take the log of the sum of the rates."""
    text = "".join(f"{step},{0 if step < zeros else 3e-4},{5 - step / 100}\n" for step in range(40))
    curve = curve_from_file(write_rows(tmp_path / "a.csv", text))
    assert curve.rates.warmup == zeros
    assert curve.time_P.tolist() == list(range(zeros + 1, 40))
    assert np.isfinite(curve.log_rate_sums).all()
    assert curve.rates.drop_sum(np.array([39.0])) == 0.0  # the rise is not a negative drop
    assert any("1 rows before the first rate above 0 left out" in note for note in curve.notes)


def test_file_that_begins_late_at_rate_0_is_not_at_its_peak(tmp_path: Path) -> None:
    text = "".join(f"{step},{0 if step < 4000 else 3e-4},{5 - step / 1e5}\n" for step in range(2000, 9000, 200))
    curve = curve_from_file(write_rows(tmp_path / "a.csv", text))
    assert not curve.warmup_inferred
    assert (curve.rates.warmup, curve.time_P[0]) == (4000, 4200)


def test_isolated_change_is_a_jump_at_its_row(tmp_path: Path) -> None:
    text = "".join(f"{step},{1.0 if step < 800 else 0.1},{4 - step / 1e4}\n" for step in range(0, 1500, 100))
    curve = curve_from_file(write_rows(tmp_path / "a.csv", text))
    assert curve.rates.rate_sum(np.array([800.0, 900.0])).tolist() == pytest.approx([800.0, 810.0])
    assert curve.rates.drop_sum(np.array([800.0, 801.0])).tolist() == pytest.approx([0.0, 0.9])


def test_uneven_rows_and_gaps_in_the_losses(tmp_path: Path) -> None:
    steps = [1, 2, 5, 10, 30, 100, 300, 1000, 1100]
    text = "".join(f"{step},0.5,{'' if step == 30 else 4 - step / 1e4}\n" for step in steps)
    curve = curve_from_file(write_rows(tmp_path / "a.csv", text))
    assert curve.time_P.tolist() == [step for step in steps if step != 30]
    assert any("1 rows without a loss" in note for note in curve.notes)


def test_named_columns_and_a_given_size(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("it;rate;ce\n" + "".join(f"{step};0.1;{3 + 1 / step}\n" for step in range(10, 200, 10)))
    (curve,) = load_curves([f"{path}@N=25e6,B=4e5"], columns="step=it,lr=rate,loss=ce")
    assert (curve.size, curve.batch, curve.num_points) == (25e6, 4e5, 19)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,0.1,3\n2,x,3\n", r"row 2, column lr: x is not a number"),
        ("1,0.1,3\n1,0.1,3\n", r"row 2, column step: 1 does not follow the row before"),
        ("1,0.1,3\n2,-0.1,3\n", r"row 2, column lr: -0.1 is not a learning rate"),
        ("1,0.1,3\n2,,3\n", r"row 2, column lr: nan is not a learning rate"),
        ("1,0.1,3\n2,0.1,-3\n", r"row 2, column loss: -3 is not a loss"),
        ("1.5,0.1,3\n2,0.1,3\n", r"row 1, column step: 1.5 is not a whole number"),
        ("1,0,3\n2,0,3\n", r"every rate is 0"),
        ("1,0.1,3\n2,0.1,3\n", r"2 rows; a curve needs 4 or more"),
        ("1,0.1,3\n", r"1 row; a curve needs 4 or more"),
        ("1,0.1,3\n2,0.2,3\n3,0.3,3\n4,0.4,3\n", r"1 losses after the warm-up, which ends at step 4"),
        ("", r"no rows"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        curve_from_file(write_rows(tmp_path / "a.csv", text))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "a.csv") in str(caught.value)


def test_bad_sources(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", LATE)
    with pytest.raises(InputError, match="no such file"):
        load_curves([str(tmp_path / "b.csv")])
    with pytest.raises(InputError, match="no runs in this folder"):
        load_curves([str(tmp_path)])
    with pytest.raises(InputError, match="named twice"):
        load_curves([str(path), str(tmp_path / "." / "a.csv")])
    with pytest.raises(InputError, match="give N"):
        load_curves([f"{path}@N=-1"])
    (tmp_path / "c.csv").write_text("step,lr,losses\n1,0.1,3\n")
    with pytest.raises(InputError, match=r"no column loss; it has step, lr, losses.*did you mean losses"):
        load_curves([str(tmp_path / "c.csv")])
    with pytest.raises(InputError, match=r"columns=\.\.\. names rate"):
        load_curves([str(path)], columns="rate=lr")


def make_run(tmp_path: Path, status: str = "finished") -> Path:
    content = variant(record(steps=1000, shape="wsd"), status=status)
    name = write(tmp_path, content, losses={200: 3.5, 400: 3.2, 600: 3.1, 800: 3.0, 1000: 2.9})
    with (tmp_path / name / "metrics.jsonl").open("a") as file:
        for step in range(10, 1001, 10):
            row = {"kind": "train", "step": step, "tokens": step * TOKENS_PER_STEP, "loss": 3 + 1 / step, "rate": 0.1}
            file.write(json.dumps(row) + "\n")
    return tmp_path / name


def test_curve_of_a_run_has_its_lines_and_recorded_schedule(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (curve,) = load_curves([str(tmp_path)])
    assert curve.rates.warmup == 100
    # A line is a mean over ten steps, its time their middle; the loss of a step is computed before its update.
    assert curve.time_P[:2].tolist() == [104.5, 114.5]
    schedule = Schedule("wsd", 1000, 100, 200, "1-sqrt", 0.0, 0.0)
    rate_S = 0.006 * multiplier(schedule, np.arange(1000))
    np.testing.assert_allclose(
        curve.rates.rate_sum(np.array([500.0, 1000.0])), np.cumsum(rate_S)[[499, 999]], rtol=1e-5
    )
    (evaluated,) = load_curves([str(folder)], losses="validation")
    assert evaluated.time_P.tolist() == [200, 400, 600, 800, 1000]
    assert evaluated.loss_P[-1] == 2.9


def test_run_that_diverged_has_no_curve(tmp_path: Path) -> None:
    folder = make_run(tmp_path, status="diverged")
    with pytest.raises(InputError, match="diverged"):
        load_curves([str(folder)])


def test_dataframe_is_read_as_its_file(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", LATE)
    frame = pd.read_csv(path).rename(columns={"lr": "rate"})
    (from_file,), (from_frame,) = load_curves(path), load_curves(frame, columns={"lr": "rate"})
    np.testing.assert_array_equal(from_frame.loss_P, from_file.loss_P)
    np.testing.assert_array_equal(from_frame.rate_sums, from_file.rate_sums)
    with pytest.raises(InputError, match="no curve can be read from int"):
        load_curves([3])  # type: ignore[list-item]


def test_files_that_begin_at_their_peak_share_the_earliest_warm_up(tmp_path: Path) -> None:
    first = write_rows(tmp_path / "a.csv", LATE)
    later = "".join(f"{step},{3e-4},{4 - step / 2e4}\n" for step in range(2200, 6000, 128))
    second = write_rows(tmp_path / "b.csv", later)
    groups = load_curve_groups([[str(first)], str(second)])
    assert [curve.rates.warmup for group in groups for curve in group] == [2160, 2160]
    with pytest.raises(InputError, match="named twice"):
        load_curve_groups([first, [str(first)]])


def test_schedules_from_rates_files_and_dataframes(tmp_path: Path) -> None:
    rate_S = np.minimum(np.arange(1000) / 100, 1.0) * 3e-4
    schedule = load_schedule(rate_S, size=1e6)
    assert (schedule.rates.warmup, schedule.time_P[0], schedule.time_P[-1], schedule.size) == (100, 100, 1000, 1e6)
    frame = pd.DataFrame({"step": np.arange(1000), "lr": rate_S})
    frame.to_csv(tmp_path / "a.csv", index=False)
    for source in (frame, tmp_path / "a.csv"):
        read = load_schedule(source, batch=4e5)
        np.testing.assert_allclose(
            read.rates.rate_sum(np.array([50.0, 999.0])), np.cumsum(rate_S)[[49, 998]], rtol=1e-9
        )
        assert (read.batch, np.isnan(read.loss_P).all()) == (4e5, True)
    assert load_schedule(f"{tmp_path / 'a.csv'}@N=2e6").size == 2e6
    for bad in ([1e-3], [1e-3, -1e-3], [0.0, 0.0], [1e-3, np.nan]):
        with pytest.raises(InputError, match="learning rate of every update"):
            load_schedule(bad)
