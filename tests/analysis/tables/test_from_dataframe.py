"""DataFrames of pandas and polars as tables: equal to the same rows in a CSV file, and one-line errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.support.run_records import record, write
from windtunnel.analysis.tables.load import load_table
from windtunnel.train.errors import InputError

ROWS: dict[str, list[Any]] = {
    "params": [1_000_000, 2_000_000, 2_000_000, 4_000_000],
    "tokens": [2e7, 2e7, 4e7, 1 / 3 * 1e8],
    "val_loss": [3.5, 3.25, None, 3.1],
    "seed": [0, 0, 0, 0],
    "optimizer": ["adam", "adam", "muon", None],
    "status": ["finished", "finished", "finished", "crashed"],
}
COLUMNS = "N=params,D=tokens,loss=val_loss"


def polars_frame(rows: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("polars").DataFrame(rows)


FRAMES = {"pandas": pd.DataFrame, "polars": polars_frame, "arrow": pa.table}


@pytest.mark.parametrize("library", FRAMES)
def test_dataframe_gives_the_table_of_its_csv_file(tmp_path: Path, library: str) -> None:
    pd.DataFrame(ROWS).to_csv(tmp_path / "rows.csv", index=False)
    options: dict[str, Any] = {"columns": COLUMNS, "exclude": ["row 3=it was never evaluated"], "where": "N > 1e5"}
    expected = load_table(tmp_path / "rows.csv", **options)
    table = load_table(FRAMES[library](ROWS), **options)
    assert table.digest == expected.digest
    assert len(table) == 2
    assert (table.excluded, table.notes) == (expected.excluded, expected.notes)
    assert table.label.tolist() == ["row 1", "row 2"]
    assert table.units == expected.units
    assert table.source == "DataFrame"


@pytest.mark.parametrize("library", FRAMES)
def test_dataframe_error_names_row_and_column(library: str) -> None:
    with pytest.raises(InputError, match=r"^DataFrame: row 3, column loss is missing or not a number"):
        load_table(FRAMES[library](ROWS), columns=COLUMNS)
    with pytest.raises(InputError, match=r"^DataFrame: no rows below its header \(N\)$"):
        load_table(FRAMES[library]({"N": []}))


@pytest.mark.parametrize("library", FRAMES)
def test_text_is_parsed_as_in_a_csv_file(library: str) -> None:
    rows = {"N": ["1e6", " 2e6 "], "D": [2e7, 4e7], "loss": ["3.5", "NaN"], "tuned": [True, False]}
    table = load_table(FRAMES[library](rows), where="not isnan(loss)")
    assert (table.columns["N"].tolist(), table.columns["loss"].tolist()) == ([1e6], [3.5])
    assert table.columns["tuned"].tolist() == ["true"]
    categories = pd.DataFrame(rows).astype({"N": "category"})
    assert load_table(categories, where="not isnan(loss)").digest == table.digest


def test_columns_may_be_a_mapping() -> None:
    frame = pd.DataFrame(ROWS).rename(columns={"val_loss": "loss, validation"})
    mapping = {"N": "params", "D": "tokens*2", "loss": "loss, validation"}
    table = load_table(frame, columns=mapping, exclude=["row 3=no loss"])
    text = load_table(frame, columns="N=params,D=tokens*2,loss=`loss, validation`", exclude=["row 3=no loss"])
    assert table.digest == text.digest
    assert table.column_mapping == text.column_mapping == "N=params,D=tokens*2,loss=`loss, validation`"
    with pytest.raises(InputError, match="write NAME=COLUMN"):
        load_table(frame, columns={"not a name": "params"})


def test_pandas_index_is_a_column_only_if_it_has_a_name() -> None:
    frame = pd.DataFrame({"N": [1e6, 2e6, 3e6], "D": 2e7, "loss": [3.5, 3.2, 3.1]}, index=["a", "b", "c"])
    assert list(load_table(frame[frame.N > 1e6]).columns) == ["N", "D", "loss", "C", "M"]
    assert load_table(frame.rename_axis("run")).run.tolist() == ["a", "b", "c"]


def test_to_pandas_gives_a_frame_that_loads_as_the_same_table(tmp_path: Path) -> None:
    for seed in (0, 1):
        for steps in (1000, 2000):
            write(tmp_path, record(steps=steps, seed=seed, loss=3.0 + seed / 10 - steps / 1e4))
    table = load_table(tmp_path)
    frame = table.to_pandas()
    assert frame.index.tolist() == table.label.tolist() == frame["run"].tolist()
    assert frame["trunk"].tolist() == table.run.tolist()
    assert frame["loss"].to_numpy().tolist() == table.columns["loss"].tolist()
    again = load_table(frame)
    assert again.digest == table.digest
    assert [group.tolist() for group in again.seed_groups()] == [group.tolist() for group in table.seed_groups()]
    assert load_table(pd.DataFrame(ROWS), columns=COLUMNS, where="loss > 0").to_pandas().shape == (2, 11)


@pytest.mark.parametrize(
    "source", [{"N": [1e6]}, [1, 2], None, np.zeros(3), 5], ids=["dict", "list", "None", "array", "number"]
)
def test_unsupported_object_is_a_one_line_error(source: Any) -> None:
    with pytest.raises(InputError, match=r"no table can be read from .*; give a path, .* or a DataFrame") as error:
        load_table(source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"N": [1e6, "oops"], "D": [1e7, 1e7]}, dtype=object), "cannot be converted to Arrow: .*column N"),
        (pd.DataFrame([[1e6, 2e6]], columns=["N", "N"]), "cannot be converted to Arrow: .*[Dd]uplicate column"),
        (pa.table([[1e6], [2e6]], names=["N", "N"]), "two columns are named N"),
    ],
)
def test_dataframe_that_cannot_be_read_is_a_one_line_error(frame: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"DataFrame: {message}") as error:
        load_table(frame)
    assert "\n" not in str(error.value)


def test_polars_lazy_frame_and_series_are_one_line_errors() -> None:
    polars = pytest.importorskip("polars")
    for source in (polars.LazyFrame({"N": [1e6]}), polars.Series("N", [1e6])):
        with pytest.raises(InputError) as error:
            load_table(source)
        assert "\n" not in str(error.value)
