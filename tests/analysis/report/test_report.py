"""A report on final losses: headline, page and figures; equal data give equal bytes."""

import argparse
import json
import os
import pickle
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.html_page import Page
from tests.support.paths import ROOT
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws.catalog import get_law
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.report.build import other_table_notes
from windtunnel.analysis.report.figures.fitted_rows import fitted_rows
from windtunnel.analysis.report.figures.loss_lines import path_line
from windtunnel.analysis.report.figures.profile_curves import profile_curves
from windtunnel.analysis.report.figures.profile_figure import profile_figure
from windtunnel.analysis.report.figures.residual_figure import residual_figure
from windtunnel.analysis.report.files import FIGURE_NAMES
from windtunnel.analysis.report.headline import fit_sentences, headline
from windtunnel.analysis.report.known_entropy import known_entropy
from windtunnel.analysis.report.report import Report
from windtunnel.analysis.report.write import write_report
from windtunnel.analysis.tables.table import Table
from windtunnel.sweeps.cli import report as report_command
from windtunnel.train.errors import InputError

# The figures take seconds: one worker draws them once.
pytestmark = pytest.mark.xdist_group("report")

TRUTH = {"E": 1.5, "A": 60.0, "B": 120.0, "alpha": 0.3, "beta": 0.32}


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(folder / "report.html")


@pytest.mark.slow
def test_known_entropy_is_compared_with_the_irreducible_loss(table: Table, chinchilla: Fit) -> None:
    low, high = chinchilla.intervals["E"]
    for entropy, position in ((0.5 * (low + high), "inside"), (high + 0.01, "OUTSIDE")):
        known = Table.from_columns({**table.columns, "entropy": np.full(len(table), entropy)})
        sentence = headline(known, chinchilla, [], [])[0]
        assert f"{entropy:.6f} nats per token: {position} the 95 % interval" in sentence
        figure = profile_figure(chinchilla, known_entropy(known, chinchilla))
        assert figure is not None
        assert sentence in figure.caption
        assert sentence.startswith("The entropy of the source is")  # a rate, whatever the windows
        windows = {"entropy_rate": known.columns["entropy"] - 0.01, "sequence_length": np.full(len(table), 128.0)}
        sentence = headline(Table.from_columns({**known.columns, **windows}), chinchilla, [], [])[0]
        assert sentence.startswith(
            f"The entropy of the source, read in windows of 128 tokens, is {entropy:.6f} nats per token"
        )
    mixed = Table.from_columns({**table.columns, "entropy": np.arange(1.0, len(table) + 1)})
    assert known_entropy(mixed, chinchilla) is None
    assert known_entropy(table, chinchilla) is None


def test_without_predictions_the_headline_is_that_at_ten_times_the_compute(report: Report) -> None:
    without = replace(report, predictions=(), scores=())
    outlook = without.outlook
    assert outlook is not None
    assert outlook.extrapolation["C"] == pytest.approx(10.0)
    first = without.headline[0]
    assert first.startswith(f"chinchilla predicts {outlook.loss:.5g}")
    assert first.endswith("10 times the largest compute of the data.")
    assert report.outlook is None


def test_parameter_that_is_not_identified_is_named(table: Table, chinchilla: Fit) -> None:
    one = replace(chinchilla, status="not_identified", not_identified=("E",))
    assert fit_sentences(table, one, None)[-1].endswith(
        "; E is not identified: its profile likelihood is unbounded on one side."
    )
    two = replace(one, not_identified=("A", "E"))
    assert "A and E are not identified: their profile likelihoods are" in fit_sentences(table, two, None)[-1]


def test_path_of_the_main_figure_ends_at_the_prediction(report: Report, prediction: Prediction) -> None:
    line = path_line(report.fit, fitted_rows(report.table, report.fit), prediction.at)
    assert line is not None
    assert line.loss_G[-1] == pytest.approx(prediction.loss)
    assert (line.low_G[-1], line.high_G[-1]) == pytest.approx(prediction.interval_90)
    assert line.columns["C"][0] == pytest.approx(report.table.columns["C"].min())
    assert line.columns["C"][-1] == pytest.approx(6 * 1e8 * 2e9)


