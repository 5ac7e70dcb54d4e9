"""CSV and Parquet files as tables, and the one-line errors of invalid ones."""

import gzip
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from tests.support.paths import PUBLIC_DATA
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.laws.law import require_columns
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.seeds import seed_noise
from windtunnel.train.errors import InputError

GOOD = "N,D,loss,name\n1e6,2e7,3.5,first\n2e6,2e7,3.25,second\n2e6,4e7,,third\n"
MAP = "N=params,D=tokens,loss=val"


def csv(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_text(text)
    return path


def test_columns_are_typed_and_missing_numbers_are_errors(tmp_path: Path) -> None:
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


def test_csv_gzip_and_parquet_give_equal_tables(tmp_path: Path) -> None:
    text = "N,D,loss,seed,tuned\n1000000,20000000,3.5,0,true\n2000000,20000000,3.25,1,false\n"
    plain = load_table(csv(tmp_path, text))
    (tmp_path / "points.csv.gz").write_bytes(gzip.compress(text.encode()))
    columns = {"N": [1000000, 2000000], "D": [2e7, 2e7], "loss": [3.5, 3.25], "seed": [0, 1], "tuned": [True, False]}
    parquet.write_table(pa.table(columns), tmp_path / "points.parquet")
    for name in ("points.csv.gz", "points.parquet"):
        assert load_table(tmp_path / name).digest == plain.digest


def test_column_run_names_runs_and_column_seed_names_replicates(tmp_path: Path) -> None:
    rows = [(f"r{size}{seed}", size, data, seed) for size in (1, 2) for data in (3, 4) for seed in (0, 1)]
    body = "\n".join(f"{run},{size}e6,{data}e7,{3 + size + seed / 10},{seed}" for run, size, data, seed in rows)
    table = load_table(csv(tmp_path, f"run,N,D,loss,seed\n{body}\n"))
    assert len(set(table.run)) == 4
    assert len(table.seed_groups()) == 4
    without = load_table(csv(tmp_path, "N,D,loss\n1e6,2e7,3.5\n1e6,2e7,3.6\n"))
    assert without.seed_groups() == []


def test_rows_with_an_unfinished_status_are_excluded(tmp_path: Path) -> None:
    table = load_table(csv(tmp_path, "N,D,loss,status\n1e6,2e7,3.5,finished\n2e6,2e7,9,crashed\n3e6,2e7,9,diverged\n"))
    assert [(row.run, row.reason) for row in table.excluded] == [
        ("row 2", "not finished: crashed"),
        ("row 3", "not finished: diverged"),
    ]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "params,tokens,val\n1e6,2e7,3.5\n-2e6,2e7,3\n",
            MAP,
            r"row 2, column N is -2e\+06: it must be finite",
        ),
        (
            "params,tokens,val\n0,2e7,3.5\n",
            MAP,
            r"row 1, column N is 0: it must be finite, above zero and below 1e\+100",
        ),
        ("params,tokens,val\n1e6,2e7,3.5\n2e6,3e7,nan\n", MAP, r"row 2, column loss is missing or not a number"),
        ("params,tokens,val\n1e6,1e308,3.5\n", MAP, r"row 1, column D is 1e\+308: it must be finite, above zero and"),
        ("params,tokens,val\n1e6,1e-300,3.5\n", MAP, r"row 1, column D is 1e-300: it must be finite, above 1e-100 and"),
        ("params,tokens,val\n1e6,2e7,inf\n", MAP, r"row 1, column loss is inf: it must be finite"),
        ("params,tokens,val\n1e6,2e7,3.5\n2e6,2e7,oops\n", MAP, r"row 2, column loss: .*'oops'.* is not a number"),
        ("params,tokens,val\n1e6,2e7,3.5\n1e6,2e7,3.5\n", MAP, r"row 2 repeats row 1 in every column"),
        ("run,params,tokens,val\na,1e6,2e7,3.5\na,1e6,2e7,3.6\n", MAP, r"row 2 repeats row 1 in all but its losses"),
        ("params,tokens\n1e6,2e7\n", MAP, r"columns=... loss=val: 'val': no column val; the table has params, tokens"),
        ("N,D,C,loss\n1e6,2e7,12e13,3\n1e6,4e7,30e13,2\n", None, r"mixed in column C: 7.5 N D in row 2"),
        ("N,N,loss\n1,2,3\n", None, r"two columns are named N"),
        ("N,D,loss\n", None, r"no rows below its header \(N, D, loss\)"),
        ("N,D,loss\n1,2\n", None, r"cannot be read as CSV: row 1 has 2 cells, the header 3 \('N,D,loss'\): '1,2'"),
        ("", None, r"cannot be read as CSV"),
    ],
)
def test_invalid_file_is_a_one_line_error_with_row_and_column(
    tmp_path: Path, text: str, columns: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_table(csv(tmp_path, text), columns=columns)
    assert "\n" not in str(error.value)


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        load_table(tmp_path / "bad.parquet")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00\x80,\x81\n\x82,\x83\n")
    with pytest.raises(InputError):
        load_table(tmp_path / "bad.csv", columns="N=a")


def test_require_names_the_missing_column_and_the_others(tmp_path: Path) -> None:
    table = load_table(csv(tmp_path, "N,D,loss\n1e6,2e7,3.5\n2e6,2e7,3.25\n"))
    with pytest.raises(
        InputError, match=r"no column U; there are N, D, loss, C, M: name it with columns=..., such as U=COLUMN"
    ):
        table.require("N", "U")


SEEDS = "N,D,loss,seed\n" + "".join(
    f"{size}e6,{data}e7,{3 / size + 1 / data + 0.01 * seed * (-1) ** size + 0.002 * seed**2},{seed}\n"
    for size in (1, 2, 4)
    for data in (2, 4)
    for seed in (0, 1, 2)
)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("params,tokens,val_loss,seed", "N=params,D=tokens,loss=val_loss"),
        ("params,tokens,val_loss,run_seed", "N=params,D=tokens,loss=val_loss,seed=run_seed"),
        ("mega,tokens,val_loss,seed", "N=1*mega,D=tokens,loss=val_loss"),
        ("params,C,val_loss,seed", "N=params,D=C,loss=val_loss"),
    ],
)
def test_seed_replicates_are_found_whatever_the_columns_are_called(tmp_path: Path, header: str, columns: str) -> None:
    plain = load_table(csv(tmp_path, SEEDS))
    renamed = load_table(csv(tmp_path, SEEDS.replace("N,D,loss,seed", header)), columns=columns)
    assert [group.tolist() for group in renamed.seed_groups()] == [group.tolist() for group in plain.seed_groups()]
    assert len(renamed.seed_groups()) == 6
    assert seed_noise(renamed) == seed_noise(plain)


