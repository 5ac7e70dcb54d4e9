"""The report of laws of whole curves: what it says first, its tables, and that equal data give equal bytes."""

import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.held_out_curves import FAMILY, HELD_OUT, SIZES, made_report, schedule, target, trained
from windtunnel.analysis.curves.score import Against
from windtunnel.analysis.curves.seal import PredictedCurve
from windtunnel.analysis.report.curve_headline import curve_headline, off, points, verdict
from windtunnel.analysis.report.curve_report import CurveReport, write_curve_report
from windtunnel.analysis.report.schedule_labels import held_out_schedules
from windtunnel.train.schedules import Schedule

pytestmark = pytest.mark.xdist_group("report of curves")
NAMES = ["WSD, 1-sqrt 10 %", "WSD, 1-sqrt 40 %", "WSD, linear 20 %", "cosine, 3.69M tokens", "power"]


class Text(HTMLParser):
    """The page's tags are closed in order; `cells` are those of its tables, row by row."""

    VOID = frozenset({"meta", "br", "path", "use"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(path.read_text())
        assert self.open == []
        self.text = " ".join(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> CurveReport:
    return made_report(tmp_path_factory.mktemp("sealed"))


@pytest.fixture(scope="module")
def folder(report: CurveReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("written")
    write_curve_report(report, place)
    return place


def test_the_headline_says_how_the_own_law_fared(report: CurveReport, folder: Path) -> None:
    first, finals, *against = curve_headline(report)
    own = report.outcomes[0]
    assert first == (
        "auto, which became 0.950*annealing:N+0.050*instantaneous:N, said 30 curves of 5 schedules and 3 sizes before "
        f"they were trained: mean relative error {off(own.mean_abs_relative_error)}, worst point {off(own.worst)}; of "
        f"the means over seeds, {off(own.seed_means.mean_abs_relative_error)} and {off(own.seed_means.worst)}, where a "
        f"law that is right would have {off(report.floor.seed_means_mean_abs_relative_error)} and "
        f"{off(report.floor.seed_means_worst)} by noise between seeds alone."
    )
    assert f"{off(own.final)} off" in finals
    assert f"{own.final_in_noise:.2g} times the noise between seeds of {100 * report.noise:.2g} %" in finals
    inside = sum(each.inside_90 for each in own.curves)
    assert f"{inside} of 30 ({inside / 30:.0%}) inside their 90 % intervals" in finals
    assert ["instantaneous:N" in against[0], "last-window:N" in against[1]] == [True, True]
    assert all("excludes zero, better" in each for each in against)
    text = Text(folder / "curves.html").text
    assert all(sentence in text for sentence in (first, finals, *against))


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((-0.02, -0.01), "excludes zero, better"),
        ((0.01, 0.02), "excludes zero, worse"),
        ((-0.01, 0.02), "holds zero, not told apart"),
        (None, "not known"),
    ],
)
def test_whether_zero_is_excluded_is_said(report: CurveReport, interval: tuple[float, float] | None, said: str) -> None:
    one = Against("instantaneous:N", 0.005, interval)
    assert verdict(one) == said
    own = replace(report.outcomes[0], against=(one,))
    sentence = curve_headline(replace(report, outcomes=(own, *report.outcomes[1:])))[-1]
    assert said.split(",")[0] in sentence
    assert "0.5 percentage points above that of instantaneous:N" in sentence


def test_errors_beyond_reason_are_told_as_such() -> None:
    assert [off(0.0123), off(12.0)] == ["1.2 %", "over 1,000 %"]
    assert [points(-0.0123), points(12.0), points(-12.0), points(2.0)] == ["-1.2", "> +1,000", "< -1,000", "+200"]


def test_tables_have_every_law_and_every_schedule(report: CurveReport, folder: Path) -> None:
    rows = {row[0]: row for row in reversed(Text(folder / "curves.html").rows)}
    for law in report.outcomes:
        name = law.asked + (" (baseline)" if law.asked.startswith(("instant", "last")) else "")
        means = law.seed_means
        errors = (law.mean_abs_relative_error, law.worst, means.mean_abs_relative_error, means.worst, law.final)
        assert rows[name][1:6] == [off(error) for error in errors]
    for name, held in zip(NAMES, report.schedules, strict=True):
        own = [each.mean_abs_relative_error for each in report.outcomes[0].curves if each.run in held.runs]
        plain = [each.mean_abs_relative_error for each in report.outcomes[2].curves if each.run in held.runs]
        assert rows[name][1:5] == ["3", "6", off(sum(own) / 6), off(sum(plain) / 6)]
        final = {each.run: each.final for each in report.outcomes[0].curves}
        pairs = [(final[first], final[second]) for first, second in (target.runs for target in held.targets)]
        mean = sum(map(sum, pairs)) / 6
        deviation = sum((first - second) ** 2 / 4 for first, second in pairs) ** 0.5 / 3  # of three means of two
        assert rows[name][-2] == f"{100 * mean:+.2g} % ± {100 * deviation:.2g}"
    assert rows["C"][1:3] == ["not identified", "–"]


def test_figures_are_files_and_on_the_page(folder: Path) -> None:
    figures = sorted(path.name for path in (folder / "figures").iterdir())
    assert figures == ["curve-errors.png", "curve-errors.svg", "curves.png", "curves.svg"]
    root = ElementTree.fromstring((folder / "figures" / "curves.svg").read_text())
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(NAMES) <= texts
    page = (folder / "curves.html").read_text()
    assert page.count("<figure") == 2
    assert "#0072b2" not in page[page.index("<body>") :]  # colours follow the theme


def test_equal_data_give_equal_bytes(report: CurveReport, folder: Path, tmp_path: Path) -> None:
    write_curve_report(report, tmp_path)
    for path in folder.rglob("*.*"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_before_targets_are_trained_it_says_so(tmp_path: Path) -> None:
    waiting = made_report(tmp_path / "sealed", scored=False)
    write_curve_report(waiting, tmp_path, "report.html")
    page = Text(tmp_path / "report.html")
    assert "5 held-out schedules are sealed and have no curve yet" in page.text
    assert "No target has a curve yet." in page.text
    assert not (tmp_path / "figures" / "curve-errors.svg").exists()


def test_a_law_that_was_refused_is_told_of(report: CurveReport, tmp_path: Path) -> None:
    write_curve_report(replace(report, asked=("multi-power:N", *report.asked)), tmp_path)
    page = Text(tmp_path / "curves.html")
    assert "The study's own law, multi-power:N, could not be sealed: this is of auto." in page.text
    assert "Refused or not sealed, and so not scored: multi-power:N." in page.text
    nothing = replace(report, asked=("<b>",), fits={}, sealed=(), outcomes=(), trained={})
    write_curve_report(nothing, tmp_path)
    assert "<b> could not be fitted to the 18 curves" in Text(tmp_path / "curves.html").text


def predicted(held: Schedule, size: float = SIZES[0], name: str = "t") -> PredictedCurve:
    return PredictedCurve(name, (f"{name}-s0",), asdict(held), 1.0, size, (100.0,), (2.0,), None, 1.0)


def names_of(*schedules: Schedule) -> list[str]:
    return [held.name for held in held_out_schedules([predicted(each) for each in schedules], {})]


def test_names_tell_schedules_apart_and_say_no_more() -> None:
    assert names_of(*FAMILY) == ["two stages, from 50 % on", "cosine", "constant"]
    # Without a trained curve the tokens of an update are not known.
    assert names_of(*HELD_OUT) == [*NAMES[:3], "cosine, 3,600 updates", "power"]
    assert names_of(schedule("wsd", decay=0.1), schedule("wsd", decay=0.1, final_fraction=0.1)) == [
        "WSD, linear 10 %, to 0 %",
        "WSD, linear 10 %, to 10 %",
    ]
    powers = [schedule("power", decay=0.1, power_exponent=exponent) for exponent in (0.3, 0.5)]
    assert names_of(*powers) == ["power, exponent 0.3", "power, exponent 0.5"]
    knots = [schedule("piecewise", knots=((0.5, value), (1.0, 0.0))) for value in (0.4, 0.8)]
    assert names_of(*knots) == ["piecewise, 0.5:0.4 1:0", "piecewise, 0.5:0.8 1:0"]


def test_sizes_of_a_schedule_are_one_group_with_its_length_in_tokens() -> None:
    made = [target(HELD_OUT[3], size, 0) for size in SIZES] + [target(HELD_OUT[0], SIZES[0], 1)]
    sealed = [replace(predicted(Schedule(**each.schedule)), runs=each.runs, size=each.blank.size) for each in made]
    curves = {run: curve for each in made for run, curve in trained(each).items()}
    found = held_out_schedules(sealed, curves)
    assert [(held.name, len(held.targets)) for held in found] == [
        ("WSD, 1-sqrt 10 %, 2.46M tokens", 1),
        ("cosine, 3.69M tokens", 3),
    ]
