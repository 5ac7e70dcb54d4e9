"""`windtunnel fit` and `windtunnel laws`: text, JSON and errors."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import NAMES, get_law
from windtunnel.analysis.signed_json import digest_of
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli import fit as fit_command
from windtunnel.sweeps.cli import laws as laws_command
from windtunnel.sweeps.cli.main import main
from windtunnel.train.errors import InputError

TRUTH = {"E": 1.7, "A": 400.0, "B": 900.0, "alpha": 0.34, "beta": 0.31}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    sizes, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 6), np.geomspace(2e7, 2e9, 7)))
    columns = {"N": sizes, "D": tokens}
    loss = get_law("chinchilla").predict_one(TRUTH, columns) * np.exp(
        0.002 * np.random.default_rng(0).standard_normal(42)
    )
    path = tmp_path / "points.csv"
    rows = [f"{n!r},{d!r},{y!r}" for n, d, y in zip(sizes.tolist(), tokens.tolist(), loss.tolist(), strict=True)]
    path.write_text("\n".join(["params,tokens,val", *rows]) + "\n")
    return path


def fit_with(*words: str) -> int:
    parser = argparse.ArgumentParser()
    fit_command.add_arguments(parser)
    return fit_command.run(parser.parse_args(list(words)))


COLUMNS = ("--columns", "N=params,D=tokens,loss=val")


def test_fit_json(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "fit.json"
    words = ("--law", "chinchilla", "--objective", "log-lad", "--bootstrap", "100", "--output", str(output))
    assert fit_with(str(source), *words, *COLUMNS, "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["law"] == "chinchilla"
    assert document["objective"]["name"] == "log-lad"
    assert document["status"] == "converged"
    assert document["num_points"] == 42
    assert document["not_identified"] == []
    assert document["intervals"]["alpha"][0] < 0.34 < document["intervals"]["alpha"][1]
    assert Fit.from_json(output).parameters == document["parameters"]


def test_fit_text(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_with(str(source), "--law", "chinchilla", *COLUMNS) == 0
    shown = capsys.readouterr().out
    assert "status: converged" in shown
    assert "irreducible loss" in shown
    assert "starts agree" in shown


def test_refused_fit_states_the_reason(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    words = (str(source), "--law", "chinchilla", *COLUMNS, "--where", "N < 1.1e6", "--json", str(path))
    with pytest.raises(InputError, match=r"refused \(one_size\): every point has N = 1e\+06"):
        fit_with(*words, "--output", str(tmp_path / "fit.json"))
    assert json.loads(path.read_text())["status"] == "one_size"
    assert Fit.from_json(tmp_path / "fit.json").status == "one_size"
    assert "every point" not in capsys.readouterr().out


def test_fit_invalid_names(source: Path) -> None:
    with pytest.raises(InputError, match="no law named"):
        fit_with(str(source), "--law", "gravity", *COLUMNS)
    with pytest.raises(InputError, match="no objective named"):
        fit_with(str(source), "--law", "chinchilla", "--objective", "luck", *COLUMNS)


def test_fit_does_not_write_over_its_source_or_output(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, text = ("fit", str(source), "--law", "chinchilla", *COLUMNS), source.read_text()
    for name in ("--output", "--json"):
        assert main([*words, name, str(source)]) == 2
        assert "this file is also SOURCE" in capsys.readouterr().err
    one = str(source.with_name("one.json"))
    assert main([*words, "--output", one, "--json", one]) == 2
    assert "this file is also --output" in capsys.readouterr().err
    assert source.read_text() == text


def test_laws_catalog(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    laws_command.add_arguments(parser)
    assert laws_command.run(parser.parse_args([])) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(NAMES)
    assert laws_command.run(parser.parse_args(["overtraining"])) == 0
    assert "Gadre" in capsys.readouterr().out
    assert laws_command.run(parser.parse_args(["--json", "-"])) == 0
    assert [each["law"] for each in json.loads(capsys.readouterr().out)["laws"]] == list(NAMES)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A fit's file."""
    sizes, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 4), np.geomspace(2e7, 2e9, 4)))
    columns = {"N": sizes, "D": tokens}
    loss = get_law("chinchilla").predict_one(TRUTH, columns) * np.exp(
        0.002 * np.random.default_rng(0).standard_normal(16)
    )
    path = tmp_path_factory.mktemp("fit") / "fit.json"
    fit(Table.from_columns({**columns, "loss": loss}), get_law("chinchilla"), profile=False).to_json(path)
    return path.read_text()


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("parameters", "E"), 1.5),
        (("source",), "elsewhere"),
        (("num_points",), 9999),
        (("points", "target", 0), 4.0),
        (("points", "run"), None),
        (("objective", "name"), None),
        (("status",), "converged "),
        (("seed_noise",), 0.5),
        (("certificate",), None),
        (("parameters", "A"), float("nan")),
    ],
)
def test_edited_fit_file_is_rejected(written: str, tmp_path: Path, keys: tuple[Any, ...], value: Any) -> None:
    path = tmp_path / "fit.json"
    path.write_text(written)
    assert Fit.from_json(path).status == "converged"
    for change in ("set", "delete"):
        content = json.loads(written)
        place = content
        for key in keys[:-1]:
            place = place[key]
        if change == "set":
            place[keys[-1]] = value
        else:
            del place[keys[-1]]
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"changed after it was written|not a fit|not JSON"):
            Fit.from_json(path)
    path.write_text(written.replace("{", '{"status": "converged",', 1))
    with pytest.raises(InputError, match="duplicate key 'status'"):
        Fit.from_json(path)


def test_fit_file_of_a_changed_law_is_rejected(written: str, tmp_path: Path) -> None:
    content = json.loads(written)
    content["parameters"]["E"] *= 1.01
    content["digest"] = digest_of(content, "digest")
    (tmp_path / "fit.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="the code of the law has changed"):
        Fit.from_json(tmp_path / "fit.json")
