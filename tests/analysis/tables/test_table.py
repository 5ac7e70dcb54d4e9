"""Tables of run records: columns, exclusions with reasons, shared runs, and errors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.paths import ROOT
from tests.support.run_records import SEQUENCE_LENGTH, record, variant, write
from windtunnel.analysis.tables.load import load_table
from windtunnel.analysis.tables.table import Table
from windtunnel.train.errors import InputError


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two sizes, two horizons, two seeds, all finished."""
    for width in (32, 64):
        for steps in (1000, 2000):
            for seed in (0, 1):
                loss = 3.0 - width / 100 - steps / 1e4 + seed / 100
                write(tmp_path, record(width=width, steps=steps, seed=seed, loss=loss))
    return tmp_path


def test_columns_have_units_and_all_conventions(runs: Path) -> None:
    table = load_table(runs)
    content = json.loads((runs / table.columns["run"][0] / "run.json").read_text())
    counts = content["counts"]
    row = {name: values[0] for name, values in table.columns.items()}
    assert len(table) == 8
    assert row["N"] == counts["parameters"]["total"]
    assert row["N_non_embedding"] == counts["parameters"]["non_embedding"]
    assert row["N_non_embedding_and_head"] * 6 == counts["flops_per_token"]["six_n"]
    assert row["D"] == row["U"] == counts["tokens"]
    assert row["C"] == pytest.approx(6 * row["N"] * row["D"], rel=1e-12)
    assert row["C_exact_causal"] == counts["flops"]["exact_causal"]
    assert row["M"] == row["D"] / row["N"]
    assert row["schedule"] == "wsd"
    assert row["loss"] == content["result"]["validation_nats_per_token"]
    assert (table.units["N"], table.units["D"], table.units["loss"]) == ("parameters", "tokens", "nats per token")
    assert all(values.dtype.kind in "fU" for values in table.columns.values())


def test_entropy_is_the_lowest_loss_on_the_windows_of_a_run(tmp_path: Path) -> None:
    def load_with(folder: str, domains: list[dict[str, float | None]]) -> Table:
        write(tmp_path / folder, variant(record(), data={"domains": domains}))
        return load_table(tmp_path / folder)

    domain = {"entropy_nats_per_token": 1.25, "opening_excess_nats": 0.5}
    table = load_with("known", [domain])
    assert table.columns["entropy"].tolist() == [1.25 + 0.5 / SEQUENCE_LENGTH]
    assert table.columns["entropy_rate"].tolist() == [1.25]
    assert table.units["entropy"] == "nats per token, the least that windows allow"
    for folder, old_domain in (
        ("unknown", domain | {"opening_excess_nats": None}),
        ("old", {"entropy_nats_per_token": 1.25}),
    ):
        table = load_with(folder, [old_domain])
        assert table.columns["entropy"].tolist() == [1.25]
        assert "entropy_rate" not in table.columns
        assert table.units["entropy"] == "nats per token"
    assert np.isnan(load_with("mixed", [domain, domain]).columns["entropy"]).all()


def test_entropy_rate_is_missing_for_windows_of_one_token(tmp_path: Path) -> None:
    content = variant(record(), data={"domains": [{"entropy_nats_per_token": 1.25, "opening_excess_nats": 0.5}]})
    content["config"]["data"]["sequence_length"] = 1
    write(tmp_path, content)
    assert "entropy_rate" not in load_table(tmp_path).columns


def test_seeds_are_runs_of_their_own_and_horizons_of_one_seed_share_a_run(runs: Path) -> None:
    table = load_table(runs)
    groups = table.seed_groups()
    assert len(groups) == 4
    assert all(len(group) == 2 for group in groups)
    for group in groups:
        assert len(set(table.columns["loss"][group])) == len(set(table.columns["seed"][group])) == 2
    # 2 sizes x 2 seeds: a run from scratch over another horizon is bitwise a branch of the same trunk.
    assert len(set(table.run)) == 4


