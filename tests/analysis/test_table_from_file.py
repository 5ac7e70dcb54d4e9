"""CSV and Parquet files as tables, and the one line that a bad one gets."""

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from analysis.table import load_table
from train.errors import InputError

PUBLIC = Path(os.environ.get("WINDTUNNEL_PUBLIC_DATA", Path(__file__).parents[3] / "shared" / "data"))
GOOD = "N,D,loss,name\n1e6,2e7,3.5,first\n2e6,2e7,3.25,second\n2e6,4e7,,third\n"
MAP = "N=params,D=tokens,loss=val"


def csv(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_text(text)
    return path


def test_columns_are_typed_and_missing_numbers_are_found_when_asked_for(tmp_path: Path) -> None:
    path = csv(tmp_path, GOOD)
    with pytest.raises(InputError, match=r"row 3, column loss is missing or not a number"):
        load_table(path)
    table = load_table(path, where="loss > 0")
    assert table.columns["N"].tolist() == [1e6, 2e6]
    assert table.columns["name"].tolist() == ["first", "second"]
    assert table.label.tolist() == table.run.tolist() == ["row 1", "row 2"]
    assert table.columns["C"].tolist() == [1.2e14, 2.4e14]
    assert table.columns["M"].tolist() == [20, 10]
    assert "C is 6 N D" in table.notes
    assert "M is D / N" in table.notes
    assert len(load_table(path, exclude=["row 3=it was never evaluated"])) == 2


def test_columns_are_named_and_computed(tmp_path: Path) -> None:
    path = csv(tmp_path, "Model Size,Training FLOP,eval/loss\n1e6,6e13,3.5\n2e6,24e13,3.0\n")
    table = load_table(path, columns="N=Model Size,C=`Training FLOP`,loss=log2(`eval/loss`)*2")
    assert table.columns["D"].tolist() == pytest.approx([1e7, 2e7])
    assert table.columns["loss"].tolist() == pytest.approx((2 * np.log2([3.5, 3.0])).tolist())
    assert "Training FLOP" in table.columns
    assert "D is C / (6 N)" in table.notes


def test_csv_gzip_and_parquet_are_one_table(tmp_path: Path) -> None:
    text = "N,D,loss,seed,tuned\n1000000,20000000,3.5,0,true\n2000000,20000000,3.25,1,false\n"
    plain = load_table(csv(tmp_path, text))
    (tmp_path / "points.csv.gz").write_bytes(gzip.compress(text.encode()))
    columns = {"N": [1000000, 2000000], "D": [2e7, 2e7], "loss": [3.5, 3.25], "seed": [0, 1], "tuned": [True, False]}
    parquet.write_table(pa.table(columns), tmp_path / "points.parquet")
    for name in ("points.csv.gz", "points.parquet"):
        assert load_table(tmp_path / name).digest == plain.digest


def test_a_column_run_says_what_shares_noise_and_seed_what_differs_by_it(tmp_path: Path) -> None:
    rows = [(f"r{size}{seed}", size, data, seed) for size in (1, 2) for data in (3, 4) for seed in (0, 1)]
    body = "\n".join(f"{run},{size}e6,{data}e7,{3 + size + seed / 10},{seed}" for run, size, data, seed in rows)
    table = load_table(csv(tmp_path, f"run,N,D,loss,seed\n{body}\n"))
    assert len(set(table.run)) == 4
    assert len(table.seed_groups()) == 4
    without = load_table(csv(tmp_path, "N,D,loss\n1e6,2e7,3.5\n1e6,2e7,3.6\n"))
    assert without.seed_groups() == []


def test_a_status_that_is_no_end_is_left_out(tmp_path: Path) -> None:
    table = load_table(csv(tmp_path, "N,D,loss,status\n1e6,2e7,3.5,finished\n2e6,2e7,9,crashed\n3e6,2e7,9,diverged\n"))
    assert [(each.run, each.reason) for each in table.excluded] == [
        ("row 2", "not finished: crashed"),
        ("row 3", "not finished: diverged"),
    ]


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        (
            "params,tokens,val\n1e6,2e7,3.5\n-2e6,2e7,3\n",
            MAP,
            r"row 2, column N is -2e\+06: it must be finite",
        ),
        ("params,tokens,val\n0,2e7,3.5\n", MAP, r"row 1, column N is 0: it must be finite and above zero"),
        ("params,tokens,val\n1e6,2e7,3.5\n2e6,3e7,nan\n", MAP, r"row 2, column loss is missing or not a number"),
        ("params,tokens,val\n1e6,2e7,inf\n", MAP, r"row 1, column loss is inf: it must be finite"),
        ("params,tokens,val\n1e6,2e7,3.5\n2e6,2e7,oops\n", MAP, r"row 2, column loss: .*'oops'.* is not a number"),
        ("params,tokens,val\n1e6,2e7,3.5\n1e6,2e7,3.5\n", MAP, r"row 2 repeats row 1 in every column"),
        ("run,params,tokens,val\na,1e6,2e7,3.5\na,1e6,2e7,3.6\n", MAP, r"row 2 repeats row 1 but for its losses"),
        ("params,tokens\n1e6,2e7\n", MAP, r"--columns loss=val: 'val': no column val; the table has params, tokens"),
        ("N,D,C,loss\n1e6,2e7,12e13,3\n1e6,4e7,30e13,2\n", None, r"mixed in column C: 7.5 N D in row 2"),
        ("N,N,loss\n1,2,3\n", None, r"two columns are named N"),
        ("N,D,loss\n", None, r"no rows below its header \(N, D, loss\)"),
        ("N,D,loss\n1,2\n", None, r"cannot be read as CSV: .*Expected 3 columns, got 2"),
        ("", None, r"cannot be read as CSV"),
    ],
)
def test_bad_files_get_one_line_with_row_and_column(tmp_path: Path, text: str, columns: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        load_table(csv(tmp_path, text), columns=columns)
    assert "\n" not in str(refused.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        load_table(tmp_path / "bad.parquet")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00\x80,\x81\n\x82,\x83\n")
    with pytest.raises(InputError):
        load_table(tmp_path / "bad.csv", columns="N=a")


def test_require_names_what_is_missing_and_what_there_is(tmp_path: Path) -> None:
    table = load_table(csv(tmp_path, "N,D,loss\n1e6,2e7,3.5\n2e6,2e7,3.25\n"))
    with pytest.raises(InputError, match=r"no column U; there are N, D, loss, C, M: name it with --columns U=COLUMN"):
        table.require("N", "U")


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public tables are not beside the project")
@pytest.mark.parametrize(
    ("name", "columns", "rows"),
    [
        ("porian_isoflop/isoflop_points_flat.csv", "N=n,D=tokens,C=flops", 1745),
        ("datablations/c4_182_runs_from_notebook_cell25.csv", None, 182),
        ("gadre_overtrain/flat_104_models.csv", "loss=loss_c4_val", 104),
        ("dm_routing/curves.csv.gz", "N=dense_parameter_count,loss=loss_validation", None),
        ("regmix/train_pile_loss_1m.csv", "loss=`metric/the_pile_pile_cc_val_loss`", 512),
    ],
)
def test_public_tables_load(name: str, columns: str | None, rows: int | None) -> None:
    table = load_table(PUBLIC / name, columns=columns, where="loss > 0")
    assert rows is None or len(table) == rows


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the public tables are not beside the project")
def test_a_public_column_that_overflowed_is_found_when_a_law_asks_for_it() -> None:
    table = load_table(PUBLIC / "gadre_overtrain/flat_104_models.csv", columns="loss=loss_c4_val")
    with pytest.raises(InputError, match=r"row 1, column C is -8\.6"):
        table.require("C")
