"""`windtunnel doctor` works on any machine, also where files cannot be read or written."""

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


def test_doctor_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", str(tmp_path / "found.json")]) == 0
    assert json.loads((tmp_path / "found.json").read_text())["threads"] >= 1
    assert "torch" in capsys.readouterr().out


def test_unwritable_json_path_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "--json", str(tmp_path / "nowhere" / "x")])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--json: {tmp_path}/nowhere/x: there is no folder {tmp_path}/nowhere; make it first" in line


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")])
def test_unreadable_netrc_means_no_key(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(path: Path, **options: object) -> str:
        raise error

    monkeypatch.setattr(Path, "read_text", refuse)
    assert doctor.examine()["wandb"] == NO_KEY


def test_no_home_directory_means_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", refuse)
    assert doctor.examine()["wandb"] == NO_KEY


def test_netrc_with_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert doctor.examine()["wandb"].startswith("a key is set")
