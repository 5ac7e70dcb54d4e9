"""Sealed predictions of curves: what is in the file, and that it cannot be changed unseen."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.held_out_curves import PEAK, SIZES, fits, schedule, target
from windtunnel.analysis.curves.predict import predict_curve, refuse_foreign
from windtunnel.analysis.curves.result import FittedCurves
from windtunnel.analysis.curves.seal import read_sealed_curves, seal_curves
from windtunnel.analysis.signed_json import digest_of
from windtunnel.train.errors import InputError

SOURCE = {"study": "made", "curves": ["a", "b"], "digest": "cd" * 32}
TARGETS = [target(schedule("wsd", decay=0.2), size, 0) for size in SIZES]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return seal_curves("auto", fits()["auto"], SOURCE, "validation", TARGETS, tmp_path / "new", "f" * 40)


def test_what_is_read_is_what_the_fit_says(path: Path) -> None:
    found, fit = read_sealed_curves(path), fits()["auto"]
    assert (found.asked, found.law, found.losses, found.commit) == ("auto", fit.law, "validation", "f" * 40)
    assert (
        found.fit == {"law": fit.law, "parameters": fit.parameters, "status": fit.status, "noise": fit.noise} | SOURCE
    )
    assert len(found.targets) == len(TARGETS)
    for sealed, asked in zip(found.targets, TARGETS, strict=True):
        said = predict_curve(fit, asked.blank)
        assert (sealed.target, sealed.runs, sealed.rate, sealed.size) == (
            asked.name,
            asked.runs,
            PEAK,
            asked.blank.size,
        )
        np.testing.assert_array_equal(sealed.step, asked.blank.time_P)
        np.testing.assert_array_equal(sealed.loss, said.loss_P)
        assert sealed.interval_90 == said.interval_90
        assert dict(sealed.schedule) == {**asked.schedule, "knots": []}


def test_the_file_is_named_by_its_seal_and_read_only(path: Path) -> None:
    content = json.loads(path.read_text())
    assert path.name == f"curves-auto-{content['sealed'][:16]}.json"
    assert digest_of(content, "sealed") == content["sealed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


@pytest.mark.parametrize("change", ["loss", "run", "time", "added", "name", "cut", "list"])
def test_no_change_goes_unseen(path: Path, change: str) -> None:
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
    words = {"name": "its name is not the one", "cut": "no sealed prediction", "list": "no sealed prediction|not"}
    with pytest.raises(InputError, match=words.get(change, "changed after it was sealed")):
        read_sealed_curves(edited)


def test_a_schedule_that_a_law_says_nothing_of_is_not_sealed(tmp_path: Path) -> None:
    fit = fits()["annealing:N"]
    far = replace(fit, peaks=(PEAK / 10, PEAK / 5))
    with pytest.raises(InputError, match="says nothing of other peaks"):
        seal_curves("annealing:N", far, SOURCE, "validation", TARGETS, tmp_path, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("law", "known", "complaint"),
    [
        (
            "instantaneous",
            {"sizes": (1e4, 2e4)},
            "fitted was 10,000, 20,000: .*; fit instantaneous:N to curves",
        ),
        ("trajectory", {"sizes": (1e4,)}, "fit trajectory to curves of several"),
        ("0.5*annealing+0.5*instantaneous", {"sizes": (1e4,)}, "fit auto to curves of several"),
        (
            "instantaneous",
            {"batches": (512.0,)},
            r"its updates take [\d,]+ tokens, and fitted were 512: fit",
        ),
        ("instantaneous", {"losses": "training"}, "the fit is of training losses, not validation: --losses training"),
    ],
)
def test_what_a_fit_was_not_made_of_is_not_said(law: str, known: dict[str, Any], complaint: str) -> None:
    fit = replace(fits()["instantaneous:N"], law=law, **known)
    blank = TARGETS[0].blank
    with pytest.raises(InputError, match=complaint):
        refuse_foreign(fit, blank)
    alike = {"sizes": (1.004 * (blank.size or 0),), "batches": (blank.batch,), "losses": "validation"}  # a rounded size
    refuse_foreign(replace(fit, **alike), blank)
    refuse_foreign(fit, replace(blank, size=None, batch=None, losses=None))


def test_one_member_that_reads_batches_does_not_speak_for_the_others() -> None:
    fit = replace(fits()["auto"], batches=(512.0,))
    with pytest.raises(InputError, match="fitted were 512"):
        refuse_foreign(replace(fit, parameters={**fit.parameters, "trajectory.B_star": 1e5}), TARGETS[0].blank)


def test_a_fit_comes_back_from_its_file_with_what_it_does_not_tell(tmp_path: Path) -> None:
    made_of: dict[str, Any] = {"sizes": (25e3, 83e3), "batches": (1024.0,), "losses": "validation", "num_curves": 9}
    fit, path = replace(fits()["auto"], **made_of), tmp_path / "fit.json"
    fit.to_json(path)
    found = FittedCurves.from_json(path)
    assert {name: getattr(found, name) for name in made_of} == made_of
    assert (found.reason, found.not_identified) == (fit.reason, ("annealing:N.C",))
    np.testing.assert_array_equal(found.predict(TARGETS[0].blank), fit.predict(TARGETS[0].blank))
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != "digest"}
    old = {name: value for name, value in content.items() if name not in ("reason", "not_identified", *made_of)}
    path.write_text(json.dumps({**old, "digest": digest_of(old, "digest")}))
    assert FittedCurves.from_json(path).not_identified == ()