@pytest.mark.slow
def test_profile_crosses_one_where_its_interval_ends(chinchilla: Fit) -> None:
    for curve in profile_curves(chinchilla):
        assert not curve.not_identified
        lowest = int(np.argmin(curve.rise_G))
        for side, end in ((slice(None, lowest + 1), curve.interval[0]), (slice(lowest, None), curve.interval[1])):
            root_G = np.sqrt(np.maximum(curve.rise_G[side], 0.0))
            order = np.argsort(root_G)
            assert np.interp(1.0, root_G[order], np.log(curve.value_G[side][order])) == pytest.approx(
                np.log(end), abs=0.04 * np.log(curve.interval[1] / curve.interval[0])
            )


@pytest.mark.slow
def test_page_is_whole_and_needs_nothing_else(folder: Path, page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert {reference[:1] for reference in page.references} == {"#"}
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    text = (folder / "report.html").read_text()
    assert "@import" not in text
    addresses = set(re.findall(r"https?://[^\"' <]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.mark.slow
def test_every_figure_is_on_the_page_and_a_file(folder: Path, page: Page) -> None:
    names = {"headline", "loss", "predictions", "backtest", "residuals", "profiles", "isoflop"}
    assert names == set(FIGURE_NAMES)
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{n}.{s}" for n in names for s in ("svg", "png")}
    assert page.tags.count("figure") == page.tags.count("figcaption") == page.tags.count("svg") == len(names)
    for name in names:
        root = ElementTree.fromstring((folder / "figures" / f"{name}.svg").read_text())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert len(root.findall(".//{http://www.w3.org/2000/svg}text")) > 5  # text is text
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_headline_is_the_scored_prediction(page: Page, report: Report, prediction: Prediction) -> None:
    text = page.text
    first = report.to_dict()["headline"][0]
    assert first in text
    assert f"predicted {prediction.loss:.5g}" in first
    assert f"measured {prediction.loss * 1.01:.5g}" in first
    assert "0.9901" in first
    assert "inside the interval" in first
    assert "N = 100M, D = 2B" in first
    assert "error -0.99 %" in first
    assert "a note of the study" in text
    assert "A note of the ranking" in text


def test_numbers_of_the_captions_are_those_of_the_fit(page: Page, chinchilla: Fit) -> None:
    low, high = chinchilla.intervals["alpha"]
    assert f"alpha {chinchilla.parameters['alpha']:.4g} [{low:.4g}, {high:.4g}]" in page.text


@pytest.mark.slow
def test_every_row_of_a_table_names_its_law(page: Page, report: Report, prediction: Prediction) -> None:
    rows = {(row[0], row[1]): row for row in page.rows}
    predicted = rows["chinchilla", "N = 100M, D = 2B"]
    assert predicted[2:] == [
        f"{prediction.loss:.4f}",
        "[{:.4f}, {:.4f}]".format(*prediction.interval_90),
        f"{prediction.loss * 1.01:.4f}",
        "-0.99 %",
        "yes",
    ]
    for name, value in report.fit.parameters.items():
        assert float(rows["chinchilla", name][2].replace(",", "")) == pytest.approx(value, rel=1e-3)


def test_details_are_folded_with_their_result_in_the_summary(page: Page) -> None:
    assert page.parts == [
        "Predictions by law",
        "Loss against size, data and compute",
        "Backtest on held-out larger runs",
        "Residuals",
        "Profile likelihood of the parameters",
        "Curves of equal compute",
        "Checklist",
        "Data, exclusions and notes",
    ]
    assert "1 of 1 inside the 90 % interval" in page.text
    assert "5 of 5 parameters are identified" in page.text
    assert "best: chinchilla, mean error 1.2 %" in page.text


def test_hostile_names_are_text(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "<script" not in text
    assert "<b>" not in text


@pytest.mark.slow
def test_hostile_names_in_a_figure_are_text(hostile: str) -> None:
    sizes, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 4), np.geomspace(2e7, 2e9, 3)))
    columns = {"N": sizes, "D": tokens}
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(12))
    columns["loss"] = get_law("chinchilla").predict_one(TRUTH, columns) * noise
    names = ["</i><script>", "$\\frac{1}{", "c", "d", "e", "f"]
    table = Table.from_columns(columns, run=[names[row % 6] for row in range(12)], source=hostile)
    result = fit(table, get_law("chinchilla"), profile=False)
    figure = residual_figure(result, fitted_rows(table, result))
    assert figure is not None
    root = ElementTree.fromstring(figure.svg)
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(names) <= texts  # no formula and no element: the names as they are
    assert "<script" not in figure.inline()