def test_rows_of_equal_seed_and_scale_are_no_seed_replicates(tmp_path: Path) -> None:
    text = "N,D,loss,seed,optimizer\n" + "".join(
        f"1e6,2e7,{3 + place + seed / 10},{seed},{name}\n"
        for place, name in enumerate(("adam", "muon"))
        for seed in (0, 1)
    )
    assert load_table(csv(tmp_path, text)).seed_groups() == []


def test_two_losses_of_one_seed_and_setting_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 19 repeats row 3 in all but its losses, seed included"):
        load_table(csv(tmp_path, SEEDS + "1e6,2e7,9,2\n"))
    renamed = SEEDS.replace("N,D,loss", "N,D,val") + "1e6,2e7,9,2\n"
    with pytest.raises(InputError, match="row 19 repeats row 3"):
        load_table(csv(tmp_path, renamed), columns="loss=val")
    assert len(load_table(csv(tmp_path, SEEDS + "1e6,2e7,9,\n1e6,2e7,8,\n"))) == 20  # of unknown seed


def test_doubtful_values_are_noted(tmp_path: Path) -> None:
    def notes(text: str, columns: str | None = None) -> str:
        return "\n".join(load_table(csv(tmp_path, text), columns=columns).notes)

    assert notes(SEEDS) == "C is 6 N D\nM is D / N"
    assert "row 4 (loss 90)" in notes(re.sub(r"1e6,4e7,[\d.]+,0", "1e6,4e7,90,0", SEEDS))
    assert "standard deviations from the other seeds of its cell" in notes(SEEDS.replace("3.25,0", "3.9,0"))
    runs = "run," + SEEDS.replace("\n", "\na,").removesuffix("a,")
    assert "are of one run (a): the seed noise is not known" in notes(runs)
    assert "N is 1e-06 in row 1: are the units parameters?" in notes(SEEDS, "N=N/1e12")
    assert "D is below N in 18 of 18 rows" in notes(SEEDS, "D=D/1e9")
    assert "C is 0.5 to 0.5 times 6 N D" in notes(SEEDS, "C=3*N*D")


@pytest.mark.parametrize("cell", ["1_000", "0x10", "１２", "1,000", "True", "1.5.2", "-", "abc"])
@pytest.mark.parametrize("column", ["N", "D", "loss"])
def test_cell_that_is_not_a_number_is_an_error_unless_its_row_is_excluded(
    tmp_path: Path, cell: str, column: str
) -> None:
    bad = {"N": "9e6", "D": "9e7", "loss": "2.5", column: f'"{cell}"'}
    path = csv(tmp_path, SEEDS + f"{bad['N']},{bad['D']},{bad['loss']},0\n")
    with pytest.raises(
        InputError, match=rf"row 19, column {column}: '{cell}' is not a number.*exclude=..., such as 'row 19="
    ):
        load_table(path)
    mapping = "N=N*2,D=D*2,loss=loss*2"
    with pytest.raises(InputError, match=rf"\(row 19, column {column}: '{cell}' is not a number\)"):
        load_table(path, columns=mapping)
    assert load_table(path, exclude=["row 19=a slip"]).digest == load_table(csv(tmp_path, SEEDS)).digest
    path = csv(tmp_path, SEEDS + f"{bad['N']},{bad['D']},{bad['loss']},0\n")
    assert len(load_table(path, exclude=["row 19=a slip"], columns=mapping)) == 18


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "None", "nan", " NaN "])
def test_missing_value_is_not_text(tmp_path: Path, cell: str) -> None:
    with pytest.raises(InputError, match="row 2, column loss is missing"):
        load_table(csv(tmp_path, f"N,D,loss\n1e6,2e7, 3.5\n2e6,2e7,{cell}\n"))


