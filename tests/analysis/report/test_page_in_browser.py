"""The pages in a browser: what comes first, what is folded, narrow windows and paper."""

from pathlib import Path

import pytest

from tests.support.html_page import A4_WIDTH, BROWSER, measure, print_page
from tests.support.synthetic_curve_study import make_curve_report
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.report.write import write_curve_report

pytestmark = [
    pytest.mark.xdist_group("report"),
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]
MAX_SHEETS = 6  # with folded parts the reports take 2


@pytest.fixture(scope="module")
def curve_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("curves")
    write_curve_report(make_curve_report(place / "sealed"), place)
    return place


@pytest.fixture(params=["report", "curves"])
def page(request: pytest.FixtureRequest, folder: Path, curve_folder: Path) -> Path:
    return (folder if request.param == "report" else curve_folder) / f"{request.param}.html"


@pytest.mark.slow
def test_headline_and_its_figure_come_first_and_details_are_folded(page: Path, tmp_path: Path) -> None:
    shown = measure(page.read_text(), 1100, tmp_path)
    assert 'data-lead-first="true"' in shown
    num_parts = page.read_text().count("<details")
    assert num_parts > 2
    assert f'data-folded="{num_parts}"' in shown


@pytest.mark.slow
def test_headline_and_figure_fit_in_one_window(folder: Path, prediction: Prediction, tmp_path: Path) -> None:
    shown = measure((folder / "report.html").read_text(), 1100, tmp_path)
    assert 'data-lead-seen="true"' in shown
    assert f"predicted {prediction.loss:.5g}" in shown


@pytest.mark.slow
def test_sheet_of_paper_shows_every_part_within_its_width(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    shown = measure(text.replace("@media print", "@media screen"), A4_WIDTH, tmp_path)
    assert 'data-folded="0"' in shown
    assert 'data-wide="none"' in shown
    assert 'data-small="0"' in shown
    assert 'data-thin="none"' in shown
    assert f'data-figures="{text.count("<figure")}"' in shown


@pytest.mark.slow
def test_narrow_window_scrolls_figures_and_tables_not_the_page(page: Path, tmp_path: Path) -> None:
    shown = measure(page.read_text(), 500, tmp_path, open_parts=True)
    assert 'data-scrolls="false"' in shown
    assert 'data-small="0"' in shown
    assert 'data-thin="none"' in shown


@pytest.mark.slow
def test_printing_opens_the_details_and_fills_its_sheets(page: Path, tmp_path: Path) -> None:
    """Parts that did not open would take two or three sheets; parts kept whole with their figures leave gaps."""
    assert 4 <= print_page(page, tmp_path) <= MAX_SHEETS