@pytest.mark.slow
def test_equal_data_give_equal_bytes(report: Report, folder: Path, tmp_path: Path) -> None:
    """Here and in another process, whose sets are in another order."""
    script = (
        "import pickle, sys; from pathlib import Path; from windtunnel.analysis.report.write import write_report\n"
        "write_report(pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))\n"
    )
    (tmp_path / "report.pickle").write_bytes(pickle.dumps(report))
    words = [sys.executable, "-c", script, str(tmp_path / "report.pickle"), str(tmp_path / "there")]
    subprocess.run(words, check=True, env={**os.environ, "PYTHONHASHSEED": "1"}, cwd=ROOT)
    here, there = (
        {path.relative_to(place): path for path in place.rglob("*.*")} for place in (folder, tmp_path / "there")
    )
    assert set(here) == set(there)
    assert len(here) == 15
    assert [name for name in here if here[name].read_bytes() != there[name].read_bytes()] == []


def run_with(*words: str) -> int:
    parser = argparse.ArgumentParser()
    report_command.add_arguments(parser)
    return report_command.run(parser.parse_args(words))


@pytest.mark.slow
def test_refused_fit_is_a_report_that_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "one_size.csv"
    source.write_text("N,D,loss\n" + "".join(f"1e6,{2.0**k * 1e7},{3 * 0.95**k}\n" for k in range(8)))
    out = tmp_path / "out"
    stale = out / "figures" / "profiles.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier report")
    with pytest.raises(InputError, match=r"refused \(one_size\)"):
        run_with(str(source), "--output", str(out), "--json", str(tmp_path / "report.json"))
    assert "wrote" in capsys.readouterr().out
    assert not stale.exists()
    text = Page(out / "report.html").text
    assert "The fit of chinchilla was refused (one_size): every point has" in text
    assert "Not available: the fit was refused (one_size)." in text
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["refused"] is True
    assert {each["key"]: each["verdict"] for each in document["checklist"]}["objective"] == "caution"
    assert document["files"][0].endswith("report.html")


def test_bad_requests_are_one_line(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    with pytest.raises(SystemExit):
        run_with(str(source), "--output", str(occupied))
    assert "file is a file; name a folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="no such file"):
        run_with(str(source), "--prediction", str(tmp_path / "nothing.json"))
    with pytest.raises(InputError, match="not JSON"):
        run_with(str(source), "--score", str(occupied))
    score = tmp_path / "score.json"
    score.write_text(json.dumps({"sealed": "cd" * 32}))
    with pytest.raises(InputError, match=r"add its file with prediction=\.\.\."):
        run_with(str(source), "--score", str(score))
    with pytest.raises(InputError, match="name each law once"):
        run_with(str(source), "--laws", "kaplan,kaplan")
    with pytest.raises(InputError, match="no law named"):
        run_with(str(source), "--law", "nothing")
    for law_options in (["--law", "data-constrained"], ["--laws", "kaplan,data-constrained"]):
        with pytest.raises(InputError, match="law data-constrained needs the column U"):
            run_with(str(source), *law_options, "--output", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_prediction_of_another_table_has_a_note(prediction: Prediction, table: Table) -> None:
    assert other_table_notes([prediction], table) == ()
    (note,) = other_table_notes([prediction], table.take(np.arange(10)))
    assert f"predicted by a fit of another table, {len(table)} points of " in note


def test_fit_of_another_table_is_refused(chinchilla: Fit, table: Table, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another table"):
        write_report(Report(table.take(np.arange(10)), (chinchilla,)), tmp_path)
