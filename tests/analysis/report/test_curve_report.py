"""The report of laws of whole curves: its headline and tables, and that equal data give equal bytes."""

import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support.html_page import Page
from tests.support.synthetic_curve_study import (
    FAMILY,
    HELD_OUT,
    SIZES,
    make_curve_report,
    make_schedule,
    make_target,
    make_trained,
)
from windtunnel.analysis.curves.score import BaselineComparison
from windtunnel.analysis.curves.seal import PredictedCurve
from windtunnel.analysis.report.curve_headline import (
    curve_headline,
    describe_significance,
    format_error,
    format_points,
)
from windtunnel.analysis.report.curve_report import CurveReport
from windtunnel.analysis.report.schedule_labels import held_out_schedules
from windtunnel.analysis.report.write import write_curve_report
from windtunnel.train.schedules import Schedule

pytestmark = pytest.mark.xdist_group("curve report")
NAMES = ["WSD, 1-sqrt 10 %", "WSD, 1-sqrt 40 %", "WSD, linear 20 %", "cosine, 3.69M tokens", "power"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> CurveReport:
    return make_curve_report(tmp_path_factory.mktemp("sealed"))


@pytest.fixture(scope="module")
def folder(report: CurveReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("written")
    write_curve_report(report, place)
    return place


@pytest.mark.slow
def test_headline_is_the_errors_of_the_main_law(report: CurveReport, folder: Path) -> None:
    first, choice, means, finals, *against = curve_headline(report)
    score = report.scores[0]
    assert score.seed_means is not None
    assert report.perfect_law is not None
    assert report.seed_noise is not None
    assert first == (
        "auto predicted 30 curves under 5 schedules at 3 sizes before they were trained: mean relative error "
        f"{format_error(score.mean_abs_relative_error)}, worst point {format_error(score.worst)}."
    )
    assert choice.endswith("made auto the law 0.950*annealing:N+0.050*instantaneous:N.")
    assert means == (
        f"Curves averaged over seeds: mean error {format_error(score.seed_means.mean_abs_relative_error)}, worst point "
        f"{format_error(score.seed_means.worst)}; by seed noise alone a perfect law would have "
        f"{format_error(report.perfect_law.seed_means_mean_abs_relative_error)} and "
        f"{format_error(report.perfect_law.seed_means_worst)}."
    )
    assert f"root-mean-square error {format_error(score.final)}" in finals
    assert f"{score.final_in_noise:.2g} times the seed noise of {100 * report.seed_noise:.2g} %" in finals
    inside = sum(curve.inside_90 is True for curve in score.curves)
    assert f"{inside} of 30 ({100 * inside / 30:.0f} %) inside their 90 % intervals" in finals
    assert ["instantaneous:N" in against[0], "last-window:N" in against[1]] == [True, True]
    assert all("excludes zero, better" in sentence for sentence in against)
    text = Page(folder / "curves.html").text
    assert all(sentence in text for sentence in (first, choice, means, finals, *against))


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((-0.02, -0.01), "excludes zero, better"),
        ((0.01, 0.02), "excludes zero, worse"),
        ((-0.01, 0.02), "includes zero, indistinguishable"),
        (None, "not known"),
    ],
)
def test_difference_has_its_significance(
    report: CurveReport, interval: tuple[float, float] | None, expected: str
) -> None:
    comparison = BaselineComparison("instantaneous:N", 0.005, interval)
    assert describe_significance(comparison) == expected
    score = replace(report.scores[0], comparisons=(comparison,))
    sentence = curve_headline(replace(report, scores=(score, *report.scores[1:])))[-1]
    assert expected.split(",")[0] in sentence
    assert "0.5 percentage points above that of instantaneous:N" in sentence


def test_large_errors_are_written_as_a_bound() -> None:
    assert [format_error(0.0123), format_error(12.0)] == ["1.2 %", "over 1,000 %"]
    differences = (-0.0123, 12.0, -12.0, 2.0)
    assert [format_points(share) for share in differences] == ["-1.2", "> +1,000", "< -1,000", "+200"]


@pytest.mark.slow
def test_tables_have_every_law_and_every_schedule(report: CurveReport, folder: Path) -> None:
    all_rows = Page(folder / "curves.html").rows
    rows = {row[0]: row for row in reversed(all_rows)}
    for law in report.scores:
        name = law.requested + (" (baseline)" if law.requested.startswith(("instant", "last")) else "")
        means = law.seed_means
        assert means is not None
        errors = (law.mean_abs_relative_error, law.worst, means.mean_abs_relative_error, means.worst, law.final)
        assert rows[name][1:6] == [format_error(error) for error in errors]
    for name, schedule in zip(NAMES, report.schedules, strict=True):
        errors = [curve.mean_abs_relative_error for curve in report.scores[0].curves if curve.run in schedule.runs]
        baseline = [curve.mean_abs_relative_error for curve in report.scores[2].curves if curve.run in schedule.runs]
        assert rows[name][1:5] == ["3", "6", format_error(sum(errors) / 6), format_error(sum(baseline) / 6)]
        final = {curve.run: curve.final for curve in report.scores[0].curves}
        pairs = [(final[first], final[second]) for first, second in (target.runs for target in schedule.targets)]
        mean = sum(map(sum, pairs)) / 6
        deviation = sum((first - second) ** 2 / 4 for first, second in pairs) ** 0.5 / 3  # of three means of two
        assert rows[name][-2] == f"{100 * mean:+.2g} % ± {100 * deviation:.2g}"
    parameters = {(row[0], row[1]): row for row in all_rows}
    assert parameters["annealing:N", "C"][2:4] == ["not identified", "–"]


