"""The report: what is on the page, that it needs nothing else, and that equal data give equal bytes."""

import argparse
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from tests.support.html_page import read
from tests.support.paths import ROOT
from windtunnel.analysis.comparison.backtest import Ranked, Ranking
from windtunnel.analysis.compute_optimal.isoflop import fit_isoflop
from windtunnel.analysis.fitting.fit import fit
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.laws import law
from windtunnel.analysis.prediction.predict import Prediction, predict
from windtunnel.analysis.prediction.score import Outcome, Score, outcome
from windtunnel.analysis.prediction.seal import read_sealed, seal
from windtunnel.analysis.report.figures.fitted_rows import fitted_rows
from windtunnel.analysis.report.figures.profile_curves import profile_curves
from windtunnel.analysis.report.figures.profile_figure import profile_figure
from windtunnel.analysis.report.figures.residual_figure import residual_figure
from windtunnel.analysis.report.figures.style import short
from windtunnel.analysis.report.headline import headline
from windtunnel.analysis.report.known_entropy import known_entropy
from windtunnel.analysis.report.load_scores import read_outcomes
from windtunnel.analysis.report.report import Report, write_report
from windtunnel.analysis.tables.table import Table, load_table
from windtunnel.sweeps.cli import report as report_command
from windtunnel.train.errors import InputError

# The drawings take seconds: one worker draws them once.
pytestmark = pytest.mark.xdist_group("report")

