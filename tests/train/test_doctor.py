"""The doctor answers on any machine, and says in one line where its answer cannot be written."""

import json
from pathlib import Path

import pytest

from windtunnel.sweeps.cli.main import main
from windtunnel.train import doctor

NO_KEY = "no key: runs are mirrored offline"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gemm_flops_per_second", lambda device, dtype, threads: 1e9)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def test_the_answer_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", str(tmp_path / "found.json")]) == 0
    assert json.loads((tmp_path / "found.json").read_text())["threads"] >= 1
    assert "torch" in capsys.readouterr().out


def test_an_answer_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "--json", str(tmp_path / "nowhere" / "x")])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--json: {tmp_path}/nowhere/x: there is no folder {tmp_path}/nowhere; make it first" in line


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")])
def test_a_key_file_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(path: Path, **options: object) -> str:
        raise error

    monkeypatch.setattr(Path, "read_text", refuse)
    assert doctor.examine()["wandb"] == NO_KEY


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", refuse)
    assert doctor.examine()["wandb"] == NO_KEY


def test_a_key_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert doctor.examine()["wandb"].startswith("a key is set")
