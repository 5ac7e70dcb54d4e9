"""Signed and sealed documents: every committed file reads, verifies, and is written again byte for byte."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from windtunnel.analysis.curves.result import FittedCurveLaw
from windtunnel.analysis.curves.seal import SealedCurves, read_sealed_curves
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.predict import Prediction
from windtunnel.analysis.prediction.seal import read_sealed
from windtunnel.analysis.signed_json import (
    SEAL,
    digest_of,
    read_json,
    read_signed,
    to_document,
    write_sealed,
    write_signed,
)
from windtunnel.train.errors import InputError

RESULTS = ROOT / "sweeps" / "results"
FITS = sorted(RESULTS.glob("*/fits/*.json"))
CURVE_FITS = sorted(RESULTS.glob("*/curve-fits/*.json"))
PREDICTIONS = sorted(RESULTS.glob("*/predictions/prediction-*.json"))
CURVE_PREDICTIONS = sorted([*RESULTS.glob("*/predictions/curves-*.json"), *RESULTS.glob("*/curve-predictions/*.json")])


def study_and_name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.name}"


def without_seal(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != SEAL}


def test_there_are_committed_files_of_every_kind() -> None:
    assert min(map(len, (FITS, CURVE_FITS, PREDICTIONS, CURVE_PREDICTIONS))) >= 4


@pytest.mark.parametrize("path", FITS, ids=study_and_name)
def test_committed_fit_is_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    Fit.from_json(path).to_json(tmp_path / "fit.json")
    assert (tmp_path / "fit.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", CURVE_FITS, ids=study_and_name)
def test_committed_curve_fit_is_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    FittedCurveLaw.from_json(path).to_json(tmp_path / "fit.json")
    committed, again = path.read_bytes(), (tmp_path / "fit.json").read_bytes()
    if "num_curves" not in json.loads(committed):  # of an earlier version, which has fewer fields
        fields = {**json.loads(committed), "digest": json.loads(again)["digest"]}
        assert {name: json.loads(again)[name] for name in fields} == fields
    else:
        assert again == committed


@pytest.mark.parametrize("path", PREDICTIONS, ids=study_and_name)
def test_committed_prediction_verifies_and_is_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    prediction = read_sealed(path)
    again = write_sealed(tmp_path, path.stem.rpartition("-")[0], without_seal(prediction.to_dict()))
    assert again.name == path.name
    assert again.read_bytes() == path.read_bytes()
    assert Prediction.from_dict(prediction.to_dict()) == prediction


@pytest.mark.parametrize("path", CURVE_PREDICTIONS, ids=study_and_name)
def test_committed_curve_prediction_verifies_and_is_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    sealed: SealedCurves = read_sealed_curves(path)
    content = {"kind": "curves", **without_seal(to_document(sealed))}
    again = write_sealed(tmp_path, path.stem.rpartition("-")[0], content)
    assert again.name == path.name
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", [FITS[0], CURVE_FITS[0], PREDICTIONS[0], CURVE_PREDICTIONS[0]], ids=study_and_name)
def test_changed_digit_is_detected(path: Path, tmp_path: Path) -> None:
    read = {"fits": Fit.from_json, "curve-fits": FittedCurveLaw.from_json, "predictions": read_sealed}
    text = path.read_text()
    place = text.index("e-0") - 1 if "e-0" in text else text.index(".") + 1
    changed = tmp_path / path.name
    changed.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    with pytest.raises(InputError, match="changed after it was"):
        read.get(path.parent.name, read_sealed_curves)(changed)


def test_sealed_file_keeps_its_name(tmp_path: Path) -> None:
    shutil.copy(CURVE_PREDICTIONS[0], tmp_path / "curves-other-0123456789abcdef.json")
    with pytest.raises(InputError, match="its name lacks the seal"):
        read_sealed_curves(tmp_path / "curves-other-0123456789abcdef.json")


def test_digest_is_of_the_canonical_text_of_everything_else() -> None:
    content = {"b": [1, 2.5], "a": {"y": None, "x": "é"}}
    assert digest_of(content) == digest_of({**dict(reversed(content.items())), "digest": "0"})
    assert digest_of(content) == "4c9755b4573e986816dd654dd97fb5975574c50440c8bccf7a57debab678ee6f"
    with pytest.raises(ValueError, match="Out of range float"):
        digest_of({"a": float("nan")})


def test_signed_documents_come_back_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_signed(path, {"a": 1})
    assert read_signed(path, "a thing", "somebody")["a"] == 1
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"file\.json: not a thing; name a file written by somebody"):
        read_signed(path, "a thing", "somebody")
    path.write_text('{"a": 1, "a": 2}')
    with pytest.raises(InputError, match="duplicate key 'a'"):
        read_json(path, "somebody")
