"""Sealed predictions of curves: the content of the file, and the detection of changes."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.synthetic_curve_study import PEAK, SIZES, make_fits, make_schedule, make_target
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.seal import read_sealed_curves, seal_curves
from windtunnel.analysis.signed_json import digest_of
from windtunnel.train.errors import InputError

SOURCE = {"study": "synthetic", "curves": ["a", "b"], "digest": "cd" * 32}
TARGETS = [make_target(make_schedule("wsd", decay=0.2), size, 0) for size in SIZES]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return seal_curves("auto", make_fits()["auto"], SOURCE, "validation", TARGETS, tmp_path / "new", "f" * 40)


def test_sealed_content_is_the_prediction_of_the_fit(path: Path) -> None:
    sealed, fit = read_sealed_curves(path), make_fits()["auto"]
    assert (sealed.requested, sealed.law, sealed.losses, sealed.commit) == ("auto", fit.law, "validation", "f" * 40)
    assert sealed.fit == {
        "law": fit.law,
        "parameters": fit.parameters,
        "status": fit.status,
        "noise": fit.noise,
        **SOURCE,
    }
    assert len(sealed.targets) == len(TARGETS)
    for predicted, target in zip(sealed.targets, TARGETS, strict=True):
        prediction, query = fit.predict(target.query), target.query
        assert (predicted.target, predicted.runs, predicted.rate) == (target.name, target.runs, PEAK)
        assert predicted.size == query.size
        np.testing.assert_array_equal(predicted.step, query.time_P)
        np.testing.assert_array_equal(predicted.loss, prediction.loss_P)
        assert predicted.interval_90 == prediction.interval_90
        assert dict(predicted.schedule) == {**target.schedule, "knots": []}


def test_sealed_file_is_named_by_its_seal_and_read_only(path: Path) -> None:
    content = json.loads(path.read_text())
    assert path.name == f"curves-auto-{content['sealed'][:16]}.json"
    assert digest_of(content, "sealed") == content["sealed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


@pytest.mark.parametrize("change", ["loss", "run", "time", "added", "name", "cut", "list"])
def test_every_change_is_detected(path: Path, change: str) -> None:
    content = json.loads(path.read_text())
    if change == "loss":
        content["targets"][0]["loss"][3] *= 1.0001
    elif change == "run":
        content["targets"][0]["runs"][0] = "another"
    elif change == "time":
        content["time"] = "2026-01-01T00:00:00Z"
    elif change == "added":
        content["targets"].append(content["targets"][0])
    elif change == "cut":
        del content["sealed"]
    edited = path.with_name("curves-auto-0000000000000000.json" if change == "name" else f"copy-{path.name}")
    edited.write_text("[]" if change == "list" else json.dumps(content))
    messages = {"name": "its name lacks the seal", "cut": "not a sealed prediction", "list": "not a sealed prediction"}
    with pytest.raises(InputError, match=messages.get(change, "changed after it was sealed")):
        read_sealed_curves(edited)


def test_target_outside_the_domain_is_not_sealed(tmp_path: Path) -> None:
    fit = replace(make_fits()["annealing:N"], peaks=(PEAK / 10, PEAK / 5))
    with pytest.raises(InputError, match="do not extrapolate in the peak rate"):
        seal_curves("annealing:N", fit, SOURCE, "validation", TARGETS, tmp_path, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("law", "fitted", "message"),
    [
        (
            "instantaneous",
            {"sizes": (1e4, 2e4)},
            "that of the fitted curves is 10,000, 20,000; fit instantaneous:N to curves",
        ),
        ("trajectory", {"sizes": (1e4,)}, "fit trajectory to curves of several"),
        ("0.5*annealing+0.5*instantaneous", {"sizes": (1e4,)}, "fit auto to curves of several"),
        (
            "instantaneous",
            {"batches": (512.0,)},
            r"an update has [\d,]+ tokens, but those of the fitted curves have 512; fit",
        ),
        ("instantaneous", {"losses": "training"}, r"but the fit is of training losses; pass losses=\.\.\."),
    ],
)
def test_domain_of_a_fit(law: str, fitted: dict[str, Any], message: str) -> None:
    fit = replace(make_fits()["instantaneous:N"], law=law, **fitted)
    query = TARGETS[0].query
    with pytest.raises(InputError, match=message):
        fit.domain.check(query)
    # A size that was rounded is the same size.
    same = {"sizes": (1.004 * (query.size or 0),), "batches": (query.batch,), "losses": "validation"}
    replace(fit, **same).domain.check(query)
    fit.domain.check(replace(query, size=None, batch=None, losses=None))


def test_domain_of_a_combination_is_that_of_its_narrowest_member() -> None:
    fit = replace(make_fits()["auto"], batches=(512.0,))
    with_trajectory = replace(fit, parameters={**fit.parameters, "trajectory.B_star": 1e5})
    with pytest.raises(InputError, match="those of the fitted curves have 512"):
        with_trajectory.domain.check(TARGETS[0].query)


def test_fit_is_read_back_from_its_file(tmp_path: Path) -> None:
    fitted: dict[str, Any] = {"sizes": (25e3, 83e3), "batches": (1024.0,), "losses": "validation", "num_curves": 9}
    fit, path = replace(make_fits()["auto"], **fitted), tmp_path / "fit.json"
    fit.to_json(path)
    read = FittedCurveLaw.from_json(path)
    assert {name: getattr(read, name) for name in fitted} == fitted
    assert (read.reason, read.not_identified) == (fit.reason, ("annealing:N.C",))
    query = TARGETS[0].query
    np.testing.assert_array_equal(read.predict_losses(query), fit.predict_losses(query))
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != "digest"}
    old = {name: value for name, value in content.items() if name not in ("reason", "not_identified", *fitted)}
    path.write_text(json.dumps({**old, "digest": digest_of(old, "digest")}))
    assert FittedCurveLaw.from_json(path).not_identified == ()