def test_branches_share_the_run_of_their_trunk(tmp_path: Path) -> None:
    trunk = write(tmp_path, record(steps=4000, shape="constant", loss=3.0))
    first = write(tmp_path, record(steps=1000, loss=2.9, parent=trunk))
    write(tmp_path, record(steps=2000, loss=2.8, parent=first, data="b" * 64))
    other = write(tmp_path, record(steps=2000, seed=1, loss=2.85))
    table = load_table(tmp_path, allow_mixed=True)
    assert dict(zip(table.columns["run"], table.run, strict=True))[other] == other
    assert sorted(table.run.tolist()) == sorted([trunk, trunk, other])


def test_unfinished_runs_are_excluded_with_a_reason(runs: Path) -> None:
    trunk = write(runs, record(steps=3000, shape="constant"))
    diverged = write(runs, record(steps=3001, status="diverged"))
    stopped = write(runs, record(steps=3002, status="preempted"))
    silent = write(runs, record(steps=3003, loss=None))
    table = load_table(runs)
    reasons = {row.run: row.reason for row in table.excluded}
    assert len(table) == 8
    assert reasons == {
        trunk: "its constant schedule ends before the learning rate has decayed",
        diverged: "diverged at step 17",
        stopped: "preempted, not finished: at step 1501 of 3002",
        silent: "finished without a validation loss",
    }