@pytest.mark.parametrize(("delimiter", "end"), [(";", "\n"), ("\t", "\n"), (", ", "\n"), (",", "\r\n"), (",", "\r")])
def test_delimiter_spaces_and_line_ends_do_not_change_the_table(tmp_path: Path, delimiter: str, end: str) -> None:
    plain = load_table(csv(tmp_path, SEEDS))
    (tmp_path / "points.csv").write_bytes(SEEDS.replace(",", delimiter).replace("\n", end).encode())
    assert load_table(tmp_path / "points.csv").digest == plain.digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"N,D,loss\n1,2,3\n1,2\n", "row 2 has 2 cells, the header 3"),
        (b'N,D,loss\n1,2,3\n"1,2,3\n1,2,4\n', "row 2 has 1 cells, the header 3"),
        (b"# mine\nN,D,loss\n1,2,3\n", r"row 1 has 3 cells, the header 1 \('# mine'\)"),
        ("N,D,loss\n1,2,3\n".encode("utf-16"), "it is UTF-16: save it as UTF-8"),
        (gzip.compress(b"N,D,loss\n1,2,3\n", mtime=0), r"it is compressed: name it \.csv\.gz"),
        (b"N,D,loss\n1,2\0,3\n", "line 2 holds a zero byte"),
        ("N,D,größe\n1,2,3\n".encode("latin-1"), "not UTF-8 text"),
    ],
)
def test_malformed_file_is_an_error_with_place_and_fix(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "points.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"cannot be read as CSV: {message}") as error:
        load_table(tmp_path / "points.csv")
    assert str(error.value).isprintable()


def test_bytes_that_are_not_text_are_an_error_without_other_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(b"N,D\n1,2\n3\xec\xff\n")
    with pytest.raises(InputError, match="not UTF-8 text: save it as UTF-8"):
        load_table(path)
    assert capfd.readouterr().err == ""
    rows = "".join(f"{row},{'é' * 40}\n" for row in range(1, 1001))  # a letter lies across the end of the head
    for shift in ("", "x"):
        path.write_text(f"N,name{shift}\n{rows}", encoding="utf-8")
        assert len(load_table(path)) == 1000


def test_text_in_parquet_is_read_like_csv_and_true_is_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "points.parquet"
    parquet.write_table(pa.table({"N": ["1e6", "2e6"], "D": [2e7, 4e7], "loss": [3.5, 3.25]}), path)
    assert load_table(path).columns["N"].tolist() == [1e6, 2e6]
    parquet.write_table(pa.table({"N": [True, True], "D": [2e7, 4e7], "loss": [3.5, 3.25]}), path)
    with pytest.raises(InputError, match="row 1, column N: 'true' is not a number"):
        load_table(path)


@pytest.mark.skipif(not PUBLIC_DATA.is_dir(), reason="the public tables are not beside the project")
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
    table = load_table(PUBLIC_DATA / name, columns=columns, where="loss > 0")
    assert rows is None or len(table) == rows


@pytest.mark.skipif(not PUBLIC_DATA.is_dir(), reason="the public tables are not beside the project")
def test_overflowed_public_column_is_an_error_when_a_law_reads_it() -> None:
    table = load_table(PUBLIC_DATA / "gadre_overtrain/flat_104_models.csv", columns="loss=loss_c4_val")
    with pytest.raises(InputError, match=r"row 1, column C is -8\.6"):
        table.require("C")


@pytest.mark.parametrize(
    ("header", "name", "meant"),
    [("n,d,Loss", "N", "n"), (" Params,tokens,loss", "params", "Params"), ("x,y,z", "N", "")],
)
def test_missing_column_error_suggests_a_similar_name(tmp_path: Path, header: str, name: str, meant: str) -> None:
    table = load_table(csv(tmp_path, f"{header}\n1e6,2e7,3.5\n"), where=None)
    message = rf"name it with columns=..., such as {name}=COLUMN" + (rf"; did you mean {meant}\?" if meant else "$")
    with pytest.raises(InputError, match=message):
        table.require(name)
    with pytest.raises(InputError, match=message):
        require_columns(replace(get_law("chinchilla"), columns=(name,)), table.columns)
