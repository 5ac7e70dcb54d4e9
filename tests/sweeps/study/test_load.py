"""Every kind of mistake in a study file gives one line that names the file, the line and the fix."""

from pathlib import Path

import pytest

from windtunnel.sweeps.study.load import load_study, packaged_studies, parse_study
from windtunnel.sweeps.study.plan import make_plan
from windtunnel.sweeps.study.schema import LogRange
from windtunnel.train.errors import InputError

STUDY = """\
title: a study
fixed:
  data: speeches
  logging.wandb: off
family:
  - grid:
      size: [25k, 83k]
      horizon.tokens: [1M, 2M]
      seed: [0, 1]
targets:
  - rows:
      - {size: 200k, horizon.tokens: 4M}
analysis:
  laws: [chinchilla]
budget: {tokens: 100M}
"""

LAUGHS = ", ".join(f"&a{number} [{', '.join([f'*a{number - 1}'] * 8)}]" for number in range(1, 25))

# Text to replace, replacement, line that is named (0: none), part of the message.
MISTAKES = {
    "no such section": ("budget:", "bugdet:", 15, "no such key; there are title, fixed, family, targets, analysis"),
    "no such key of a block": ("  - rows:", "  - row:", 11, "row: no such key; there are grid, rows, where"),
    "no such key of the analysis": (
        "  laws: [chinchilla]",
        "  law: chinchilla",
        14,
        "no such key; there are laws, curves, objective",
    ),
    "no such key of the budget": ("{tokens: 100M}", "{token: 100M}", 15, "no such key; there are tokens, flops, hours"),
    "no such setting": ("  logging.wandb: off", "  logging.wandbb: off", 4, "did you mean wandb"),
    "no such group": ("  data: speeches", "  dat: speeches", 3, "dat: no such setting"),
    "no such choice": ("  data: speeches", "  data: newspapers", 3, "no such choice (allowed: context-tree"),
    "an invalid size": ("[25k, 83k]", "[25k, large]", 7, "size=large: no such choice"),
    "a size outside the family": ("[25k, 83k]", "[25k, 83]", 7, "outside the family"),
    "a value out of range": ("seed: [0, 1]", "seed: [0, -1]", 9, "seed=-1: must be at least 0"),
    "a value of another kind": ("seed: [0, 1]", "seed: [0, one]", 9, "valid integer"),
    "a rate of zero": ("  logging.wandb: off", "  optimizer.rate: 0", 4, "must be above 0"),
    "a range that begins at zero": ("[25k, 83k]", "{from: 0, to: 83k, points: 3}", 7, "greater than 0"),
    "a range without its end": ("[25k, 83k]", "{from: 25k, points: 3}", 7, "to: must be given"),
    "a range of one point": ("[25k, 83k]", "{from: 25k, to: 83k, points: 1}", 7, "greater than or equal to 2"),
    "a range of no numbers": ("[25k, 83k]", "{from: small, to: 83k, points: 3}", 7, "is not a count"),
    "an empty list": ("[25k, 83k]", "[]", 7, "at least 1 item"),
    "no value": ("size: [25k, 83k]", "size:", 7, "size"),
    "an invalid condition": ("      seed: [0, 1]", "      seed: [0, 1]\n    where: D +", 10, "cannot read 'D +'"),
    "an unknown column": (
        "      seed: [0, 1]",
        "      seed: [0, 1]\n    where: loss < 3",
        10,
        "no column loss",
    ),
    "a condition that leaves no run": (
        "      seed: [0, 1]",
        "      seed: [0, 1]\n    where: N > 1e9",
        10,
        "no run is left of 8",
    ),
    "a block of nothing": (
        "  - rows:\n      - {size: 200k, horizon.tokens: 4M}",
        "  - where: N > 1",
        11,
        "needs a grid or rows",
    ),
    "a key in the grid and in the rows": (
        "horizon.tokens: 4M}",
        "horizon.tokens: 4M}\n    grid: {size: 25k}",
        11,
        "size is in the grid and in the rows",
    ),
    "the same key twice": ("  logging.wandb: off", "  data: plays", 4, "duplicate key 'data'"),
    "targets without an analysis": ("analysis:\n  laws: [chinchilla]\n", "", 1, "targets need an analysis"),
    "an analysis without laws": ("  laws: [chinchilla]", "  laws: []", 13, "an analysis names laws"),
    "a target in the family": (
        "{size: 200k, horizon.tokens: 4M}",
        "{size: 25k, horizon.tokens: 2M}",
        0,
        "both in the family",
    ),
    "a horizon too short to warm up": ("[1M, 2M]", "[400k, 2M]", 8, "do not fit into the 391 steps"),
    "two horizons": ("  logging.wandb: off", "  horizon.steps: 100", 4, "exactly one of"),
    "a setting the study decides": ("  logging.wandb: off", "  runtime.runs_directory: x", 4, "not for a study file"),
    "a checkpoint after the end": (
        "  logging.wandb: off",
        "  logging.checkpoint_steps: [5000]",
        4,
        "outside the 977 steps",
    ),
    "too many runs": (
        "      seed: [0, 1]",
        "      seed: {from: 1, to: 1e6, points: 1000}\n      optimizer.rate: {from: 1e-3, to: 1e-2, points: 1000}",
        0,
        "4,000,001 runs; a study has at most",
    ),
    "a budget of no number": ("{tokens: 100M}", "{hours: long}", 15, "is not a count"),
    "a budget of true": ("{tokens: 100M}", "{hours: true}", 15, "true is not a number"),
    "a budget below zero": ("{tokens: 100M}", "{hours: -1}", 15, "greater than 0"),
    "an infinite budget": ("{tokens: 100M}", "{flops: .inf}", 15, "finite number"),
    "a budget of NaN": ("{tokens: 100M}", "{disk_gigabytes: .nan}", 15, "greater than 0"),
    "an infinite range": ("[25k, 83k]", "{from: 25k, to: .inf, points: 3}", 7, "finite number"),
    "a range of infinitely many points": ("[25k, 83k]", "{from: 25k, to: 83k, points: .inf}", 7, "finite number"),
    "an infinite size": ("[25k, 83k]", "[25k, .inf]", 7, "size=inf: no such choice"),
    "a law twice": ("[chinchilla]", "[chinchilla, chinchilla]", 14, "chinchilla is named twice"),
    "an impossible date": ("title: a study", "title: 2020-99-99", 1, "month must be in 1..12"),
    "a number of too many digits": ("[0, 1]", f"[{'9' * 5000}]", 9, "invalid value"),
    "a tag that does not fit": ("[0, 1]", "[!!int x]", 9, "invalid value 'x'"),
    "a control character": ("[0, 1]", "[0, \a]", 9, "special characters are not allowed"),
    "an alias within itself": ("[0, 1]", "&seeds [*seeds]", 9, "contains it"),
    "aliases of aliases": ("[0, 1]", f"[&a0 [1, 2], {LAUGHS}]", 9, "over 200,000 values"),
    "brackets in brackets": ("[0, 1]", "[" * 3000 + "]" * 3000, 9, "over 60 deep"),
    "brackets not quite as deep": ("[0, 1]", "[" * 100 + "]" * 100, 9, "over 60 deep"),
    "invalid YAML": ("[25k, 83k]", "[25k, 83k", 8, "not valid YAML"),
    "a tab": ("  data: speeches", "\tdata: speeches", 3, "not valid YAML"),
}