def test_include_and_exclude_take_reasons(runs: Path) -> None:
    trunk = write(runs, record(steps=3000, shape="constant"))
    diverged = write(runs, record(steps=3001, status="diverged"))
    table = load_table(
        runs,
        include=[f"{trunk}=a constant rate is what is studied", "*=all of them"],
        exclude=["*-s1-*=the second seed ran on a broken machine"],
        allow_mixed=True,
    )
    assert trunk in table.columns["run"]
    assert any("a constant rate is what is studied" in note or "all of them" in note for note in table.notes)
    assert {row.reason for row in table.excluded if "-s1-" in row.run} == {"the second seed ran on a broken machine"}
    assert diverged in {row.run for row in table.excluded}  # without a loss it cannot be included


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": ["nobody=a reason"]}, "no run nobody"),
        ({"exclude": ["*"]}, "without a reason is hindsight"),
        ({"exclude": ["*= "]}, "without a reason"),
        ({"where": "width > 'a'"}, "mixes text and numbers"),
        ({"columns": "N"}, "write NAME=COLUMN"),
        ({"columns": "N=width,N=depth"}, "names N twice"),
        ({"columns": "N=nothing"}, "no column nothing"),
        ({"columns": "N=width-32"}, r"column N is 0: it must be finite, above zero and below 1e\+100"),
        ({"columns": "N=schedule"}, r"column N: .*'wsd'.* is not a number"),
    ],
)
def test_invalid_argument_is_a_one_line_error(runs: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_table(runs, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_condition_that_no_row_meets_is_named(runs: Path) -> None:
    with pytest.raises(InputError, match=r"no rows left to fit; 0 excluded; 8 of 8 rows left out by where: D < 1$"):
        load_table(runs, where="D < 1").require("N")


def test_where_leaves_out_rows_with_a_note(runs: Path) -> None:
    table = load_table(runs, where="D >= 2e6 and seed == 0")
    assert len(table) == 2
    assert table.notes == ("6 of 8 rows left out by where: D >= 2e6 and seed == 0",)


@pytest.mark.parametrize(
    ("change", "column"),
    [({"shape": "cosine"}, "schedule"), ({"data": "b" * 64}, "data")],
)
def test_mixed_rows_are_an_error_or_allowed_on_request(runs: Path, change: dict[str, str], column: str) -> None:
    odd = write(runs, record(steps=5000, **change))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"mixed in column {column} .*such as {odd}.*where=...") as error:
        load_table(runs)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("or pass allow_mixed=True")
    table = load_table(runs, allow_mixed=True)
    assert len(table) == 9
    assert any(f"mixed in column {column}" in note and "on request" in note for note in table.notes)
    assert len(load_table(runs, where="steps != 5000" if column == "steps" else "S != 5000")) == 8


def test_two_records_of_one_run_are_an_error(runs: Path) -> None:
    content = json.loads(next(runs.glob("*/run.json")).read_text())
    write(runs, content, folder="copy")
    with pytest.raises(InputError, match=r"are one run \(equal configuration\)"):
        load_table(runs)


def test_unreadable_record_is_named(runs: Path) -> None:
    (runs / "broken").mkdir()
    (runs / "broken" / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"broken/run\.json: not valid JSON"):
        load_table(runs)
    content = record()
    del content["config"]["schedule"]
    (runs / "broken" / "run.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"broken: its run record is incomplete \(KeyError: 'schedule'\)"):
        load_table(runs)


@pytest.mark.parametrize("place", ["empty", "missing"])
def test_folder_without_runs_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no runs here|no such file or folder"):
        load_table(tmp_path / place)


def test_table_without_rows_is_an_error_when_a_law_reads_it(tmp_path: Path) -> None:
    write(tmp_path, record(status="diverged"))
    table = load_table(tmp_path)
    assert len(table) == 0
    with pytest.raises(InputError, match=r"no rows left to fit; 1 excluded, the first of them .*diverged at step 17"):
        table.require("N")


def test_study_folder_and_single_run_are_sources(runs: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    run = next(runs.glob("*-s0-*"))
    run.rename(study / "run")
    (study / "runs").mkdir()
    (study / "run").rename(study / "runs" / run.name)
    assert len(load_table(study)) == 1
    assert load_table(study / "runs" / run.name).columns["run"].tolist() == [run.name]


def test_mid_run_evaluations_are_rows_with_progress_below_one(tmp_path: Path) -> None:
    losses = {200: 4.0, 400: 3.5, 800: 3.2}
    trunk = write(tmp_path, record(steps=1600, shape="constant", loss=3.0), losses={**losses, 1600: 3.0})
    write(tmp_path, record(steps=1000, loss=2.9, parent=trunk), losses={**losses, 1000: 2.9})
    table = load_table(tmp_path, evaluations="all")
    # Trunk and branch share three evaluations bitwise, which are one row each.
    assert sorted(zip(table.columns["S"], table.columns["decayed"], strict=True)) == [
        (200, 0),
        (400, 0),
        (800, 0),
        (1000, 1),
        (1600, 0),
    ]
    assert len(set(table.run)) == 1
    at_400 = table.select("S == 400")
    whole = table.select("S == 1600")
    assert at_400.label.tolist() == [f"{table.select('S == 200').columns['run'][0]}@400"]
    for name in ("D", "C", "C_exact", "M"):
        assert at_400.columns[name][0] == pytest.approx(whole.columns[name][0] / 4, rel=1e-12)
    assert at_400.columns["loss"][0] == 3.5
    assert any("4 of 5 rows were evaluated before the learning rate had decayed" in note for note in table.notes)
    assert len(load_table(tmp_path)) == 1


def test_digest_is_of_the_content(runs: Path) -> None:
    table = load_table(runs)
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    reversed_columns = Table(
        dict(reversed(list(table.columns.items()))), {}, table.run, table.cell, table.label, "another source"
    )
    assert shuffled.digest == reversed_columns.digest == table.digest
    losses = table.columns["loss"].copy()
    losses[3] = np.nextafter(losses[3], 9)
    changed = Table({**table.columns, "loss": losses}, {}, table.run, table.cell, table.label, "")
    assert changed.digest != table.digest
    assert table.take(np.arange(7)).digest != table.digest
    other_runs = Table(dict(table.columns), {}, table.label, table.cell, table.label, "")
    assert other_runs.digest != table.digest


def test_record_without_a_field_is_read_again_when_it_changes(runs: Path) -> None:
    name = next(runs.glob("*/run.json"))
    before = load_table(runs)
    content = variant(json.loads(name.read_text()), performance=None)
    content["result"]["validation_nats_per_token"] = 1.25
    name.write_text(json.dumps(content))
    after = load_table(runs)
    assert 1.25 in after.columns["loss"]
    assert 1.25 not in before.columns["loss"]


def test_table_loads_without_torch_or_pandas(runs: Path) -> None:
    load_table(runs)
    script = (
        "import sys; from windtunnel.analysis.tables.load import load_table; load_table(sys.argv[1]);"
        "sys.exit(str([name for name in ('torch', 'pandas', 'scipy', 'wandb', 'matplotlib') if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(runs)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[]"
