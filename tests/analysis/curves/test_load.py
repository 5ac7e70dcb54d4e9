"""Curves from files and from run folders: any interval, warm-up, jumps, and bad input in one line."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.run_records import TOKENS_PER_STEP, record, variant, write
from windtunnel.analysis.curves.from_file import read_curve
from windtunnel.analysis.curves.load import read_curves
from windtunnel.train.errors import InputError
from windtunnel.train.schedules import Schedule, multiplier


def rows(path: Path, text: str) -> Path:
    path.write_text("step,lr,loss\n" + text)
    return path


LATE = "".join(f"{step},{3e-4},{4 - step / 2e4}\n" for step in range(2160, 6000, 128))


def test_a_file_that_begins_late_follows_a_warm_up(tmp_path: Path) -> None:
    path = rows(tmp_path / "a.csv", LATE)
    curve = read_curve(path)
    assert curve.rates.warmup == 2160
    assert curve.num_points == 30
    assert curve.sums[0] == pytest.approx(3e-4 * (2160 - 1) / 2, rel=1e-12)
    assert "end of a linear warm-up" in curve.notes[0]
    assert read_curve(path, warmup=0).sums[0] == pytest.approx(3e-4 * 2160, rel=1e-12)
    assert read_curve(path, warmup=1000).sums[0] == pytest.approx(3e-4 * (2160 - 1000 + 999 / 2 + 0.5), rel=1e-3)


def test_a_file_that_logs_its_warm_up(tmp_path: Path) -> None:
    text = "".join(f"{step},{min(step, 300) * 1e-6},{5 - step / 1e4}\n" for step in range(0, 1000, 50))
    curve = read_curve(rows(tmp_path / "a.csv", text))
    assert curve.rates.warmup == 300
    assert curve.time_P[0] == 300
    assert any("6 rows in the warm-up" in note for note in curve.notes)


@pytest.mark.parametrize("zeros", [1, 4])
def test_losses_before_the_first_rate_above_0_are_left_out(tmp_path: Path, zeros: int) -> None:
    """No update was made before them, and laws are of the logarithm of the sum of rates."""
    text = "".join(f"{step},{0 if step < zeros else 3e-4},{5 - step / 100}\n" for step in range(40))
    curve = read_curve(rows(tmp_path / "a.csv", text))
    assert curve.rates.warmup == zeros
    assert curve.time_P.tolist() == list(range(zeros + 1, 40))
    assert np.isfinite(curve.log_sums).all()
    assert curve.rates.dropped(np.array([39.0])) == 0.0  # the rise is no negative drop
    assert any("1 rows before the first rate above 0 left out" in note for note in curve.notes)


def test_a_file_that_begins_late_at_0_is_not_at_its_peak(tmp_path: Path) -> None:
    text = "".join(f"{step},{0 if step < 4000 else 3e-4},{5 - step / 1e5}\n" for step in range(2000, 9000, 200))
    curve = read_curve(rows(tmp_path / "a.csv", text))
    assert not curve.warmup_is_guessed
    assert (curve.rates.warmup, curve.time_P[0]) == (4000, 4200)


def test_a_lone_change_is_a_jump_at_its_row(tmp_path: Path) -> None:
    text = "".join(f"{step},{1.0 if step < 800 else 0.1},{4 - step / 1e4}\n" for step in range(0, 1500, 100))
    curve = read_curve(rows(tmp_path / "a.csv", text))
    assert curve.rates.sum(np.array([800.0, 900.0])).tolist() == pytest.approx([800.0, 810.0])
    assert curve.rates.dropped(np.array([800.0, 801.0])).tolist() == pytest.approx([0.0, 0.9])


def test_uneven_rows_and_gaps_in_the_losses(tmp_path: Path) -> None:
    steps = [1, 2, 5, 10, 30, 100, 300, 1000, 1100]
    text = "".join(f"{step},0.5,{'' if step == 30 else 4 - step / 1e4}\n" for step in steps)
    curve = read_curve(rows(tmp_path / "a.csv", text))
    assert curve.time_P.tolist() == [each for each in steps if each != 30]
    assert any("1 rows without a loss" in note for note in curve.notes)


def test_named_columns_and_a_size(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("it;rate;ce\n" + "".join(f"{step};0.1;{3 + 1 / step}\n" for step in range(10, 200, 10)))
    (curve,) = read_curves([f"{path}@N=25e6,B=4e5"], columns="step=it,lr=rate,loss=ce")
    assert (curve.size, curve.batch, curve.num_points) == (25e6, 4e5, 19)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,0.1,3\n2,x,3\n", r"row 2, column lr: x is no number"),
        ("1,0.1,3\n1,0.1,3\n", r"row 2, column step: 1 does not come after the row before"),
        ("1,0.1,3\n2,-0.1,3\n", r"row 2, column lr: -0.1 is no rate"),
        ("1,0.1,3\n2,,3\n", r"row 2, column lr: nan is no rate"),
        ("1,0.1,3\n2,0.1,-3\n", r"row 2, column loss: -3 is no loss"),
        ("1.5,0.1,3\n2,0.1,3\n", r"row 1, column step: 1.5 is no whole number"),
        ("1,0,3\n2,0,3\n", r"every rate is 0"),
        ("1,0.1,3\n2,0.1,3\n", r"2 rows, and 4 or more"),
        ("1,0.1,3\n", r"1 row, and 4 or more"),
        ("1,0.1,3\n2,0.2,3\n3,0.3,3\n4,0.4,3\n", r"1 losses after the warm-up, which ends at step 4"),
        ("", r"no rows"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_curve(rows(tmp_path / "a.csv", text))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "a.csv") in str(caught.value)


def test_bad_words(tmp_path: Path) -> None:
    path = rows(tmp_path / "a.csv", LATE)
    with pytest.raises(InputError, match="no such file"):
        read_curves([str(tmp_path / "b.csv")])
    with pytest.raises(InputError, match="no runs in this folder"):
        read_curves([str(tmp_path)])
    with pytest.raises(InputError, match="named twice"):
        read_curves([str(path), str(tmp_path / "." / "a.csv")])
    with pytest.raises(InputError, match="say N"):
        read_curves([f"{path}@N=-1"])
    (tmp_path / "c.csv").write_text("step,lr,losses\n1,0.1,3\n")
    with pytest.raises(InputError, match=r"no column loss; it has step, lr, losses.*did you mean losses"):
        read_curves([str(tmp_path / "c.csv")])
    with pytest.raises(InputError, match="--columns rate"):
        read_curves([str(path)], columns="rate=lr")


def made_run(tmp_path: Path, status: str = "finished") -> Path:
    content = variant(record(steps=1000, shape="wsd"), status=status)
    name = write(tmp_path, content, losses={200: 3.5, 400: 3.2, 600: 3.1, 800: 3.0, 1000: 2.9})
    with (tmp_path / name / "metrics.jsonl").open("a") as file:
        for step in range(10, 1001, 10):
            row = {"kind": "train", "step": step, "tokens": step * TOKENS_PER_STEP, "loss": 3 + 1 / step, "rate": 0.1}
            file.write(json.dumps(row) + "\n")
    return tmp_path / name


def test_a_run_is_its_lines_under_its_recorded_schedule(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    (curve,) = read_curves([str(tmp_path)])
    assert curve.rates.warmup == 100
    # A line is the mean of ten steps: its time is their middle, and the loss of a step is that before its update.
    assert curve.time_P[:2].tolist() == [104.5, 114.5]
    schedule = Schedule("wsd", 1000, 100, 200, "1-sqrt", 0.0, 0.0)
    rate_S = 0.006 * multiplier(schedule, np.arange(1000))
    np.testing.assert_allclose(curve.rates.sum(np.array([500.0, 1000.0])), np.cumsum(rate_S)[[499, 999]], rtol=1e-5)
    (evaluated,) = read_curves([str(folder)], losses="validation")
    assert evaluated.time_P.tolist() == [200, 400, 600, 800, 1000]
    assert evaluated.loss_P[-1] == 2.9


def test_a_run_that_diverged_has_no_curve(tmp_path: Path) -> None:
    folder = made_run(tmp_path, status="diverged")
    with pytest.raises(InputError, match="diverged"):
        read_curves([str(folder)])