def plan(text: str, folder: Path) -> None:
    make_plan(parse_study(text, folder / "s.yaml"), folder / "runs", folder / "data")


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_names_its_line(mistake: str, tmp_path: Path) -> None:
    before, after, line, message = MISTAKES[mistake]
    assert before in STUDY, "nothing is replaced"
    with pytest.raises(InputError) as caught:
        plan(STUDY.replace(before, after, 1), tmp_path)
    start = f"{tmp_path}/s.yaml:{line}: " if line else f"{tmp_path}/s.yaml: "
    assert str(caught.value).startswith(start), str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_valid_study_has_a_plan(tmp_path: Path) -> None:
    plan(STUDY, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a study is a mapping"),
        (b"# nothing but a comment\n", "a study is a mapping"),
        (b"- a\n- list\n", "a study is a mapping"),
        (b"title: \xff\xfe\n", "not UTF-8 text"),
        (b"title: a\nfamily: []\n", "family"),
        (b"title: a\n", "family: must be given"),
    ],
)
def test_file_that_is_not_a_study(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_study(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_study(str(tmp_path / "none.yaml"))
    with pytest.raises(InputError, match=r"no such study \(there are: .*quickstart"):
        load_study("quickstrat")


def test_insufficient_data_are_refused_once_prepared(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words to be read\n" * 4000)
    (tmp_path / "b.txt").write_text("other words to be read\n" * 400)
    text = STUDY.replace("data: speeches", f'data: custom\n  data.spec: "text:{tmp_path}/*.txt"')
    with pytest.raises(InputError, match=r"s\.yaml:\d+: the run asks for 1,999,872 tokens but the data hold"):
        make_plan(parse_study(text, tmp_path / "s.yaml"), tmp_path / "runs", tmp_path / "data", prepare=True)


def test_range_is_geometric_and_whole_where_its_ends_are() -> None:
    assert LogRange.model_validate({"from": "25k", "to": "400k", "points": 5}).values() == [
        25_000,
        50_000,
        100_000,
        200_000,
        400_000,
    ]
    assert LogRange.model_validate({"from": 1e-3, "to": 1e-1, "points": 3}).values() == [0.001, 0.01, 0.1]


@pytest.mark.slow
@pytest.mark.parametrize("name", packaged_studies())
def test_packaged_studies_can_be_planned(name: str, tmp_path: Path) -> None:
    plan = make_plan(load_study(name), tmp_path / "runs", tmp_path / "data")
    assert plan.family
    assert plan.file.study.analysis is not None


@pytest.mark.slow
def test_evaluation_larger_than_its_data_is_refused_once_prepared(tmp_path: Path) -> None:
    text = """\
title: a study
fixed: {data: context-tree, data.token_budget: 3M}
family:
  - grid:
      size: 25k
      horizon.tokens: 1M
      data.evaluation_tokens: [131072, 1M]
"""
    with pytest.raises(InputError, match=r"s\.yaml:7: evaluation_tokens=1,000,000 but .*\(the run of "):
        make_plan(parse_study(text, tmp_path / "s.yaml"), tmp_path / "runs", tmp_path / "data", prepare=True)


@pytest.mark.parametrize("key", ["holdout", "hold"])
def test_holdout_has_an_older_name(key: str, tmp_path: Path) -> None:
    text = STUDY.replace("  laws: [chinchilla]\n", f"  laws: [chinchilla]\n  {key}: D > 1.5e6\n")
    file = parse_study(text, tmp_path / "s.yaml")
    assert file.study.analysis is not None
    assert file.study.analysis.holdout == "D > 1.5e6"
    assert str(file.error_at(("analysis", "holdout", "hold"), "message")).startswith(f"{tmp_path}/s.yaml:15: ")
    twice = text.replace(f"  {key}:", "  hold: N > 1e5\n  holdout:")
    with pytest.raises(InputError, match=r"s\.yaml:15: analysis: hold: the older name of holdout"):
        parse_study(twice, tmp_path / "s.yaml")