@pytest.mark.slow
def test_details_are_folded(folder: Path) -> None:
    assert Page(folder / "curves.html").parts == ["Errors of the held-out curves", "Fits", "Data and seals"]


@pytest.mark.slow
def test_figures_are_files_and_on_the_page(folder: Path) -> None:
    figures = sorted(path.name for path in (folder / "figures").iterdir())
    assert figures == ["curve-errors.png", "curve-errors.svg", "curves.png", "curves.svg"]
    root = ElementTree.fromstring((folder / "figures" / "curves.svg").read_text())
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(NAMES) <= texts
    page = (folder / "curves.html").read_text()
    assert page.count("<figure") == 2
    assert "#0072b2" not in page[page.index("<body>") :]  # colors follow the theme


@pytest.mark.slow
def test_equal_data_give_equal_bytes(report: CurveReport, folder: Path, tmp_path: Path) -> None:
    write_curve_report(report, tmp_path)
    for path in folder.rglob("*.*"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_before_targets_are_trained_the_page_says_so(tmp_path: Path) -> None:
    waiting = make_curve_report(tmp_path / "sealed", scored=False)
    write_curve_report(waiting, tmp_path, "report.html")
    page = Page(tmp_path / "report.html")
    assert "5 held-out schedules are sealed and not measured yet" in page.text
    assert "No target has been measured yet." in page.text
    assert not (tmp_path / "figures" / "curve-errors.svg").exists()


@pytest.mark.slow
def test_law_that_was_refused_is_on_the_page(report: CurveReport, tmp_path: Path) -> None:
    write_curve_report(replace(report, laws=("multi-power:N", *report.laws)), tmp_path)
    page = Page(tmp_path / "curves.html")
    assert "The first law of the study, multi-power:N, could not be sealed; this report is about auto." in page.text
    assert "Refused or not sealed, and so not scored: multi-power:N." in page.text
    nothing = replace(report, laws=("<b>",), fits={}, sealed=(), scores=(), measured={})
    write_curve_report(nothing, tmp_path)
    assert "<b> could not be fitted to the 18 curves" in Page(tmp_path / "curves.html").text


def predicted_curve(schedule: Schedule, size: float = SIZES[0], name: str = "t") -> PredictedCurve:
    return PredictedCurve(name, (f"{name}-s0",), asdict(schedule), 1.0, size, (100.0,), (2.0,), None, 1.0)


def labels_of(*schedules: Schedule) -> list[str]:
    return [held_out.name for held_out in held_out_schedules([predicted_curve(each) for each in schedules], {})]


def test_labels_have_what_distinguishes_the_schedules() -> None:
    assert labels_of(*FAMILY) == ["two stages, from 50 % on", "cosine", "constant"]
    # Without a measured curve the tokens of an update are not known.
    assert labels_of(*HELD_OUT) == [*NAMES[:3], "cosine, 3,600 updates", "power"]
    assert labels_of(make_schedule("wsd", decay=0.1), make_schedule("wsd", decay=0.1, final_fraction=0.1)) == [
        "WSD, linear 10 %, to 0 %",
        "WSD, linear 10 %, to 10 %",
    ]
    powers = [make_schedule("power", decay=0.1, power_exponent=exponent) for exponent in (0.3, 0.5)]
    assert labels_of(*powers) == ["power, exponent 0.3", "power, exponent 0.5"]
    knots = [make_schedule("piecewise", knots=((0.5, value), (1.0, 0.0))) for value in (0.4, 0.8)]
    assert labels_of(*knots) == ["piecewise, 0.5:0.4 1:0", "piecewise, 0.5:0.8 1:0"]


def test_sizes_of_a_schedule_are_one_group_with_its_length_in_tokens() -> None:
    targets = [make_target(HELD_OUT[3], size, 0) for size in SIZES] + [make_target(HELD_OUT[0], SIZES[0], 1)]
    sealed = [
        replace(predicted_curve(Schedule(**target.schedule)), runs=target.runs, size=target.query.size)
        for target in targets
    ]
    curves = {run: curve for target in targets for run, curve in make_trained(target).items()}
    schedules = held_out_schedules(sealed, curves)
    assert [(held_out.name, len(held_out.targets)) for held_out in schedules] == [
        ("WSD, 1-sqrt 10 %, 2.46M tokens", 1),
        ("cosine, 3.69M tokens", 3),
    ]