TRUTH = {"E": 1.5, "A": 60.0, "B": 120.0, "alpha": 0.3, "beta": 0.32}
HOSTILE = "<script>alert('x')</script> $x$ & \"quoted\""
BUDGETS, SIZES = 4, 6


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Curves of equal compute, so that every figure has something to show; two rows of each run share noise."""
    generator = np.random.default_rng(3)
    lines = ["run,N,D,loss,rate,<b>column"]
    for budget in range(BUDGETS):
        flops = 2e15 * 4.0**budget
        for size in (np.geomspace(0.15, 6.0, SIZES) * np.sqrt(flops / 6 / 20)).tolist():
            tokens = flops / (6 * size)
            loss = 1.5 + 60 * size**-0.3 + 120 * tokens**-0.32
            loss *= float(np.exp(0.002 * generator.standard_normal()))
            name = HOSTILE.replace('"', '""') if len(lines) == 1 else f"run {len(lines) // 2}"
            lines.append(f'"{name}",{size!r},{tokens!r},{loss!r},0.01,text')
    path = tmp_path_factory.mktemp("report") / "points.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def table(source: Path) -> Table:
    return load_table(source)


@pytest.fixture(scope="module")
def found(table: Table) -> Fit:
    return fit(table, law("chinchilla"))


def made(found: Fit, **changes: object) -> Prediction:
    one = predict(found, {"N": 1e8, "D": 2e9}, rivals=False)
    return Prediction(**{**vars(one), "sealed": "ab" * 32, "time": "2026-01-01T00:00:00Z", **changes})


@pytest.fixture(scope="module")
def report(table: Table, found: Fit) -> Report:
    ranked = [
        Ranked("chinchilla", 0.012, 0.031, 0.92, "converged", 0.05, 5, False),
        Ranked("power:C", 0.024, 0.06, 0.5, "edge", 0.2, 3, True),
        Ranked("constant", None, None, None, "too_few_points", None, 1, True, "too few"),
    ]
    prediction = made(found)
    loss = prediction.loss * 1.01
    measured = Outcome("seed 0", loss, 100 * (prediction.loss / loss - 1), 0.2, 1.0, True)
    return Report(
        table,
        (found,),
        ranking=Ranking(tuple(ranked), ((12, 12, 1e16, 3e16),), ("a note of the ranking",)),
        isoflop=fit_isoflop(table, replicates=50),
        predictions=(prediction,),
        scores=(Score(prediction, "runs", measured, (measured,), ()),),
        notes=("a note of the study",),
        commit="0" * 40,
    )


@pytest.fixture(scope="module")
def folder(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("written")
    write_report(report, place)
    return place


def test_a_known_entropy_is_held_against_the_floor(table: Table, found: Fit) -> None:
    low, high = found.intervals["E"]
    for entropy, where in ((0.5 * (low + high), "inside"), (high + 0.01, "OUTSIDE")):
        known = Table.of({**table.columns, "entropy": np.full(len(table), entropy)})
        told = headline(known, found, [], [])[-1]
        assert f"{entropy:.6f} nats per token: {where} the 95 % interval" in told
        drawing = profile_figure(found, known_entropy(known, found))
        assert drawing is not None
        assert told in drawing.caption
        assert told.startswith("The entropy of the source is")  # a rate, whatever the windows
        windows = {"entropy_rate": known.columns["entropy"] - 0.01, "sequence_length": np.full(len(table), 128.0)}
        told = headline(Table.of({**known.columns, **windows}), found, [], [])[-1]
        assert told.startswith(
            f"The entropy of the source, read in windows of 128 tokens, is {entropy:.6f} nats per token"
        )
    mixed = Table.of({**table.columns, "entropy": np.arange(1.0, len(table) + 1)})
    assert known_entropy(mixed, found) is None
    assert known_entropy(table, found) is None


def test_a_profile_crosses_one_where_its_interval_ends(found: Fit) -> None:
    for curve in profile_curves(found):
        assert not curve.not_identified
        lowest = int(np.argmin(curve.rise_G))
        for side, end in ((slice(None, lowest + 1), curve.interval[0]), (slice(lowest, None), curve.interval[1])):
            root_G = np.sqrt(np.maximum(curve.rise_G[side], 0.0))
            order = np.argsort(root_G)
            assert np.interp(1.0, root_G[order], np.log(curve.value_G[side][order])) == pytest.approx(
                np.log(end), abs=0.04 * np.log(curve.interval[1] / curve.interval[0])
            )


def test_the_page_is_whole_and_needs_nothing_else(folder: Path) -> None:
    page = read(folder)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {reference[:1] for reference in page.references} == {"#"}
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    text = (folder / "report.html").read_text()
    assert "@import" not in text
    addresses = set(re.findall(r"https?://[^\"' <]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_every_figure_is_on_the_page_and_a_file(folder: Path) -> None:
    names = {"loss", "predictions", "backtest", "residuals", "profiles", "isoflop"}
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{n}.{s}" for n in names for s in ("svg", "png")}
    page = read(folder)
    assert page.tags.count("figure") == page.tags.count("figcaption") == page.tags.count("svg") == len(names)
    for name in names:
        root = ElementTree.fromstring((folder / "figures" / f"{name}.svg").read_text())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert len(root.findall(".//{http://www.w3.org/2000/svg}text")) > 5  # text is text
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_headline_is_the_scored_prediction(folder: Path, report: Report) -> None:
    text = " ".join(read(folder).text)
    prediction = report.predictions[0]
    first = report.document()["headline"][0]
    assert first in text
    assert f"predicted {prediction.loss:.5g}" in first
    assert f"measured {prediction.loss * 1.01:.5g}" in first
    assert "0.9901" in first
    assert "inside the interval" in first
    assert "a note of the study" in text
    assert "A note of the ranking" in text


def test_numbers_of_the_captions_are_those_of_the_fit(folder: Path, found: Fit) -> None:
    text = " ".join(read(folder).text)
    low, high = found.intervals["alpha"]
    assert f"alpha {found.parameters['alpha']:.4g} [{low:.4g}, {high:.4g}]" in text


def test_hostile_names_are_text(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "<script" not in text
    assert "<b>" not in text


def test_hostile_names_in_a_figure_are_text() -> None:
    sizes, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 3e7, 4), np.geomspace(2e7, 2e9, 3)))
    columns = {"N": sizes, "D": tokens}
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(12))
    columns["loss"] = law("chinchilla").predict_one(TRUTH, columns) * noise
    names = ["</i><script>", "$\\frac{1}{", "c", "d", "e", "f"]
    table = Table.of(columns, run=[names[row % 6] for row in range(12)], source=HOSTILE)
    drawing = residual_figure(found := fit(table, law("chinchilla"), profile=False), fitted_rows(table, found))
    assert drawing is not None
    root = ElementTree.fromstring(drawing.svg)
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(names) <= texts  # no formula and no element: the names as they are
    assert "<script" not in drawing.inline()


def test_equal_data_give_equal_bytes(report: Report, folder: Path, tmp_path: Path) -> None:
    """Here and in another process, whose sets are in another order."""
    script = (
        "import pickle, sys; from pathlib import Path; from windtunnel.analysis.report.report import write_report\n"
        "write_report(pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))\n"
    )
    (tmp_path / "report.pickle").write_bytes(pickle.dumps(report))
    words = [sys.executable, "-c", script, str(tmp_path / "report.pickle"), str(tmp_path / "there")]
    subprocess.run(words, check=True, env={**os.environ, "PYTHONHASHSEED": "1"}, cwd=ROOT)
    here, there = (
        {path.relative_to(place): path for path in place.rglob("*.*")} for place in (folder, tmp_path / "there")
    )
    assert set(here) == set(there)
    assert len(here) == 13
    assert [name for name in here if here[name].read_bytes() != there[name].read_bytes()] == []


def run_with(*words: str) -> int:
    parser = argparse.ArgumentParser()
    report_command.add_arguments(parser)
    return report_command.run(parser.parse_args(words))


def test_a_refused_fit_is_a_report_that_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "one_size.csv"
    source.write_text("N,D,loss\n" + "".join(f"1e6,{2.0**k * 1e7},{3 * 0.95**k}\n" for k in range(8)))
    out = tmp_path / "out"
    stale = out / "figures" / "profiles.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier report")
    assert run_with(str(source), "--out", str(out), "--json", str(tmp_path / "report.json")) == 2
    captured = capsys.readouterr()
    assert "refused (one_size)" in captured.err
    assert "wrote" in captured.out
    assert not stale.exists()
    text = " ".join(read(out).text)
    assert "The fit of chinchilla was refused (one_size): every point has" in text
    assert "Not here: the fit was refused (one_size)." in text
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["refused"] is True
    assert {each["key"]: each["verdict"] for each in document["checklist"]}["objective"] == "caution"
    assert document["files"][0].endswith("report.html")


def test_bad_requests_are_one_line(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    with pytest.raises(SystemExit):
        run_with(str(source), "--out", str(occupied))
    assert "file is a file; name a folder" in capsys.readouterr().err
    with pytest.raises(InputError, match="no such file"):
        run_with(str(source), "--prediction", str(tmp_path / "nothing.json"))
    with pytest.raises(InputError, match="not JSON"):
        run_with(str(source), "--score", str(occupied))
    score = tmp_path / "score.json"
    score.write_text(json.dumps({"sealed": "cd" * 32}))
    with pytest.raises(InputError, match="add its file with --prediction"):
        run_with(str(source), "--score", str(score))
    with pytest.raises(InputError, match="name each law once"):
        run_with(str(source), "--laws", "kaplan,kaplan")
    with pytest.raises(InputError, match="no law named"):
        run_with(str(source), "--law", "nothing")
    for law_options in (["--law", "data-constrained"], ["--laws", "kaplan,data-constrained"]):
        with pytest.raises(InputError, match="law data-constrained needs the column U"):
            run_with(str(source), *law_options, "--out", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_predictions_and_scores_are_read_with_care(found: Fit, table: Table, tmp_path: Path) -> None:
    sealed = read_sealed(seal(predict(found, {"N": 1e8, "D": 2e9}, rivals=False), found, tmp_path, results=[]))
    path = next(tmp_path.glob("prediction-*.json"))
    outcomes = tuple(outcome(sealed, f"seed {number}", loss, 0.002) for number, loss in enumerate((2.0, 2.1)))
    right = Score(sealed, "runs", outcome(sealed, "mean", 2.05, 0.002), outcomes, ()).document()
    file = tmp_path / "score.json"

    def read_with(**changes: object) -> tuple[Score, ...]:
        file.write_text(json.dumps({**right, **changes}))
        return read_outcomes([path], [file])[1]

    assert read_with()[0].document() == right
    for changes in ({"inside_90": True}, {"observed": 2.04}, {"error_percent": 0.1}, {"error_interval_widths": 0.1}):
        with pytest.raises(InputError, match="do not follow from its losses"):
            read_with(**changes)
    flattered = [{**vars(outcomes[0]), "inside_90": True}, vars(outcomes[1])]
    with pytest.raises(InputError, match="do not follow from its losses"):
        read_with(runs=flattered)
    for changes in ({"runs": []}, {"runs": [{"run": "a"}]}, {"observed": "2"}, {"notes": 3}, {"error_seed_noise": "a"}):
        with pytest.raises(InputError, match="not a score"):
            read_with(**changes)
    read_with()
    with pytest.raises(InputError, match="a second score of one prediction"):
        read_outcomes([path], [file, file])
    with pytest.raises(InputError, match="this prediction is given twice"):
        read_outcomes([path, path], [])
    for changes in ({"loss": -3.0}, {"at": {"N": -1.0, "D": 1e9}}, {"interval_90": [3.0, 2.0]}):
        file.write_text(json.dumps({**sealed.document(), "sealed": None, **changes}))
        with pytest.raises(InputError, match="not a prediction"):
            read_outcomes([file], [])
    file.write_text("[" * 100_000)
    with pytest.raises(InputError, match="not JSON"):
        read_outcomes([file], [])


def test_a_prediction_of_another_table_is_told(found: Fit, table: Table) -> None:
    predictions = (made(found),)
    assert report_command.notes_of_other_tables(predictions, table) == ()
    (note,) = report_command.notes_of_other_tables(predictions, table.take(np.arange(10)))
    assert f"predicted by a fit of another table, {len(table)} points of " in note


def test_a_number_just_below_a_power_of_ten_reads_as_one() -> None:
    assert [short(each, "C") for each in (9.999e14, 1e15, 1.2e18, 9.97e14)] == ["10¹⁵", "10¹⁵", "1.2×10¹⁸", "9.97×10¹⁴"]


def test_a_fit_of_another_table_is_refused(found: Fit, table: Table, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another table"):
        write_report(Report(table.take(np.arange(10)), (found,)), tmp_path)


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage")
# Runs in a copy of the page: what sticks out of the window, and how wide the figures are.
MEASURE = """<script>
const wide = [...document.querySelectorAll('svg, table, h1, p, figcaption')].filter(
  each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(each => each.tagName);
const small = [...document.querySelectorAll('figure svg')].filter(each => each.getBoundingClientRect().width < 500);
document.body.dataset.wide = wide.join(' ') || 'none';
document.body.dataset.small = small.length;
const thin = [...document.querySelectorAll('caption, td, th, p, figcaption')].filter(
  each => each.getClientRects().length && each.getBoundingClientRect().width < 30).map(each => each.tagName);
document.body.dataset.thin = thin.join(' ') || 'none';
document.body.dataset.scrolls = document.documentElement.scrollWidth > document.documentElement.clientWidth;
document.body.dataset.figures = document.querySelectorAll('figure svg').length;
</script></body>"""


def shown_by_a_browser(text: str, width: int, place: Path) -> str:
    """The document as a browser has it after `MEASURE`, in a window of that width."""
    assert BROWSER is not None
    copy = place / "measured.html"
    copy.write_text(text.replace("</body>", MEASURE))
    words = [BROWSER, *FLAGS, f"--user-data-dir={place / 'profile'}", f"--window-size={width},1000", "--dump-dom"]
    return subprocess.run([*words, copy.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: the page is not looked at in a browser")
def test_a_browser_shows_it_within_a_sheet_of_paper(folder: Path, report: Report, tmp_path: Path) -> None:
    text = (folder / "report.html").read_text()
    # The width of A4 less its margins, under the rules for paper.
    shown = shown_by_a_browser(text.replace("@media print", "@media screen"), 680, tmp_path)
    assert 'data-wide="none"' in shown
    assert 'data-small="0"' in shown
    assert 'data-figures="6"' in shown
    assert 'data-thin="none"' in shown
    assert f"predicted {report.predictions[0].loss:.5g}" in shown


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: the page is not looked at in a browser")
def test_a_narrow_window_scrolls_figures_and_tables_not_the_page(folder: Path, tmp_path: Path) -> None:
    shown = shown_by_a_browser((folder / "report.html").read_text(), 500, tmp_path)
    assert 'data-scrolls="false"' in shown
    assert 'data-small="0"' in shown
    assert 'data-thin="none"' in shown


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: the page is not looked at in a browser")
def test_printed_sections_flow_over_the_pages(folder: Path, tmp_path: Path) -> None:
    """Five sheets of A4, or six in other fonts; sections kept whole with their figures leave gaps, and take 8."""
    assert BROWSER is not None
    paper = tmp_path / "report.pdf"
    words = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={paper}"]
    words.append((folder / "report.html").as_uri())
    subprocess.run(words, capture_output=True, timeout=120, check=True)
    assert len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 6
